"""A control that gives way to its successor owes no answer, and the log tells what was done."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, listens, wait_for
from tests.support.supervisor.program import ROOT, Program, started

pytestmark = pytest.mark.slow  # starts the program
HOST = "127.44.11.1"
SCRIPT = str(ROOT / "tests/support/supervisor/retiring.py")
SERVERS = 2_000  # their metrics and rows are more than sockets hold
LAST_CHUNK = b"\r\n0\r\n\r\n"
SMALL_BUFFER = 4_096
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: edge\r\n\r\n"
CALLED_OFF = "reload failed, nothing changed"


class Site:
    """The running program, and clients of its control."""

    def __init__(self, program: Program, folder: Path, port: int) -> None:
        self.program = program
        self.path = folder / "s.sock"
        self.port = port

    def controls(self) -> list[int]:
        titles = self.program.titles_all()
        return [pid for pid, title in titles.items() if title == "millrace: control"]

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(self.path))
        return client

    def ask(self, line: str) -> str:
        with self.connect() as client:
            client.sendall(line.encode() + b"\n")
            return rest(client).decode()

    def connect_http(self) -> socket.socket:
        client = socket.socket()
        client.settimeout(PATIENCE_SECONDS)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.connect((HOST, self.port))
        return client

    def scrape(self) -> socket.socket:
        """A client that has asked for metrics and taken the beginning of them."""
        client = self.connect_http()
        client.sendall(REQUEST)
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        return client

    def show(self) -> socket.socket:
        """A client that has asked for all rows and taken the beginning of them."""
        client = self.connect()
        client.sendall(b"show stat\n")
        assert client.recv(100).startswith(b"# pxname")
        return client

    def signal_and_wait(self, number: signal.Signals, text: str) -> None:
        before = self.program.text().count(text)
        self.program.signal(number)
        wait_for(lambda: self.program.text().count(text) > before, 20, text)

    def reload(self) -> None:
        self.signal_and_wait(signal.SIGUSR2, "reload done")


def rest(client: socket.socket) -> bytes:
    """Everything until the end."""
    received = []
    while data := client.recv(1 << 16):
        received.append(data)
    return b"".join(received)


def is_whole_stat(answer: bytes) -> bool:
    return answer.count(b"\nweb,a") >= SERVERS - 1 and answer.endswith(b"\n\n")


@contextmanager
def running(folder: Path, environ: dict[str, str] | None = None) -> Iterator[Site]:
    port = free_port()
    servers = "".join(f"    server a{number} 127.0.0.1:1\n" for number in range(SERVERS))
    file = folder / "edge.cfg"
    file.write_text(
        f"global\n    nbthread 1\n    stats socket {folder}/s.sock level admin\n"
        "    stats timeout 600s\nresolvers r\n    nameserver n 127.0.0.1:1\n"
        "defaults\n    mode tcp\n    timeout client 60s\n    timeout server 60s\n"
        f"    timeout connect 1s\nfrontend metrics\n    mode http\n    bind {HOST}:{port}\n"
        "    http-request use-service prometheus-exporter if { path /metrics }\n"
        f"listen web\n    bind {HOST}:{free_port()}\n{servers}"
        "    server named a.test:1 resolvers r init-addr none\n"
    )
    with started(folder, "-f", str(file), script=SCRIPT, environ=environ) as program:
        site = Site(program, folder, port)
        wait_for(lambda: listens(site.path), PATIENCE_SECONDS, "it listens")
        assert "Pid:" in site.ask("show info")
        yield site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as site:
        yield site


def test_answers_that_are_being_written_are_whole_after_two_reloads(site: Site) -> None:
    (old,) = site.controls()
    with site.scrape() as scrape, site.show() as show:
        site.reload()
        assert old in site.controls(), "it still owes answers"
        assert "Pid:" in site.ask("show info"), "and another one serves"
        site.reload()
        wait_for(lambda: len(site.controls()) == 2, 15, "the one between owed nothing")
        assert rest(scrape).endswith(LAST_CHUNK), "whole, and then the connection ends"
        assert is_whole_stat(rest(show))
    wait_for(lambda: len(site.controls()) == 1, 15, "nothing keeps the oldest")
    assert old not in site.controls()
    told = site.program.text()
    assert "killed by signal" not in told
    assert "starting another" not in told


def test_a_question_half_asked_is_answered_and_the_connection_closed(site: Site) -> None:
    (old,) = site.controls()
    half = len(REQUEST) // 2
    with site.connect_http() as client:
        client.sendall(REQUEST[:half])
        site.reload()
        client.sendall(REQUEST[half:])
        answer = rest(client)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(LAST_CHUNK)
    wait_for(lambda: old not in site.controls(), 15, "the old one ends")


def test_an_order_that_comes_too_late_is_refused_and_changes_nothing(site: Site) -> None:
    with site.connect() as client:
        client.sendall(b"set weight web/a0 77;get weight web/a0")
        site.reload()
        client.sendall(b"\n")
        answer = rest(client).decode()
    assert "being replaced by a reload; nothing was changed" in answer
    assert "1 (initial 1)" in answer
    assert "1 (initial 1)" in site.ask("get weight web/a0")


def test_clients_that_ask_nothing_keep_no_old_control(site: Site) -> None:
    (old,) = site.controls()
    with site.connect() as prompted, site.connect() as silent, site.connect_http() as kept:
        prompted.sendall(b"prompt\n")
        assert prompted.recv(100) == b"\n> "
        kept.sendall(b"GET /nothing HTTP/1.1\r\nHost: edge\r\n\r\n")
        assert kept.recv(100).startswith(b"HTTP/1.1 503")
        site.reload()
        wait_for(lambda: old not in site.controls(), 15, "the old one ends")
        assert rest(prompted) == rest(silent) == b""


@pytest.mark.parametrize("end", [signal.SIGUSR1, signal.SIGTERM])
def test_the_end_of_the_program_while_the_old_control_finishes(
    site: Site, end: signal.Signals
) -> None:
    (old,) = site.controls()
    with site.scrape() as scrape, site.show() as show:
        site.reload()
        site.program.signal(end)
        if end == signal.SIGUSR1:
            wait_for(lambda: "stopping softly" in site.program.text(), 15, "the stop begins")
            assert old in site.controls()
            assert rest(scrape).endswith(LAST_CHUNK)
            assert is_whole_stat(rest(show))
        assert site.program.wait() == (0 if end == signal.SIGUSR1 else -signal.SIGTERM)
    assert "killed by signal" not in site.program.text()


def test_a_reload_that_is_called_off_takes_the_retirement_back(tmp_path: Path) -> None:
    held = tmp_path / "held"
    with running(tmp_path, {"MILLRACE_HELD": str(held)}) as site:
        (old,) = site.controls()
        with site.scrape() as scrape, site.show() as show:
            site.program.signal(signal.SIGUSR2)
            wait_for(lambda: rests(site), 20, "the old control has retired")
            held.touch()
            wait_for(lambda: CALLED_OFF in site.program.text(), 15, "it is called off")
            assert site.ask("set weight web/a0 77;get weight web/a0").strip() == "77 (initial 1)"
            wait_for(
                lambda: site.controls() == [old], 15, "the new one is gone, the old one serves"
            )
            assert is_whole_stat(rest(show))
            whole = read_until(scrape, LAST_CHUNK)
            assert whole.endswith(LAST_CHUNK)
        wait_for(
            lambda: (
                "starting another resolverd: a reload that was called off had ended it"
                in site.program.text()
            ),
            15,
            "what the supervisor did is told",
        )
        assert not re.search(r"(control|resolverd) \(\d+\)", site.program.text()), "nothing died"


def rests(site: Site) -> bool:
    """No process takes a new client's question: it waits for a successor."""
    if len(site.controls()) != 2:
        return False
    with site.connect() as client:
        client.settimeout(0.3)
        try:
            client.sendall(b"show info\n")
            return client.recv(100) == b"never"
        except TimeoutError:
            return True


