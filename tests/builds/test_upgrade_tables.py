"""What stick tables know outlives an upgrade: counters, rates, who is barred, who goes where."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.installed import Installed
from tests.support.program.program import NamedBackend, Program

pytestmark = pytest.mark.slow

CONFIGURATION = """
global
    nbthread 2
    stats socket {{socket}} level admin
    log stdout format raw local0
defaults
    mode tcp
    timeout connect 9s
    timeout client 99s
    timeout server 99s
backend seen
    stick-table type ip size 10k expire 1h store conn_cnt,conn_cur,gpc0,conn_rate(1h)
backend other
    stick-table type string len 32 size {size} store gpc0
listen web
    bind 127.0.0.1:{port}
    tcp-request connection reject if {{{{ src,table_gpc0(seen) gt 0 }}}}
    tcp-request connection track-sc0 src table seen
    server a 127.0.0.1:{server}
"""
ENTRY = re.compile(r"key=127\.0\.0\.1 use=(\d+) exp=(\d+) (.*)")


class Edge:
    """A program that tracks its clients, and bars those that an operator marked."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, installed: Installed) -> None:
        self.backend = NamedBackend("127.0.0.1", 0)
        stack.callback(self.backend.close)
        self.port = free_port()
        self.program = stack.enter_context(
            Program(folder, self.text("1k"), environ=installed.environ, executed=True)
        )
        self.stack = stack

    def text(self, size: str) -> str:
        said = CONFIGURATION.format(port=self.port, server=self.backend.port, size=size)
        return said.replace("{{", "{").replace("}}", "}")

    @property
    def told(self) -> str:
        return self.program.output.read_text()

    def session(self) -> socket.socket:
        address = ("127.0.0.1", self.port)
        client = self.stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
        client.settimeout(PATIENCE_SECONDS)
        return client

    def is_served(self) -> bool:
        with contextlib.suppress(ConnectionError):
            return self.session().recv(100) != b""
        return False

    def seen(self) -> dict[str, int]:
        """What the table has of this host."""
        found = ENTRY.search(self.program.ask("show table seen"))
        assert found is not None
        words = (word.rpartition("=") for word in found[3].split())
        return {name: int(value) for name, _, value in words}

    def upgrade(self) -> None:
        done = self.told.count("upgrade done")
        self.program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: self.told.count("upgrade done") > done, 60, "the upgrade")


def test_entries_go_on(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed)
        open_before = edge.session()
        assert open_before.recv(100)
        assert edge.is_served()
        edge.program.ask("set table other key some data.gpc0 7")
        wait_for(lambda: edge.seen()["conn_cnt"] == 2, PATIENCE_SECONDS, "two were counted")
        rate = edge.seen()["conn_rate(3600000)"]
        for number in range(2):
            installed.change("proxy/demo/world.py", f"# {number}")
            edge.upgrade()
        assert edge.seen()["conn_cnt"] == 2
        assert edge.seen()["conn_rate(3600000)"] == rate
        assert edge.seen()["conn_cur"] == 0, "a session of the former build is not counted here"
        assert "gpc0=7" in edge.program.ask("show table other key some")
        assert edge.is_served()
        wait_for(lambda: edge.seen()["conn_cnt"] == 3, PATIENCE_SECONDS, "and the third")
        edge.program.ask("set table seen key 127.0.0.1 data.gpc0 1")
        assert not edge.is_served()
        installed.change("proxy/demo/world.py", "# once more")
        edge.program.write(edge.text("2k"))
        edge.upgrade()
        assert not edge.is_served(), "who was barred is barred"
        assert "used:0" in edge.program.ask("show table other")
        assert "stick-table 'other' begins empty" in edge.told
        open_before.sendall(b"still here")
        assert open_before.recv(100) == b"still here"


def test_tables_of_another_layout_are_not_read(tmp_path: Path) -> None:
    installed = Installed(tmp_path / "installed")
    with contextlib.ExitStack() as stack:
        edge = Edge(tmp_path, stack, installed)
        edge.program.ask("set table other key some data.gpc0 7")
        installed.change("shm/tables/layout.pxd", "# another layout")
        installed.change("proxy/demo/world.py")
        edge.upgrade()
        assert "counters and stick tables begin anew" in edge.told
        assert "used:0" in edge.program.ask("show table other")
        assert edge.is_served()
