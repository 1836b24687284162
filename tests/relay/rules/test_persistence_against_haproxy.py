"""Sessions that are sent to a server which drains, is down or refuses: what becomes of them.

By `option persist`, `force-persist`, `ignore-persist` and `option redispatch`, with entries of stick
tables, rules, and cookies of RDP clients; also of those that wait for the server in its queue.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

pytestmark = pytest.mark.slow
HEAD = """global
  stats socket {folder}/s level admin
  log {log} local0
  nbthread 1
defaults
  mode tcp
  log global
  log-format "%ft %s %ts %rc"
  retries 2
  balance first
  timeout connect 400ms
  timeout queue 20s
  timeout client 20s
  timeout server 20s
"""
SILENCE_SECONDS = 0.6
STICK = ("stick-table type ip size 1k expire 1h", "stick on src")
PERSIST, REDISPATCH = "option persist", "option redispatch"
FORCE = "force-persist if {{ src 127.0.0.0/8 }}"
IGNORE = "ignore-persist if {{ src 127.0.0.0/8 }}"
WORDS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "persist": (PERSIST,),
    "redispatch": (REDISPATCH,),
    "both": (PERSIST, REDISPATCH),
    "often": (PERSIST, "option redispatch 1"),
    "force": (FORCE,),
    "force_redispatch": (FORCE, REDISPATCH),
    "ignore": (IGNORE, PERSIST),
    "ignore_force": (IGNORE, FORCE),
    "force_ignore": (FORCE, IGNORE),
    "unforced": ("force-persist if {{ src 127.0.0.99 }}",),
    "no": ("option persist", "no option persist"),
}
ORDERS = ("state drain", "state maint", "weight 0", "health down", "state ready")


class Holding:
    """A server that says its name, and waits for the end of each client."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.listening = socket.create_server(("127.0.0.1", free_port()), backlog=128)
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.sendall(self.name)
            while client.recv(100):
                pass

    def close(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


class Place:
    """One program with its servers; notes what is seen."""

    def __init__(self, program: OneProgram, ports: dict[str, int]) -> None:
        self.program, self.ports = program, ports
        self.seen: list[object] = []

    def note(self, *what: object) -> None:
        self.seen.append(what)

    @contextmanager
    def client(self, section: str, host: int = 2, sent: bytes = b"") -> Iterator[socket.socket]:
        with socket.socket() as client:
            client.settimeout(PATIENCE_SECONDS)
            client.bind((f"127.0.0.{host}", 0))
            client.connect(("127.0.0.1", self.ports[section]))
            if sent:
                client.sendall(sent)
            yield client

    def ask(self, section: str, host: int = 2, sent: bytes = b"") -> None:
        """Note which server a client hears, and what its log line says."""
        before = len(self.lines(section))
        with self.client(section, host, sent) as client:
            heard = hear(client)
        wait_for(
            lambda: len(self.lines(section)) > before, PATIENCE_SECONDS, f"a line of {section}"
        )
        self.note(section, heard, *self.lines(section)[before:])

    def lines(self, section: str) -> list[str]:
        self.program.read()
        texts = (text.partition("]: ")[2].strip() for _, text in self.program.lines)
        return [text for text in texts if text.startswith(f"{section} ")]

    def order(self, section: str, words: str) -> None:
        kind, _, value = words.partition(" ")
        self.program.ask(f"set server {section}/s2 {kind} {value}")

    def row(self, section: str, name: str = "s2") -> dict[str, str]:
        head, *rows = (
            self.program.ask(f"show stat {section} -1 -1").removeprefix("# ").strip().splitlines()
        )
        found = (dict(zip(head.split(","), row.split(","), strict=False)) for row in rows)
        return next(row for row in found if (row["pxname"], row["svname"]) == (section, name))

    def counters(self, section: str) -> None:
        """Without `stot` of servers: HAProxy counts each attempt there."""
        for name in ("s1", "s2", "BACKEND"):
            row = self.row(section, name)
            self.note(name, *(row[key] for key in ("wretr", "wredis", "econ", "lbtot")))
        self.note(self.row(section, "BACKEND")["stot"])

    def name(self, section: str, host: int = 2) -> None:
        """The entry of a client names the second server."""
        self.program.ask(f"set table {section} key 127.0.0.{host} data.server_id 2")

    def waits(self, section: str, count: int) -> None:
        wait_for(
            lambda: self.row(section)["qcur"] == str(count), PATIENCE_SECONDS, f"{count} waiting"
        )


def hear(client: socket.socket) -> str:
    """What a client hears, "" where it is ended without a word."""
    with suppress(ConnectionError):
        return client.recv(100).decode()
    return "reset"


def hears_soon(client: socket.socket) -> str:
    """The same; a dash where it hears nothing."""
    return hear(client) if select.select([client], [], [], SILENCE_SECONDS)[0] else "-"


def states_of_a_server(place: Place) -> None:
    for words in WORDS:
        for kind in ("stick", "use"):
            section = f"{kind}_{words}"
            for number, order in enumerate(ORDERS):
                place.order(section, order)
                if kind == "stick":
                    place.name(section, number + 2)
                place.note(order)
                place.ask(section, number + 2)
                place.order(section, "health up")
                place.order(section, "weight 1")
                place.order(section, "state ready")
            place.counters(section)


def a_server_that_refuses(place: Place) -> None:
    for words in WORDS:
        section = f"gone_{words}"
        for number, order in enumerate(("state ready", "state maint", "state drain")):
            place.order(section, order)
            place.name(section, number + 2)
            place.note(order)
            place.ask(section, number + 2)
        place.counters(section)


def those_that_wait(place: Place) -> None:
    """An order comes before or while a session waits for the place of another one."""
    for words in ("plain", "persist", "redispatch", "both", "force_redispatch"):
        host = 2  # each client its own: an entry that has the name of a server keeps it
        for order in ("state drain", "state maint", "weight 0"):
            for early in (True, False):
                wait_at(place, f"full_{words}", order, host, early=early)
                host += 2


def wait_at(place: Place, section: str, order: str, host: int, *, early: bool) -> None:
    place.note(section, order, early)
    for each in (host, host + 1):
        place.name(section, each)
    with place.client(section, host) as occupant:
        place.note(hear(occupant))
        if early:
            place.order(section, order)
        with place.client(section, host + 1) as waiter:
            if not early:
                place.waits(section, 1)
                place.order(section, order)
            place.note(hears_soon(waiter))
            occupant.shutdown(socket.SHUT_WR)
            place.note(hears_soon(waiter))
    wait_for(lambda: place.row(section, "BACKEND")["scur"] == "0", PATIENCE_SECONDS, "the end")
    place.order(section, "weight 1")
    place.order(section, "state ready")
    place.counters(section)


def a_full_queue(place: Place) -> None:
    for words in ("plain", "redispatch", "force_redispatch"):
        section = f"short_{words}"
        for host in (2, 3, 4):
            place.name(section, host)
        with place.client(section, 2) as occupant:
            place.note(section, hear(occupant))
            with place.client(section, 3):
                place.waits(section, 1)
                with place.client(section, 4) as third:
                    place.note(hears_soon(third))
        wait_for(lambda s=section: place.row(s, "BACKEND")["scur"] == "0", PATIENCE_SECONDS, "end")
        place.counters(section)


def a_server_that_moves(place: Place) -> None:
    """Between two attempts its address becomes another one.

    HAProxy goes on with the former one until it gives up.
    """
    place.name("moved")
    with place.client("moved") as client:
        port = place.ports["<s2>"]
        place.program.ask(f"set server moved/s2 addr 127.0.0.1 port {port}")
        place.note(hear(client))
    place.note(place.row("moved", "s1")["stot"])


def rdp(cookie: str) -> bytes:
    """The first packet of an RDP client."""
    text = f"Cookie: {cookie}\r\n".encode()
    return b"\x03\x00" + (len(text) + 11).to_bytes(2, "big") + bytes(7) + text


def cookie_of(port: int) -> str:
    address = int.from_bytes(socket.inet_aton("127.0.0.1"), "little")
    return f"msts={address}.{int.from_bytes(port.to_bytes(2, 'little'), 'big')}.0000"


def cookies(place: Place) -> None:
    second = place.ports["<s2>"]
    good = cookie_of(second)
    for section in ("rdp", "rdp_persist", "rdp_force", "rdp_stick", "rdp_use"):
        place.note(section)
        for text in (good, good.upper(), good[:-5], good.replace("msts", "mstshash"), "msts=1.2.3"):
            place.ask(section, 2, rdp(text))
        place.ask(section, 2, rdp(cookie_of(9)))
        place.ask(section, 3, b"no cookie of this protocol, but as long as one")
        for order in ("state maint", "state drain"):
            place.order(section, order)
            place.ask(section, 4, rdp(good))
        place.order(section, "state ready")
        place.counters(section)


SCENES = (states_of_a_server, a_server_that_refuses, those_that_wait, a_full_queue, cookies)
TWO = ("server s1 <s1>", "server s2 <s2>")
WAITED = ("tcp-request inspect-delay 5s", "tcp-request content accept if {{ req.len 30: }}")
RDP = (*WAITED, "persist rdp-cookie")
SECTIONS = {
    **{f"stick_{name}": (*STICK, *words, *TWO) for name, words in WORDS.items()},
    **{
        f"use_{name}": (*words, "use-server s2 if {{ src 127.0.0.0/8 }}", *TWO)
        for name, words in WORDS.items()
    },
    **{
        f"gone_{name}": (*STICK, *words, "server s1 <s1>", "server s2 <gone>")
        for name, words in WORDS.items()
    },
    **{
        f"full_{name}": (*STICK, *WORDS[name], "server s1 <s1>", "server s2 <s2> maxconn 1")
        for name in ("plain", "persist", "redispatch", "both", "force_redispatch")
    },
    **{
        f"short_{name}": (
            *(*STICK, *WORDS[name], "server s1 <s1>"),
            "server s2 <s2> maxconn 1 maxqueue 1",
        )
        for name in ("plain", "redispatch", "force_redispatch")
    },
    "moved": (*STICK, "retries 40", "server s1 <s1>", "server s2 <gone> maxconn 5"),
    "rdp": (*RDP, *TWO),
    "rdp_persist": (*RDP, PERSIST, *TWO),
    "rdp_force": (*RDP, FORCE, *TWO),
    "rdp_stick": (*RDP, *STICK, *TWO),
    "rdp_use": (*RDP, "use-server s1 if {{ src 127.0.0.2 }}", *TWO),
}


def noted(
    name: str, folder: Path, scenes: Sequence[Callable[[Place], None]] = SCENES
) -> list[object]:
    """All that a program shows in these scenes."""
    with ExitStack() as stack:
        servers = {f"<s{number}>": Holding(f"s{number}") for number in (1, 2)}
        for server in servers.values():
            stack.callback(server.close)
        ports = {section: free_port() for section in SECTIONS}
        text = HEAD
        for section, lines in SECTIONS.items():
            text += f"listen {section}\n  bind 127.0.0.1:{ports[section]}\n"
            text += "".join(f"  {line}\n" for line in lines)
        for mark, server in servers.items():
            text = text.replace(mark, f"127.0.0.1:{server.port}")
            ports[mark] = server.port
        text = text.replace("<gone>", f"127.0.0.1:{free_port()}")
        program = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        place = Place(program, ports)
        for scene in scenes:
            place.note(scene.__name__)
            scene(place)
        return place.seen


@pytest.mark.lengthy
def test_named_servers_are_kept_and_left_as_by_haproxy(tmp_path: Path) -> None:
    ours, theirs = noted("millrace", tmp_path), noted("haproxy", tmp_path)
    different = [
        f"{at}: {own} and not {other}, after {ours[max(0, at - 3) : at]}"
        for at, (own, other) in enumerate(zip(ours, theirs, strict=False))
        if own != other
    ]
    assert not different, "\n".join(different[:40])
    assert len(ours) == len(theirs)


def test_a_named_server_is_followed_to_its_new_address(tmp_path: Path) -> None:
    _, heard, others = noted("millrace", tmp_path, (a_server_that_moves,))
    assert (heard, others) == (("s2",), ("0",))