def read_until(client: socket.socket, end: bytes) -> bytes:
    received = bytearray()
    while not received.endswith(end):
        data = client.recv(1 << 16)
        assert data, "cut"
        received += data
    return bytes(received)


def test_a_soft_stop_of_a_held_reload_keeps_the_control_that_had_retired(tmp_path: Path) -> None:
    with running(tmp_path, {"MILLRACE_HELD": str(tmp_path / "held")}) as site:
        (old,) = site.controls()
        with site.show():
            site.program.signal(signal.SIGUSR2)
            wait_for(lambda: rests(site), 20, "the old control has retired")
            site.signal_and_wait(signal.SIGUSR1, "stopping softly")
            assert site.controls().count(old) == 1
        assert site.program.wait() == 0
        assert not re.search(r"(control|resolverd) \(\d+\)", site.program.text()), "nothing died"
        assert "starting another" not in site.program.text()


def test_a_reader_that_takes_nothing_keeps_the_old_control_for_its_limit_only(
    tmp_path: Path,
) -> None:
    with running(tmp_path, {"MILLRACE_FINISH_MS": "1000"}) as site:
        (old,) = site.controls()
        with site.show() as show:
            site.reload()
            assert old in site.controls()
            wait_for(lambda: old not in site.controls(), 15, "its time is over")
            assert not is_whole_stat(rest(show))
        site.program.await_text("1000 ms are over before it has sent its last answers")
        assert "killed by signal" not in site.program.text()


def test_a_soft_stop_tells_of_no_death_that_the_supervisor_caused(site: Site) -> None:
    site.reload()
    site.program.signal(signal.SIGUSR1)
    assert site.program.wait() == 0
    assert "killed by signal" not in site.program.text()
