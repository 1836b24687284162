"""The real program and names: through libc, through DNS, behind chroot, over a reload."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.dns.scripted import NX, SILENT, ScriptedNameserver, records
from tests.support.supervisor.backend import EchoBackend, echo_backend
from tests.support.supervisor.program import Program, is_alive, started

pytestmark = pytest.mark.slow  # each test starts the program
HOST = "127.44.7.1"
BACKEND_HOST = "127.44.7.2"
NAME = "app.test"
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


class Site:
    """A configuration whose one server is found by name."""

    def __init__(self, folder: Path, backend: EchoBackend, nameserver: ScriptedNameserver) -> None:
        self.folder = folder
        self.backend = backend
        self.nameserver = nameserver
        self.address: tuple[str, int] = HOST, free_port()
        self.path = str(folder / "edge.cfg")
        self.write()

    def write(self, more_global: str = "", server: str | None = None) -> None:
        host, _, port = self.nameserver.address.rpartition(":")
        default = f"{NAME}:{self.backend.address[1]} resolvers dns init-addr none"
        Path(self.path).write_text(
            f"global\n    nbthread 2\n{more_global}"
            f"resolvers dns\n    nameserver ns1 {host}:{port}\n"
            "    timeout resolve 200ms\n    timeout retry 200ms\n    hold valid 200ms\n"
            "defaults\n    mode tcp\n    timeout client 600s\n    timeout server 600s\n"
            "    timeout connect 2s\n"
            f"listen web\n    bind {HOST}:{self.address[1]}\n    server a {server or default}\n"
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with echo_backend(BACKEND_HOST) as backend, ScriptedNameserver() as nameserver:
        nameserver.set(NAME, "A", records(BACKEND_HOST))
        yield Site(tmp_path, backend, nameserver)


def forwards(site: Site) -> bool:
    try:
        with socket.create_connection(site.address, PATIENCE_SECONDS) as client:
            return client.recv(1) != b""
    except OSError:
        return False


def reload(program: Program) -> None:
    done = program.text().count("reload done")
    program.signal(signal.SIGUSR2)
    wait_for(lambda: program.text().count("reload done") > done, 10, "the reload is done")


def test_a_server_is_found_through_dns_and_resolverd_may_die(site: Site) -> None:
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        wait_for(lambda: forwards(site), 15, "the name is resolved")
        killed = program.pid_of("resolverd")
        os.kill(killed, signal.SIGKILL)
        assert forwards(site), "no client needs resolverd"
        wait_for(lambda: program.titles().get("resolverd", killed) != killed, 1, "it is back")
        asked = len(site.nameserver.asked(NAME, "A"))
        site.nameserver.wait_queries(asked + 1, NAME, "A")
        assert forwards(site)


def named_children(program: Program) -> dict[str, int]:
    """Those that are set up: a child takes its title once it has dropped its privileges."""
    return {name: pid for name, pid in program.titles().items() if "python" not in name}


def in_a_jail(site: Site) -> Path:
    """Let the children run behind an empty root, as another user."""
    jail = site.folder / "jail"
    jail.mkdir()
    site.write(f"    chroot {jail}\n    uid {NOBODY}\n    gid {NOBODY}\n")
    return jail


@as_root
def test_names_are_resolved_behind_chroot_by_another_user(site: Site) -> None:
    jail = in_a_jail(site)
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        wait_for(lambda: forwards(site), 15, "the name is resolved")
        wait_for(lambda: len(named_children(program)) == 4, 15, "all children have their titles")
        for name, pid in named_children(program).items():
            assert Path(f"/proc/{pid}").stat().st_uid == NOBODY, name
            assert os.readlink(f"/proc/{pid}/root") == str(jail), name  # noqa: PTH115
        assert os.stat(f"/proc/{program.pid}").st_uid == 0  # noqa: PTH116
        reload(program)
        wait_for(lambda: forwards(site), 15, "the next generation serves")
        old = program.pid_of("worker 0")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: program.titles().get("worker 0", old) != old, 15, "a worker is replaced")
        assert "failed" not in program.text()
    assert not is_alive(old)


@as_root
def test_checks_find_regular_expressions_behind_chroot(site: Site) -> None:
    """No module can be imported there any more."""
    in_a_jail(site)
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        wait_for(lambda: forwards(site), 15, "the name is resolved")
        rules = (
            "    option log-health-checks\n    option tcp-check\n    tcp-check expect rstring .\n"
        )
        path = Path(site.path)
        text = path.read_text().replace("    server a ", f"{rules}    server a ")
        path.write_text(text.rstrip() + " check\n")
        reload(program)
        passed = "Health check for server web/a succeeded, reason: Layer7 check passed"
        wait_for(lambda: passed in program.text(), 15, "a check")
        assert "failed" not in program.text()


@as_root
def test_a_reload_brings_names_and_metrics_behind_chroot(site: Site) -> None:
    """The program that started with neither has imported nothing for them."""
    in_a_jail(site)
    path, metrics = Path(site.path), (HOST, free_port())
    wanted = path.read_text()
    before, _, after = wanted.partition("resolvers dns")
    plain = f"server a {BACKEND_HOST}:{site.backend.address[1]}\n"
    path.write_text(before + after[after.index("defaults") :].partition("server a ")[0] + plain)
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        wait_for(lambda: forwards(site), 15, "the program serves")
        assert "resolverd" not in program.titles()
        path.write_text(
            f"{wanted}listen metrics\n    mode http\n    bind {HOST}:{metrics[1]}\n"
            "    http-request use-service prometheus-exporter if { path /metrics }\n"
        )
        reload(program)
        wait_for(lambda: forwards(site), 15, "the name is resolved")
        connection = http.client.HTTPConnection(*metrics, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/metrics")
        with closing(connection):
            assert b"haproxy_process_uptime_seconds" in connection.getresponse().read()
        assert "failed" not in program.text()


def test_a_reload_relearns_nothing(site: Site) -> None:
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        wait_for(lambda: forwards(site), 15, "the name is resolved")
        site.nameserver.set(NAME, "A", SILENT)
        site.nameserver.set(NAME, "AAAA", SILENT)
        reload(program)
        for _ in range(20):
            assert forwards(site), "the address is carried over"


def test_a_name_of_libc_is_kept_over_a_reload(site: Site) -> None:
    port = site.backend.address[1]
    site.write(server=f"localhost:{port} init-addr libc,none")
    with (
        echo_backend("127.0.0.1", port),
        echo_backend("::1", port),
        started(site.folder, "-f", site.path, real=True) as program,
    ):
        wait_for(lambda: forwards(site), 15, "libc knows localhost")
        reload(program)
        assert forwards(site)


def test_a_nameserver_that_says_no_leaves_the_server_out_and_the_start_goes_on(site: Site) -> None:
    site.nameserver.set(NAME, "*", NX)
    site.write(server=f"{NAME}:{site.backend.address[1]} resolvers dns")
    with started(site.folder, "-f", site.path, real=True, executed=True) as program:
        site.nameserver.wait_queries(2, NAME)
        program.await_text("could not resolve address 'app.test', disabling server.")
        assert not forwards(site)
        site.nameserver.set(NAME, "A", records(BACKEND_HOST))
        site.nameserver.set(NAME, "AAAA", records())
        wait_for(lambda: forwards(site), 10, "it is found later")
