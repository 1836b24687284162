"""The command line and the process's manners: statuses, background, pid file, systemd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.flags.usage import USAGE, USAGE_HINT
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.forking.process import run
from tests.support.supervisor.program import (
    ROOT,
    await_serving,
    descendants,
    greeting,
    hello,
    is_alive,
    started,
)

pytestmark = pytest.mark.slow  # each test starts the program
HOST = "127.44.3.1"
SCRIPT = str(ROOT / "tests/support/supervisor/program.py")
Address = tuple[str, int]


@pytest.fixture
def address() -> Address:
    return HOST, free_port()


@pytest.fixture
def edge(tmp_path: Path, address: Address) -> str:
    return write(tmp_path, address)


def write(folder: Path, address: Address, more: str = "", server: str = "127.0.0.1:1") -> str:
    path = folder / "edge.cfg"
    path.write_text(
        "global\n    nbthread 1\n"
        "defaults\n    mode tcp\n    timeout client 600s\n"
        "    timeout server 600s\n    timeout connect 1s\n"
        f"listen web\n    bind {address[0]}:{address[1]}\n    server a {server}\n{more}"
    )
    return str(path)


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, SCRIPT, *arguments], cwd=ROOT)


def test_a_valid_file_is_said_to_be_that_as_haproxy_does(edge: str) -> None:
    result = call("-c", "-f", edge)
    said = (result.returncode, result.stdout, result.stderr)
    assert said == (0, "Configuration file is valid\n", "")


def test_quiet_checks_in_silence(edge: str) -> None:
    result = call("-c", "-q", "-f", edge)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_all_errors_are_told_with_their_place(tmp_path: Path, address: Address) -> None:
    edge = write(tmp_path, address, "listen two\n    blance roundrobin\n    nonsense\n")
    result = call("-c", "-f", edge)
    assert result.returncode == 1
    assert f"parsing [{edge}:12] : unknown keyword 'blance' in 'listen' section" in result.stderr
    assert f"parsing [{edge}:13] : unknown keyword 'nonsense'" in result.stderr
    assert result.stderr.rstrip().endswith("config : Fatal errors found in configuration.")


def test_usage_is_status_1() -> None:
    for words in ([], ["--what"]):
        result = call(*words)
        assert (result.returncode, result.stdout) == (1, "")
        complaint, usage = result.stderr.split("\n", 1)
        assert complaint.startswith("[ALERT]")
        assert usage == USAGE_HINT


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["-c", "--help"], ["ping", "-h"]])
def test_help_is_told_where_it_was_asked_for_and_is_no_error(words: list[str]) -> None:
    result = call(*words)
    assert (result.returncode, result.stdout, result.stderr) == (0, USAGE, "")


def test_conditions_are_statuses() -> None:
    assert call("-cc", "streq(a,a)").returncode == 0
    assert call("-cc", "streq(a,b)").returncode == 1
    assert call("-cc", "nonsense(").returncode == 2


def test_versions() -> None:
    short = call("-v")
    assert short.returncode == 0
    assert short.stdout.startswith("Millrace version ")
    assert "uvloop" in call("-vv").stdout


def test_a_folder_that_is_not_there_is_an_alert(edge: str) -> None:
    result = call("-C", "/nowhere", "-c", "-f", edge)
    assert result.returncode == 1
    assert "Could not change to directory /nowhere" in result.stderr


def test_an_address_in_use_is_an_alert(address: Address, edge: str) -> None:
    with socket.create_server(address):
        result = call("-f", edge)
    assert result.returncode == 1
    assert result.stderr.count("[ALERT]") == 2
    assert (
        f"Binding [{edge}:9] for proxy web: cannot bind socket (Address already in use) "
        f"[{HOST}:{address[1]}]" in result.stderr
    )


def test_an_unresolvable_server_without_a_last_resort_is_an_alert(
    tmp_path: Path, address: Address
) -> None:
    edge = write(tmp_path, address, server="nowhere.invalid:80")
    for check in (["-c"], []):
        result = call(*check, "-f", edge)
        assert result.returncode == 1
        assert (
            f"[{edge}:10] : 'server web/a' : could not resolve address 'nowhere.invalid'."
            in result.stderr
        )


def test_an_unresolvable_server_with_a_last_resort_is_a_warning(
    tmp_path: Path, address: Address
) -> None:
    edge = write(tmp_path, address, server="nowhere.invalid:80 init-addr libc,none")
    result = call("-c", "-f", edge)
    assert result.returncode == 0
    assert "could not resolve address 'nowhere.invalid', disabling server." in result.stderr
    assert call("-c", "-dW", "-f", edge).returncode == 1


def test_a_user_that_cannot_be_had_is_an_alert_before_any_child_exists(
    tmp_path: Path, address: Address
) -> None:
    edge = write(tmp_path, address, "global\n    chroot /nowhere/at/all\n")
    result = call("-f", edge)
    assert result.returncode == 1
    assert "cannot chroot to '/nowhere/at/all': No such file or directory" in result.stderr


def test_it_runs_and_says_nothing(tmp_path: Path, edge: str, address: Address) -> None:
    with started(tmp_path, "-f", edge) as program:
        await_serving(address)
        assert program.text() == ""


@contextlib.contextmanager
def in_background(folder: Path, *arguments: str) -> Iterator[tuple[int, str]]:
    """Start with -D and a pid file; pid and output."""
    pidfile = folder / "pid"
    result = call("-D", "-p", str(pidfile), *arguments)
    assert result.returncode == 0, result.stderr
    pid = int(pidfile.read_text())
    try:
        yield pid, result.stdout + result.stderr
    finally:
        below = [child for child, _ in descendants(pid)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, [pid, *below])), 15, "everything ends")


def test_in_the_background_it_serves_before_the_command_returns(
    tmp_path: Path, edge: str, address: Address
) -> None:
    with in_background(tmp_path, "-f", edge) as (pid, output):
        assert output == ""
        worker, worker_pid, generation = hello(address)
        assert (worker, generation) == (0, 1)
        assert worker_pid in [child for child, _ in descendants(pid)]
        assert os.getsid(pid) == pid
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not is_alive(pid), 1, "it ends")


def test_in_the_background_it_reloads_by_a_relative_name(
    tmp_path: Path, edge: str, address: Address
) -> None:
    with in_background(tmp_path, "-C", str(tmp_path), "-f", "edge.cfg") as (pid, _):
        os.kill(pid, signal.SIGUSR2)
        wait_for(lambda: hello(address)[2] == 2, 15, "the new generation serves")


def test_a_failing_start_in_the_background_is_status_1_and_says_why(
    tmp_path: Path, edge: str
) -> None:
    pidfile = tmp_path / "no" / "such" / "folder" / "pid"
    result = call("-D", "-p", str(pidfile), "-f", edge)
    assert result.returncode == 1
    assert f"cannot start: cannot write the pid file '{pidfile}': No such" in result.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGUSR1, 0)]
)
def test_statuses_of_master_worker_mode(
    tmp_path: Path, edge: str, address: Address, number: signal.Signals, status: int
) -> None:
    with started(tmp_path, "-W", "-f", edge) as program:
        await_serving(address)
        wait_for(lambda: "Loading success." in program.text(), 15, "it says so")
        program.signal(number)
        assert program.wait() == status


def test_systemd_is_told_of_start_reload_and_end(
    tmp_path: Path, edge: str, address: Address
) -> None:
    name = f"\0millrace-test-{os.getpid()}-{address[1]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        manager.settimeout(PATIENCE_SECONDS)
        environ = {"NOTIFY_SOCKET": "@" + name[1:]}
        with started(tmp_path, "-Ws", "-f", edge, environ=environ) as program:
            assert f"READY=1\nMAINPID={program.pid}" in manager.recv(500).decode()
            hello(address)
            program.signal(signal.SIGUSR2)
            reloading = manager.recv(500).decode()
            assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert "READY=1" in manager.recv(500).decode()
            wait_for(lambda: hello(address)[2] == 2, 15, "the new generation serves")
            program.signal(signal.SIGTERM)
            assert "STOPPING=1" in manager.recv(500).decode()
            assert program.wait() == 0


@pytest.mark.parametrize("flag", ["-sf", "-st"])
def test_a_successor_serves_and_then_ends_its_predecessor(
    tmp_path: Path, edge: str, address: Address, flag: str
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    with started(tmp_path, "-f", edge) as first:
        _, old_worker, _ = await_serving(address)
        with started(folder, "-f", edge, flag, str(first.pid)) as second:
            assert first.wait(PATIENCE_SECONDS) == (0 if flag == "-sf" else -signal.SIGTERM)
            assert hello(address)[1] != old_worker
            assert second.child.poll() is None


def test_a_listening_descriptor_of_the_parent_is_taken_over(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listening:
        edge = tmp_path / "edge.cfg"
        edge.write_text(
            "global\n    nbthread 2\n"
            "defaults\n    mode tcp\n    timeout client 600s\n    timeout server 600s\n"
            '    timeout connect 1s\nlisten web\n    bind "fd@${FRONT}"\n    server a 127.0.0.1:1\n'
        )
        listening.set_inheritable(True)
        address = listening.getsockname()
        with subprocess.Popen(
            [sys.executable, SCRIPT, "-f", str(edge)],
            pass_fds=[listening.fileno()],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "FRONT": str(listening.fileno())},
        ) as child:
            with socket.create_connection(
                address, PATIENCE_SECONDS
            ) as client:  # waits in the queue until then
                client.settimeout(PATIENCE_SECONDS)
                assert greeting(client)[2] == 1
            child.send_signal(signal.SIGUSR2)
            wait_for(lambda: hello(address)[2] == 2, 15, "the new generation serves")
            child.send_signal(signal.SIGUSR1)
            assert child.wait(PATIENCE_SECONDS) == 0
        with socket.create_connection(address, PATIENCE_SECONDS):
            listening.accept()[0].close()  # it is still the parent's to use


def test_a_file_without_a_listener_does_not_start(tmp_path: Path) -> None:
    edge = tmp_path / "edge.cfg"
    edge.write_text("backend b\n    mode tcp\n    timeout connect 1s\n    timeout server 1s\n")
    checked, ran = call("-c", "-f", str(edge)), call("-f", str(edge))
    assert (checked.returncode, ran.returncode) == (2, 1)
    assert "will not start (no listener) => exit(2)." in checked.stderr
    assert "No enabled listener found (check for 'bind' directives) ! Exiting." in ran.stderr


def test_a_start_whose_workers_die_fails_soon(tmp_path: Path, address: Address) -> None:
    edge = Path(write(tmp_path, address))
    edge.write_text(edge.read_text().replace("server a", "server crash"))
    result = call("-f", str(edge))
    assert result.returncode == 1
    assert "not every process becomes ready: giving up" in result.stderr
    assert "exited with code 7" in result.stderr
    behind = call("-D", "-f", str(edge))
    assert behind.returncode == 1
    assert "not every process becomes ready: giving up" in behind.stderr


def test_who_is_killed_in_the_background_before_it_serves_is_told_of(
    tmp_path: Path, address: Address
) -> None:
    edge, pidfile = Path(write(tmp_path, address)), tmp_path / "pid"
    edge.write_text(edge.read_text().replace("server a", "server crash"))
    command = [sys.executable, SCRIPT, "-D", "-p", str(pidfile), "-f", str(edge)]
    paths = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=paths, stderr=subprocess.PIPE, text=True) as child:
        os.kill(wait_for(lambda: int(pidfile.read_text() or 0), 15, "a pid"), signal.SIGKILL)
        _, said = child.communicate(timeout=PATIENCE_SECONDS)
    assert child.returncode == 1
    assert "the program was killed by signal 9 (Killed) before it served" in said
