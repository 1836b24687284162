"""The positions of one generation's process tree, and what a process at each of them inherits."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

import msgspec

from proxy.master.inheritance import MasterInheritance, MasterMoment
from proxy.runtime import Runtime
from proxy.supervisor.preload import preload_service
from proxy.supervisor.reaping import FOSTERED, Process, send
from proxy.supervisor.starvation import Starvation
from proxy.supervisor.watch import Life, Watch
from shm.processes import ProcessStatus


class Entries(msgspec.Struct, frozen=True):
    """What the children run; each ends by os._exit, or returns when it is done."""

    worker: Callable[[Runtime, int], object]
    control: Callable[[Runtime, tuple[Runtime, ...]], object]  # and the generations before it
    resolverd: Callable[[Runtime], object]
    runner: Callable[[Runtime], object] | None = None  # needed where checks are programs
    master: Callable[[MasterInheritance, MasterMoment], object] | None = None  # needed for -S


def _nothing() -> None:
    """All is imported already."""


class Child:
    """One position and the process that holds it now."""

    def __init__(
        self,
        name: str,
        position: int,
        body: Callable[[], object],
        keep: frozenset[int],
        watch: Watch,
        *,
        load: Callable[[], None] = _nothing,
    ) -> None:
        """A position without a process; `keep` are the descriptors of its process.

        `load` imports what it takes that a start does not wait for.
        """
        self.name = name
        self.position = position
        self.body = body  # run in the forked process
        self.keep = keep
        self.watch = watch
        self._load = load
        self.unloadable = False  # nothing can be started here: the installation is incomplete
        self.starvation = Starvation()
        self.process: Process | None = None
        self.expected: set[int] = set()  # statuses with which it ends because it was told to
        self.ended_as_told = False  # the last process did
        self.reaped = False  # the end of the process was taken
        self.status: int | None = None  # with which it ended; None: it is kept back

    def load(self) -> None:
        """Import what its process needs, unless that is done; raises ImportError and the like."""
        self.unloadable = True
        self._load()
        self.unloadable = False

    def end(self, number: signal.Signals) -> None:
        """Signal the process, if there is one; that it ends by it is no news."""
        if self.process is not None:
            self.expected.add(-number)
            send(self.process, number)

    def is_stale(self, status: ProcessStatus, now_ms: int) -> bool:
        """Whether the process must be killed (once): it shows no life, though it gets a CPU."""
        if self.process is None:
            return False
        starved_ms = 0
        if self.watch.late(status, now_ms):
            silent_ms = self.watch.silent_ms(status, now_ms)
            starved_ms = self.starvation.waited_ms(self.process.pid, now_ms, silent_ms)
        else:
            self.starvation.forget()
        return self.watch.look(status, now_ms, starved_ms=starved_ms)

    def __repr__(self) -> str:
        """Name, pid and state."""
        pid = self.process.pid if self.process else None
        return f"Child({self.name}, pid={pid}, {self.watch})"


class Elders:
    """How the generations are found whose sessions a control process reaches.

    No part of `Children`: a generation in a cycle with its children would never be freed, because
    nothing looks for garbage among what is frozen at each reload (memory.py).
    """

    def __init__(self) -> None:
        self.find: Callable[[], tuple[Runtime, ...]] = tuple


class Children:
    """All positions of one generation; resolverd and the runner only where they have a use."""

    def __init__(
        self, runtime: Runtime, entries: Entries, log_descriptors: tuple[int, ...], now_ms: int
    ) -> None:
        """Nothing is forked yet."""
        self.elders = elders = Elders()
        common = (runtime.segment.fd, *runtime.bells.all(), *log_descriptors)
        clients = tuple(listener.socket.fileno() for listener in runtime.listeners)
        tables = tuple(table.file for table in runtime.tables)
        for_workers = frozenset((*common, *clients, *runtime.log_sockets.values(), *tables))
        services = (
            *(item.fileno() for item in runtime.stats_sockets),
            *(service.fileno() for _, service in runtime.service_sockets),
        )
        if runtime.given is not None:
            services = (*services, runtime.given)
        if runtime.master_calls is not None:
            services = (*services, runtime.master_calls.fileno())
        holds = tuple(table.holds for table in runtime.tables)
        for_control = for_workers | {*services, *holds}  # frontends are closed and opened there
        holders = (for_workers, for_control)

        folders = (file.folder for file in runtime.state_files if file.folder is not None)
        linked = runtime.resolv_conf.folders if runtime.resolv_conf else ()
        files = frozenset((*common, *folders, *(folder for _, folder in linked)))

        def body(run: Callable[[], object], keep: frozenset[int]) -> Callable[[], object]:
            def owned_run() -> None:
                _disown(runtime, keep, has_clients=any(keep is each for each in holders))
                run()

            return owned_run

        def worker(position: int) -> Child:
            return Child(
                f"worker {position}",
                position,
                body(lambda: entries.worker(runtime, position), for_workers),
                for_workers,
                Watch(now_ms, has_relay=True),
            )

        def service(
            name: str, position: int, run: Callable[[Runtime], object], keep: frozenset[int]
        ) -> Child:
            watch, load = Watch(now_ms, has_relay=False), partial(preload_service, name, runtime)
            return Child(name, position, body(lambda: run(runtime), keep), keep, watch, load=load)

        shape = runtime.segment.shape
        self.workers = [worker(position) for position in range(runtime.workers)]
        self.control = service(
            "control",
            shape.control_process,
            lambda runtime: entries.control(runtime, elders.find()),
            for_control,
        )
        self.resolverd = service("resolverd", shape.resolverd_process, entries.resolverd, files)
        self.runner: Child | None = None  # where checks are programs
        if runtime.outside is not None:
            assert entries.runner is not None, "nothing runs external checks"
            kept = frozenset((*common, runtime.outside.processes, runtime.outside.nothing))
            self.runner = service("runner", shape.runner_process, entries.runner, kept)
        self.services = [self.control]
        if runtime.has_resolverd:
            self.services.insert(0, self.resolverd)
        runners = [] if self.runner is None else [self.runner]
        self.all = [*self.workers, *self.services, *runners]  # clients do not wait for the rest

    def load(self) -> None:
        """Import what all of them need, at a reload before the first is forked."""
        for child in self.all:
            child.load()

    def kept(self, child: Child) -> frozenset[int]:
        """The descriptors of a process that is forked now."""
        elders = self.elders.find() if child is self.control else ()
        return child.keep.union(*((each.segment.fd, *each.bells.relays) for each in elders))

    def pardon(self, now_ms: int) -> None:
        """No child's silence until now counts."""
        for child in self.all:
            child.watch.pardon(now_ms)

    @property
    def ready(self) -> bool:
        """Every child serves."""
        return all(child.watch.life is Life.SERVING for child in self.all)

    @property
    def workers_ready(self) -> bool:
        """Every worker serves."""
        return all(child.watch.life is Life.SERVING for child in self.workers)

    @property
    def hopeless(self) -> bool:
        """Some worker dies before it is ready, each time; or what another needs is not there."""
        return any(child.watch.hopeless for child in self.workers) or any(
            child.unloadable for child in self.all
        )

    @property
    def alive(self) -> bool:
        """True while any process of this generation runs."""
        return any(child.process is not None for child in self.all)

    @property
    def working(self) -> bool:
        """True while any worker runs."""
        return any(child.process is not None for child in self.workers)


def _disown(runtime: Runtime, keep: frozenset[int], *, has_clients: bool) -> None:
    """In the child: forget sockets that were closed, before their numbers mean something else.

    `has_clients`: it keeps all those that accept clients, of which there may be thousands.
    """
    listeners = () if has_clients else runtime.listeners
    sockets = [
        *(listener.socket for listener in listeners),
        *runtime.stats_sockets,
        *(service for _, service in runtime.service_sockets),
    ]
    for item in sockets:
        if item.fileno() not in keep:
            item.detach()


def describe_end(status: int | None) -> str:
    """An exit status in words; negative: minus the signal."""
    if status is None:
        return "ended, and a tracer keeps its status back"
    if status == FOSTERED:
        return "ended, and the main process has its status"
    if status >= 0:
        return f"exited with code {status}"
    return f"was killed by signal {-status} ({signal.strsignal(-status)})"


def is_news(status: int | None) -> bool:
    """Whether an old worker's end with this status is: it should have been 0."""
    return status not in (0, FOSTERED)
