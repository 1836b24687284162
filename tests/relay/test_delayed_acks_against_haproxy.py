"""No configuration word makes a server wait for a delayed acknowledgement, unless HAProxy does.

Words that save packets, times servers of all shapes. Connections are made one after the other
through both programs, and the kernel counts the acknowledgements that its timer sent.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.relay.test_relay_delayed_acks import SHAPES, answering, ask, delayed_acks
from tests.support.common import free_port, require_program, wait_for
from tests.support.program.program import Program
from tests.support.servers import Handler, Server, receive_all, receive_count

pytestmark = pytest.mark.slow

SLOW_SECONDS = 0.002  # before a second write
EARLY = 16  # connections after which the relay knows that clients speak first
ROUNDS = 100
# Of 5, 15 and 84: where it is the rule, it is nearly each of them. A busy machine reads some late.
FIRST_SPARE, EARLY_SPARE, LATE_SPARE = 2, 9, 25
ATTEMPTS = 3
HEADER_BYTES = 28
SETTINGS = """
global
    nbthread 1
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 600s
    timeout server 600s
"""


class Words(NamedTuple):
    """What a section says besides its addresses."""

    bind: str = ""
    section: str = ""
    server: str = ""


VARIANTS = {
    "plain": Words(),
    "splice-auto": Words(section="option splice-auto"),
    "splice": Words(section="option splice-request\n    option splice-response"),
    "smart-accept": Words(section="option tcp-smart-accept"),
    "smart-connect": Words(section="option tcp-smart-connect"),
    "defer-accept": Words(bind="defer-accept"),
    "tfo": Words(bind="tfo", server="tfo"),
    "send-proxy": Words(server="send-proxy-v2"),
    "all": Words(
        "defer-accept tfo",
        "option splice-auto\n    option tcp-smart-accept\n    option tcp-smart-connect",
        "tfo send-proxy-v2",
    ),
}


def slow(header: int) -> Handler:
    """A server whose second write comes late."""

    def handle(connection: socket.socket) -> None:
        receive_count(connection, header + len(b"request"))
        connection.sendall(b"head")
        time.sleep(SLOW_SECONDS)
        connection.sendall(b"body")
        receive_all(connection)

    return handle


def handler(shape: str, header: int) -> tuple[Handler, int]:
    """What a server of this shape does, and how many bytes its client gets."""
    if shape == "slow-second-write":
        return slow(header), 8
    words = dict(SHAPES[shape])
    parts = words.pop("parts")
    greeting = 7 if words.get("greets") else 0
    return answering(header, *parts, **words), sum(map(len, parts)) + greeting


class Count(NamedTuple):
    """Delayed acknowledgements of the first connection, the next 15 and all after them."""

    first: int
    early: int
    late: int


def count(target: tuple[str, int], expected: int) -> Count:
    seen = []
    for rounds in (1, EARLY - 1, ROUNDS - EARLY):
        before = delayed_acks()
        for _ in range(rounds):
            ask(socket.create_connection(target), expected)
        seen.append(delayed_acks() - before)
    return Count(*seen)


@contextlib.contextmanager
def haproxy(folder: Path, text: str, port: int) -> Iterator[None]:
    file = folder / "haproxy.cfg"
    file.write_text(text.replace("{socket}", str(folder / "haproxy.sock")))
    process = subprocess.Popen(
        [require_program("haproxy"), "-db", "-f", file], stderr=subprocess.DEVNULL
    )

    def listens() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_for(listens, 10, "HAProxy listens", step=0.05)
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def fast_open() -> Iterator[None]:
    """TCP Fast Open in this network for clients and servers, where that may be set."""
    setting = Path("/proc/sys/net/ipv4/tcp_fastopen")
    before = setting.read_text()
    try:
        setting.write_text("3")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        setting.write_text(before)


def play(folder: Path, words: Words) -> dict[str, tuple[Count, Count]]:
    """What Millrace and HAProxy come to, both fresh, for each shape of server."""
    header = HEADER_BYTES if "send-proxy" in words.server else 0
    shapes = {shape: handler(shape, header) for shape in (*SHAPES, "slow-second-write")}
    texts = [SETTINGS.format(), SETTINGS.format()]
    targets: dict[str, list[tuple[str, int]]] = {}
    with contextlib.ExitStack() as stack:
        for shape, (handle, _) in shapes.items():
            server = stack.enter_context(Server(handle))
            server.listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
            targets[shape] = [("127.0.0.1", free_port()) for _ in texts]
            for number, (host, port) in enumerate(targets[shape]):
                texts[number] += (
                    f"listen edge{port}\n    bind {host}:{port} {words.bind}\n"
                    f"    {words.section}\n    server a 127.0.0.1:{server.port} {words.server}\n"
                )
        probe = free_port()
        texts[1] += f"listen probe\n    bind 127.0.0.1:{probe}\n"
        stack.enter_context(Program(folder, texts[0]))
        stack.enter_context(haproxy(folder, texts[1], probe))
        found = {}
        for shape, (ours, theirs) in targets.items():
            expected = shapes[shape][1]
            found[shape] = count(ours, expected), count(theirs, expected)
    return found


def excess(found: dict[str, tuple[Count, Count]]) -> list[str]:
    """Shapes of servers that wait, most times of all, where HAProxy's do not."""
    firsts = [sum(counts[program].first for counts in found.values()) for program in (0, 1)]
    return [
        *["the first connection of most shapes"] * (firsts[0] > firsts[1] + FIRST_SPARE),
        *(
            shape
            for shape, (ours, theirs) in found.items()
            if ours.early > theirs.early + EARLY_SPARE or ours.late > theirs.late + LATE_SPARE
        ),
    ]


@pytest.mark.quiet  # a relay that gets no turn for 40 ms reads, and so acknowledges, that late
@pytest.mark.parametrize("variant", VARIANTS)
def test_no_word_lets_a_server_wait(tmp_path: Path, variant: str) -> None:
    """What a busy machine makes late is not late each time."""
    with fast_open():
        for attempt in range(ATTEMPTS):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            found = play(folder, VARIANTS[variant])
            if not excess(found):
                return
    pytest.fail(f"{excess(found)}: {found}")
