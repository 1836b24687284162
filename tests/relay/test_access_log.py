"""The access log of a relay: what its lines say, where they go, and what is lost when."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from proxy.config.model.settings import Endpoint, LogTarget, SocketFamily
from proxy.server_table import ServerTable
from shm.states import ProcessCommand
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.relay.faults import Shim
from tests.support.relay.log import LOCAL0, access_log, lines_of, syslog, udp_target
from tests.support.relay.site import RelayUnderTest
from tests.support.servers import Server, echo, receive_all, receive_count, reset, silent_port

LINES_MAX = 2_048  # LOG_LINES_MAX
BUFFER_BYTES = 262_144  # LOG_BUFFER_BYTES
STEPS_OF_DATES = "%t %T %Tl %Ts %ms"


def exchange(relay: RelayUnderTest, text: bytes = b"hello") -> tuple[str, int]:
    """One connection from its beginning to its end; the client's address."""
    with relay.connect() as client:
        name: tuple[str, int] = client.getsockname()[:2]
        client.sendall(text)
        if text:
            assert receive_count(client, len(text)) == text
        client.shutdown(socket.SHUT_WR)
        receive_all(client)
    return name


@contextmanager
def logging_relay(
    *targets: LogTarget, text: str = "%ci %cp", port: int | None = None, **fields: bool
) -> Iterator[RelayUnderTest]:
    """A relay in front of an echo server (or of `port`) that logs to these targets."""
    with ExitStack() as stack:
        address = ("127.0.0.1", port) if port else stack.enter_context(Server(echo)).address
        yield stack.enter_context(
            RelayUnderTest(
                [address], access_log=access_log(*targets, text=text, **fields), retries=0
            )
        )


def lost(relay: RelayUnderTest) -> int:
    found: int = relay.counters()["log_overflows"]
    return found


def test_each_variable_says_what_happened() -> None:
    text = "%ci %cp %fi %fp %si %sp %bi %f %ft %b %s %B %U %ts %tsc %rt %lc %pid %ID %ST %Th"
    with syslog() as log, logging_relay(udp_target(log, format="raw"), text=text) as relay:
        server = ServerTable(relay.settings)[0]
        for number in range(2):
            client = exchange(relay)
            words = log.recv(4_096).decode().split()
            assert words[:6] == [*map(str, client), *map(str, relay.address), "127.0.0.1",
                                 str(server.port)]  # fmt: skip
            assert words[6:17] == [*["127.0.0.1", "edge", "edge", "edge", "s0", "5", "5", "--", "----"],
                                   str(number), str(number)]  # fmt: skip
            assert words[18:] == ["-", "0", "0"]


def test_dates_are_those_of_the_accept() -> None:
    with (
        syslog() as log,
        logging_relay(udp_target(log, format="raw"), text=STEPS_OF_DATES) as relay,
    ):
        exchange(relay)
        line = log.recv(4_096).decode()
    date = r"(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d)"
    found = re.fullmatch(
        rf"{date}\.(\d{{3}}) {date} \+0000 {date} [+-]\d{{4}} (\d+) (\d{{3}})\n", line
    )
    assert found is not None, line
    assert found[1] == found[4]
    assert found[2] == found[6]


