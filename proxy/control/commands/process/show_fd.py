"""`show fd`: the descriptors of each process, and where their sockets lead (management manual 9.3).

The kernel is asked, because no process tells the others what it opens. It shows a process's
descriptors to its own user only: where it does not, what is known without it is told. At most
SOCKETS_SHOWN_MAX sockets are named, as many of each process, the others counted: `show sess` has
those.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator

from proxy.config.model.sockets import Endpoint, SocketFamily
from proxy.control.command import Answer, Command, CommandError, Level
from proxy.control.commands.process.census import Census, LivingProcess
from proxy.control.limits import SOCKETS_SHOWN_MAX
from proxy.control.rows.report import Report
from proxy.kernel.processes import GONE, descriptor_links, hiding_reason
from proxy.kernel.refusals import descriptors
from proxy.kernel.sockets import LISTEN, KernelSocket, open_sockets

LETTERS = {  # of HAProxy 3.x: what each selects
    "p": {"pipes"},
    "l": {"listeners"},
    "c": {"clients", "servers"},
    "f": {"clients"},
    "b": {"servers"},
    "s": {"servers"},
    "d": set[str](),  # `dispatch` there: an address without a server
}
INVERTING = "-!"
KINDS = ("listeners", "clients", "servers", "pipes", "others")
ANYWHERE = ("0.0.0.0", "[::]")
GLOBAL = "GLOBAL"  # what HAProxy calls the owner of stats sockets
SOCKET = re.compile(r"socket:\[(\d+)\]")
ANONYMOUS = re.compile(r"anon_inode:\[?([\w-]+)\]?")
NOT_CONNECTED = ("others", "socket, not connected")  # or netlink, or closed meanwhile
WRONG = (
    "'show fd' expects a descriptor number, or letters of 'plcfbsd' behind '-' or '!' for others."
)


class WantedDescriptors:
    """What the words of the command select; raises CommandError for others."""

    def __init__(self, words: list[str]) -> None:
        self.number: int | None = None
        self._kinds: set[str] | None = None  # None: all
        for word in words:
            if word.isascii() and word.isdecimal():
                self.number = int(word)
            elif set(word) <= {*LETTERS, *INVERTING}:
                self._take(word)
            else:
                raise CommandError(WRONG)

    def _take(self, word: str) -> None:
        inverted = False
        for letter in word:
            if letter in INVERTING:
                inverted = True
            elif inverted:
                self._kinds = (set(KINDS) if self._kinds is None else self._kinds) - LETTERS[letter]
            else:
                self._kinds = (self._kinds or set()) | LETTERS[letter]

    def has(self, number: int, kind: str) -> bool:
        """Whether this descriptor is shown."""
        return self.number in (None, number) and (self._kinds is None or kind in self._kinds)


def title_of(endpoint: Endpoint) -> str:
    """An address of the configuration as the kernel's sockets name theirs."""
    if endpoint.family is SocketFamily.ABSTRACT:
        return f"@{endpoint.host}"
    if endpoint.family in (SocketFamily.UNIX, SocketFamily.DESCRIPTOR):
        return endpoint.host
    host = f"[{endpoint.host}]" if endpoint.family is SocketFamily.IPV6 else endpoint.host
    return f"{host}:{endpoint.port}"


def kernel_name(listening: socket.socket) -> str:
    """The name of a Unix socket as the kernel tells it, which has it from before it was moved."""
    name = listening.getsockname()
    text = name.decode(errors="surrogateescape") if isinstance(name, bytes) else str(name)
    return text.replace("\0", "@").rstrip("@")


class Owners:
    """Which frontend listens where, and what the configuration calls that place."""

    def __init__(self, report: Report) -> None:
        runtime, settings = report.runtime, report.settings
        names = [
            (bind.endpoint, proxy.name) for proxy in settings.frontends for bind in proxy.binds
        ]
        names += [(line.endpoint, GLOBAL) for line in settings.globals.stats_sockets]
        self._places = {title_of(each): (name, title_of(each)) for each, name in names}
        local = [(each.socket, each.bind.endpoint) for each in runtime.listeners]
        lines = settings.globals.stats_sockets
        local += zip(runtime.stats_sockets, (line.endpoint for line in lines), strict=True)
        for listening, endpoint in local:
            if listening.family == socket.AF_UNIX:
                self._places[kernel_name(listening)] = self._places[title_of(endpoint)]

    def of(self, local: str) -> tuple[str | None, str]:
        """The frontend whose clients come to this address, None if none do; the address."""
        if (found := self._places.get(local.rstrip("@"))) is not None:
            return found
        port = local.rpartition(":")[2]
        for host in ANYWHERE:
            if (found := self._places.get(f"{host}:{port}")) is not None:
                return found[0], local
        return None, local


def socket_line(found: KernelSocket, owners: Owners) -> tuple[str, str]:
    """The kind of a socket, and what is told of it."""
    owner, local = owners.of(found.local)
    belongs = "" if owner is None else f" fe={owner}"
    words = f"socket {found.kind} {found.state}".rstrip()
    if found.state == LISTEN:
        waiting = "" if found.kind == "unix" else f" waiting={found.received}"
        return "listeners", f"{words} {local}{waiting}{belongs}"
    if found.kind == "unix":
        kind = "others" if owner is None else "clients"
        return kind, f"{words} {local or '(no name)'}{belongs}"
    way = ">" if owner is None else "<"
    told = f"{words} {local}{way}{found.remote} unread={found.received} unsent={found.unsent}"
    if owner is not None:
        return "clients", told + belongs
    return ("servers" if found.kind == "tcp" and found.remote else "others"), told


