"""What may block behind a log's descriptor, a file or another user's pipe, stops no process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.log_sockets import open_again
from proxy.log_thread import finish_log_threads
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.relay.faults import Shim
from tests.support.supervisor.program import await_serving, hello, started

HOST = "127.44.9.1"
NOBODY = 65_534
CONFIGURATION = """
global
    nbthread 2
defaults
    mode tcp
    timeout client 30s
    timeout server 30s
    timeout connect 1s
listen web
    bind {host}:{port}
    server a 127.0.0.1:1
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for end in (reader, writer):
        os.close(end)


def log_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "log"]


def sent(descriptor: int, record: bytes) -> bool:
    """Whether there was room for it."""
    try:
        return os.write(descriptor, record) == len(record)
    except BlockingIOError:
        return False


def read_all(descriptor: int, count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += os.read(descriptor, 65_536)
    return received


def descriptors_of(path: Path) -> set[int]:
    """Those of this process that lead there."""
    return {int(it.name) for it in Path("/proc/self/fd").iterdir() if it.resolve() == path}


def writes_of_log_thread() -> int:
    """How many write calls the one such thread has made."""
    (thread,) = log_threads()
    text = Path(f"/proc/self/task/{thread.native_id}/io").read_text()
    return int(text.partition("syscw: ")[2].split()[0])


def opened_by_nobody(pipe: int) -> int:
    os.seteuid(NOBODY)
    try:
        return open_again(pipe)
    finally:
        os.seteuid(0)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="wants to be another user")


@as_root
def test_a_pipe_of_another_user_never_blocks_and_gets_every_record_that_was_taken(
    pipe: tuple[int, int],
) -> None:
    reader, writer = pipe
    opened = opened_by_nobody(writer)
    assert os.get_blocking(writer), "the given one is shared: it stays as it was"
    assert not os.get_blocking(opened)
    taken = 0
    while sent(opened, b"%06d %s\n" % (taken, b"r" * 4_000)):
        taken += 1
    os.close(opened)
    received = read_all(reader, taken * 4_008)
    assert [int(line.split()[0]) for line in received.splitlines()] == list(range(taken))
    assert taken > 16, "a pipe alone takes 16 pages"
    wait_for(lambda: not log_threads(), PATIENCE_SECONDS, "the thread ends with its last sender")


@as_root
def test_an_end_waits_for_what_was_sent_but_not_longer_than_allowed(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    opened = opened_by_nobody(writer)
    taken = 0
    while sent(opened, b"r" * 4_000):
        taken += 4_000
    finish_log_threads(0.01)
    assert len(log_threads()) == 1, "it waits for the pipe's reader"
    with pytest.raises(BrokenPipeError):
        sent(opened, b"too late")
    received = []
    reading = threading.Thread(target=lambda: received.append(read_all(reader, taken)))
    reading.start()
    finish_log_threads(PATIENCE_SECONDS)
    assert log_threads() == []
    reading.join()
    assert received == [b"r" * taken]
    os.close(opened)


def test_a_full_disk_is_tried_again(tmp_path: Path) -> None:
    """/dev/full, which answers ENOSPC, takes the file's place behind the thread's number."""
    path = tmp_path / "lines"
    given = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    opened = open_again(given)
    (target,) = descriptors_of(path) - {given}
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, target)
    for record in (b"first\n", b"second\n"):
        assert sent(opened, record)
    wait_for(lambda: writes_of_log_thread() >= 2, PATIENCE_SECONDS, "the first is tried again")
    os.dup2(given, target)
    wait_for(lambda: path.read_bytes() == b"first\nsecond\n", PATIENCE_SECONDS, "both are there")
    os.dup2(full, target)
    assert sent(opened, b"third\n")
    os.close(opened)  # nothing more is sent: what cannot be written is given up
    wait_for(lambda: not log_threads(), PATIENCE_SECONDS, "the thread ends")
    assert path.read_bytes() == b"first\nsecond\n"
    os.close(given)
    os.close(full)


def test_a_program_reloads_and_ends_while_its_log_file_takes_nothing(tmp_path: Path) -> None:
    shim, port = Shim(tmp_path), free_port()
    address = (HOST, port)
    file = tmp_path / "edge.cfg"
    file.write_text(CONFIGURATION.format(host=HOST, port=port))
    with started(tmp_path, "-f", str(file), environ=shim.environ) as program:
        await_serving(address)
        shim.set(hold_files=1)
        program.signal(signal.SIGUSR2)
        wait_for(lambda: hello(address)[2] == 2, PATIENCE_SECONDS, "the new generation serves")
        wait_for(lambda: shim.get("held") > 0, PATIENCE_SECONDS, "a line was to be written")
        assert "reloading" not in program.text()
        shim.set(hold_files=0)
        wait_for(lambda: "reload done" in program.text(), PATIENCE_SECONDS, "all lines come")
        program.signal(signal.SIGUSR2)
        wait_for(lambda: hello(address)[2] == 3, PATIENCE_SECONDS, "it still reloads")
        shim.set(hold_files=1)
        program.signal(signal.SIGTERM)
        assert program.wait() == -signal.SIGTERM
        shim.set(hold_files=0)
    shim.close()


def test_the_last_lines_are_in_the_file_when_the_program_has_ended(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "edge.cfg"
    file.write_text(CONFIGURATION.format(host=HOST, port=port))
    with started(tmp_path, "-f", str(file)) as program:
        await_serving((HOST, port))
        program.signal(signal.SIGUSR1)
        assert program.wait() == 0
        assert "stopp" in program.text().lower()