@pytest.mark.parametrize(
    ("format_", "header"),
    [
        ("local", r"<134>\w{3} [ \d]\d \d\d:\d\d:\d\d haproxy\[\d+\]: "),
        ("rfc3164", r"<134>\w{3} [ \d]\d \d\d:\d\d:\d\d localhost haproxy\[\d+\]: "),
        (
            "rfc5424",
            r"<134>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d - haproxy \d+ - - ",
        ),
        ("iso", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d "),
        ("timed", r"<6>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d "),
        ("short", "<6>"),
        ("priority", "<134>"),
        ("raw", ""),
    ],
)
def test_headers_by_format(format_: str, header: str) -> None:
    with syslog() as log, logging_relay(udp_target(log, format=format_), text="x") as relay:
        exchange(relay)
        line = log.recv(4_096).decode()
    assert re.fullmatch(f"{header}x\n", line), line


@pytest.mark.parametrize("length", [80, 1_024, 65_000])
def test_a_line_is_cut_at_its_length(length: int) -> None:
    target_text = "y" * 66_000
    with syslog() as log:
        target = udp_target(log, format="raw", length_max=length)
        with logging_relay(target, text=target_text) as relay:
            exchange(relay)
            assert log.recv(70_000) == b"y" * (length - 1) + b"\n"


def test_a_datagram_that_no_socket_takes_is_one_lost_line() -> None:
    with syslog() as log:
        target = udp_target(log, format="raw", length_max=65_535)
        with logging_relay(target, text="y" * 66_000) as relay:
            exchange(relay)
            wait_for(lambda: lost(relay) == 1, 5, "the line is given up")


def test_levels_and_samples_choose_lines() -> None:
    with ExitStack() as stack:
        every, third, errors = [stack.enter_context(syslog()) for _ in range(3)]
        relay = stack.enter_context(
            logging_relay(
                udp_target(every, format="short"),
                udp_target(third, format="raw", sample=(False, False, True)),
                udp_target(errors, max_level=3),
                text="%rt",
            )
        )
        for _ in range(6):
            exchange(relay)
        assert [every.recv(99) for _ in range(6)] == [b"<6>%d\n" % n for n in range(6)]
        assert [third.recv(99) for _ in range(2)] == [b"2\n", b"5\n"]
        errors.setblocking(False)
        with pytest.raises(BlockingIOError):
            errors.recv(99)


def test_errors_have_a_level_of_their_own_and_normal_lines_may_be_left_out() -> None:
    with silent_port() as port, syslog() as log:
        target = udp_target(log, format="short")
        with logging_relay(target, text="%ts", port=port, separate_errors=True) as relay:
            relay.connect().close()
            assert log.recv(99) in (b"<3>SC\n", b"<3>CC\n")
        with logging_relay(target, text="%ts %U", skip_normal=True) as relay:
            exchange(relay)
            relay.wait_terminations({"--": 1})
            client = relay.connect()
            client.sendall(b"x")
            assert receive_count(client, 1) == b"x"
            reset(client)
            assert log.recv(99) == b"<6>CD 1\n"


def test_a_connection_without_a_byte_may_be_left_out() -> None:
    with syslog() as log, logging_relay(
        udp_target(log, format="raw"), text="%U", skip_null=True
    ) as relay:  # fmt: skip
        exchange(relay, b"")
        exchange(relay, b"abc")
        assert log.recv(99) == b"3\n"


def test_without_a_format_the_line_comes_with_the_client() -> None:
    with (
        syslog() as log,
        logging_relay(udp_target(log, format="raw"), text="") as relay,
        relay.connect() as client,
    ):
        host, port = client.getsockname()
        to = "{}:{}".format(*relay.address)
        assert log.recv(999).decode() == f"Connect from {host}:{port} to {to} (edge/TCP)\n"


@pytest.mark.parametrize(
    ("text", "as_soon", "line"), [("x", False, rb"x\n"), ("%Tt %B %bc", True, rb"\+\d+ \+0 1\n")]
)
def test_what_needs_no_end_is_logged_when_the_server_is_reached(
    text: str, as_soon: bool, line: bytes
) -> None:
    with syslog() as log:
        target = udp_target(log, format="raw")
        with logging_relay(target, text=text, as_soon=as_soon) as relay, relay.connect():
            assert re.fullmatch(line, log.recv(999))


def test_a_unix_client_and_an_ipv6_receiver(tmp_path: Path) -> None:
    bind = Endpoint(SocketFamily.UNIX, str(tmp_path / "in"))
    with syslog("::1") as log, Server(echo) as server:
        logs = access_log(udp_target(log, format="raw"), text="%ci %cp %fi %[src] %[dst_port] %U")
        with RelayUnderTest([server.address], binds=(bind,), shared=True, access_log=logs) as relay:
            client = relay.connect()
            client.sendall(b"ab")
            client.shutdown(socket.SHUT_WR)
            receive_all(client)
            client.close()
            assert log.recv(999) == b"unix 0 unix - - 2\n"


def unix_target(path: Path) -> LogTarget:
    return LogTarget(Endpoint(SocketFamily.UNIX, str(path)), LOCAL0, format="raw")


def test_a_unix_receiver_may_come_late_and_come_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with logging_relay(unix_target(path), text="%rt") as relay:
        for _ in range(3):
            exchange(relay)
        for first in (0, 5):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
                log.bind(str(path))
                log.settimeout(PATIENCE_SECONDS)
                assert [log.recv(99) for _ in range(3)] == [b"%d\n" % (first + n) for n in range(3)]
                exchange(relay)
                exchange(relay)
                assert log.recv(99) == b"%d\n" % (first + 3)
                assert log.recv(99) == b"%d\n" % (first + 4)
            path.unlink()
            for _ in range(3):
                exchange(relay)
        assert lost(relay) == 0


def test_a_unix_receiver_that_reads_nothing_costs_lines_not_connections(tmp_path: Path) -> None:
    path = tmp_path / "log"
    long_line = "z" * 60_000
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(path))
        target = LogTarget(
            Endpoint(SocketFamily.UNIX, str(path)), LOCAL0, format="raw", length_max=60_001
        )
        with logging_relay(target, text=long_line) as relay:
            held = BUFFER_BYTES // 60_001
            wait_for(lambda: exchange(relay) and lost(relay) > 0, 20, "the buffers fill")
            before = lost(relay)
            for _ in range(5):
                exchange(relay)
            assert lost(relay) == before + 5, "full is full"
            log.settimeout(PATIENCE_SECONDS)
            received = 0
            while received < held:
                assert log.recv(70_000) == long_line.encode() + b"\n"
                received += 1
            exchange(relay)
            wait_for(lambda: log.recv(70_000) and True, 5, "lines come again")