def plain_text(link: str) -> tuple[str, str]:
    """The kind of what is no socket, and what is told of it."""
    if link.startswith("pipe:"):
        return "pipes", f"pipe {link[6:-1]}"
    if link.startswith("/memfd:"):
        return "others", f"memfd {link.removeprefix('/memfd:').removesuffix(GONE)}"
    anonymous = ANONYMOUS.fullmatch(link)
    return "others", anonymous[1] if anonymous else f"file {link}"


class OpenDescriptors:
    """Those of one process; sockets beyond a share are counted and not named."""

    def __init__(self, process: LivingProcess, share: int) -> None:
        self.process = process
        self.found: dict[int, tuple[str, str]] = {}  # by number: kind, text
        self.sockets: dict[int, int] = {}  # inodes by number
        self.unnamed = 0
        self.hidden = ""  # why the kernel shows none
        self._share = share

    def read(self) -> Iterator[str]:
        """Read where they lead; a step for each."""
        try:
            for number, link in descriptor_links(self.process.pid):
                inode = SOCKET.fullmatch(link)
                if inode is None:
                    self.found[number] = plain_text(link)
                elif len(self.sockets) < self._share:
                    self.sockets[number] = int(inode[1])
                    self.found[number] = NOT_CONNECTED
                else:
                    self.unnamed += 1
                yield ""
        except OSError as error:
            self.hidden = hiding_reason(error, self.process.pid)

    def head(self) -> str:
        """How many of each kind there are."""
        counts = Counter(kind for kind, _ in self.found.values())
        kinds = " ".join(f"{kind}={counts[kind]}" for kind in KINDS)
        more = f" unnamed={self.unnamed}" if self.unnamed else ""
        limit = descriptors(self.process.pid)
        most = f", at most {limit.limit}" if limit else ""
        total = len(self.found) + self.unnamed
        return f"# {self.process.named}: {total} descriptors{most}: {kinds}{more}\n"

    def lines(self, wanted: WantedDescriptors) -> Iterator[str]:
        """One for each that is wanted."""
        for number, (kind, text) in sorted(self.found.items()):
            if wanted.has(number, kind):
                yield f"{number:7} : {text}\n"


class ShowFd:
    """One command."""

    def __init__(self, report: Report, census: Census) -> None:
        self._report = report
        self._census = census

    def commands(self) -> list[Command]:
        """What this family answers to."""
        text = "descriptors of all processes, and where they lead"
        usage = "[-!plcfbsd]* [<fd>]"
        return [Command(("show", "fd"), usage, text, Level.OPERATOR, self.show)]

    def show(self, words: list[str], _level: Level) -> Answer:
        """`show fd [-!plcfbsd]* [<fd>]`."""
        return self._lines(WantedDescriptors(words))

    def _lines(self, wanted: WantedDescriptors) -> Iterator[str]:
        processes = list(self._census.processes())
        share = SOCKETS_SHOWN_MAX // len(processes)
        every = [OpenDescriptors(process, share) for process in processes]
        for each in every:
            yield from each.read()
        yield from self._name_sockets(every)
        for each in every:
            if each.hidden:
                yield from self._hidden(each.process, wanted, each.hidden)
            else:
                yield each.head()
                yield from each.lines(wanted)

    def _name_sockets(self, every: list[OpenDescriptors]) -> Iterator[str]:
        """Read the kernel's tables once for all processes; a step for each line of them."""
        holders: dict[int, list[tuple[OpenDescriptors, int]]] = {}
        for each in every:
            for number, inode in each.sockets.items():
                holders.setdefault(inode, []).append((each, number))
        owners = Owners(self._report)
        for found in open_sockets(frozenset(holders)):
            if found is not None:
                line = socket_line(found, owners)
                for each, number in holders.pop(found.inode, ()):
                    each.found[number] = line
            yield ""

    def _hidden(
        self, process: LivingProcess, wanted: WantedDescriptors, reason: str
    ) -> Iterator[str]:
        """What is known without the kernel: counts, and what was opened for a worker to listen."""
        counted = descriptors(process.pid)
        told = f"{counted.used} descriptors, at most {counted.limit}" if counted else "it lives"
        sessions, runtime = "", process.runtime
        worker = process.worker if runtime is self._report.runtime else None
        if worker is not None:
            row = self._report.monitor.counters.worker(worker)
            sessions = f"; {row['sessions']} sessions, {row['pipes_used']} pipes in use"
        yield f"# {process.named}: {told}{sessions}; {reason}\n"
        for listener in () if worker is None else runtime.listeners:
            number, bind = listener.socket.fileno(), listener.bind
            mine = listener.shared or listener.worker == worker
            if mine and wanted.has(number, "listeners"):
                name = runtime.settings.frontends[bind.frontend_index].name
                yield f"{number:7} : socket LISTEN {title_of(bind.endpoint)} fe={name}\n"