def test_a_pipe_whose_reader_stops_costs_lines_not_connections() -> None:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.set_inheritable(writer, True)
    with Server(echo) as server:
        target = LogTarget(None, LOCAL0, format="raw", descriptor=writer, length_max=4_000)
        relay = RelayUnderTest(
            [server.address], access_log=access_log(target, text="p" * 4_000), passed=(writer,)
        )
        with relay:
            os.close(writer)
            wait_for(lambda: exchange(relay) and lost(relay) > 0, 20, "pipe and buffer are full")
            received = b""
            while len(received) < 4_000 * 60:
                received += os.read(reader, 65_536)
            assert set(received.splitlines()) <= {b"p" * 3_999, received.splitlines()[-1]}
    os.close(reader)


def test_a_file_whose_disk_stands_still_costs_lines_not_connections(tmp_path: Path) -> None:
    shim, path = Shim(tmp_path), tmp_path / "lines"
    with path.open("wb") as file, Server(echo) as server:
        os.set_inheritable(file.fileno(), True)
        target = LogTarget(None, LOCAL0, format="raw", descriptor=file.fileno(), length_max=4_000)
        relay = RelayUnderTest(
            [server.address],
            workers=2,
            access_log=access_log(target, text="%rt " + "f" * 4_000),
            passed=(file.fileno(),),
            environment=shim.environ,
        )
        with relay:
            exchange(relay)
            wait_for(lambda: path.stat().st_size == 4_000, 5, "a line is in the file")
            shim.set(hold_files=1)
            wait_for(lambda: exchange(relay) and lost(relay) > 0, 20, "queue and buffers are full")
            assert shim.get("held") == 1
            shim.set(hold_files=0)
            for worker in range(2):
                relay.command(ProcessCommand.SOFT_STOP, worker)
            wait_for(lambda: relay.exit_status() == relay.exit_status(1) == 0, 5, "they end")
            kept = sum(relay.terminations().values()) - lost(relay)
            wait_for(lambda: path.stat().st_size >= 4_000 * kept, 5, "what was not lost is written")
            lines = path.read_text().splitlines()
    assert len(lines) == len({line.split()[0] for line in lines}) == kept
    assert {len(line) for line in lines} == {3_999}
    shim.close()


RECEIVER = """
import socket, sys
log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
log.bind(("127.0.0.1", int(sys.argv[1])))
while True:
    print(log.recv(999).decode().strip(), flush=True)
"""


def line_of(process: subprocess.Popen[str]) -> str:
    """A line that it has printed; nothing where it prints none in a moment."""
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 0.1)
    return process.stdout.readline() if readable else ""


def test_a_killed_syslog_server_gets_lines_again_when_it_is_back() -> None:
    port = free_port()

    def receiver() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", RECEIVER, str(port)], stdout=subprocess.PIPE, text=True
        )
        wait_for(lambda: f":{port:04X} " in Path("/proc/net/udp").read_text(), 10, "it listens")
        return process

    target = LogTarget(Endpoint(SocketFamily.IPV4, "127.0.0.1", port), LOCAL0, format="raw")
    with receiver() as first, logging_relay(target, text="%rt") as relay:
        assert first.stdout is not None
        exchange(relay)
        assert first.stdout.readline() == "0\n"
        first.send_signal(signal.SIGKILL)
        first.wait()
        for _ in range(20):
            exchange(relay)
        wait_for(lambda: lost(relay) > 0, 5, "the kernel says that nobody is there")
        relay.wait_terminations({"--": 21})
        with receiver() as second:
            # what the kernel learned of an earlier line may be told to the first one from now on
            wait_for(lambda: exchange(relay) and line_of(second), 5, "lines come again")
            second.send_signal(signal.SIGKILL)


def test_lines_that_wait_are_sent_before_a_worker_ends() -> None:
    with syslog() as log, logging_relay(udp_target(log, format="raw"), text="%rt") as relay:
        for _ in range(10):
            exchange(relay)
        relay.command(ProcessCommand.SOFT_STOP)
        assert sorted(int(log.recv(99)) for _ in range(10)) == list(range(10))
        wait_for(lambda: relay.exit_status() == 0, 5, "it ends")
        assert lost(relay) == 0


def test_two_workers_count_together_and_number_apart() -> None:
    with syslog() as log, Server(echo) as server:
        logs = access_log(udp_target(log, format="raw"), text="%rt %fc")
        with RelayUnderTest([server.address], workers=2, access_log=logs) as relay:
            for _ in range(40):
                exchange(relay)
            lines = [log.recv(99).split() for _ in range(40)]
    assert len({number for number, _ in lines}) == 40
    assert {sessions for _, sessions in lines} <= {b"1", b"2"}


def test_the_usual_line_over_ipv6() -> None:
    with syslog() as log, Server(echo) as server:
        bind = Endpoint(SocketFamily.IPV6, "::1")
        with RelayUnderTest(
            [server.address], binds=(bind,), access_log=access_log(udp_target(log))
        ) as relay:
            exchange(relay)
            (line,) = lines_of(log, 1)
            assert (line.client, line.bytes_read, line.state) == ("::1", "5", "--")
