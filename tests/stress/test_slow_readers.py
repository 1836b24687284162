"""Bulk beside clients that do not read: memory stays bounded, bulk goes on, nothing is lost.

iperf3 sends some gigabytes through the program while stalled clients hold sessions whose
servers send without end. The program may grow by at most one MiB for each stalled session; once
those clients read again, each gets a stream without a gap.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.generated import sample
from tests.support.program.program import Program

GIGABYTES = sample(5, full=50)
STALLED = 50
MIB = 1 << 20
PATTERN = bytes(range(251)) * 4_000
DRAIN_BYTES = 3 * len(PATTERN)  # read from each stalled session when all is over
CONFIGURATION = """
global
  nbthread 2
  stats socket {{socket}} level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen bulk
  bind 127.0.0.1:{port}
  server iperf 127.0.0.1:{iperf_port}
listen endless
  bind 127.0.0.1:{endless_port}
  server source 127.0.0.1:{source_port}
"""


def pss_bytes(pid: int) -> int:
    """Proportional share of memory of a process and all below it."""
    total = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += pss_bytes(int(child))
    return total


async def endless_source() -> asyncio.Server:
    """A server that sends the pattern again and again, as fast as it is taken."""

    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                writer.write(PATTERN)
                await writer.drain()

    return await asyncio.start_server(send, "127.0.0.1", 0, backlog=STALLED)


@contextmanager
def iperf_server(port: int) -> Iterator[None]:
    command = [require_program("iperf3"), "-s", "-B", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as server:
        try:
            wait_for(lambda: listening(port), 5, "iperf3's server")
            yield
        finally:
            server.terminate()


def listening(port: int) -> bool:
    """Whether a listener is there, without a connection that would disturb a server of one client."""
    wanted = f":{port:04X}"
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(row.split()[1].endswith(wanted) and row.split()[3] == "0A" for row in rows)


async def stalled_clients(port: int) -> list[socket.socket]:
    """Clients that connect, and read nothing."""
    clients = []
    for _ in range(STALLED):
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
        clients.append(client)
    return clients


async def drain(client: socket.socket) -> None:
    """Read on: the stream must be the pattern from its first byte, without a gap."""
    received = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while received < DRAIN_BYTES:
            chunk = await asyncio.get_running_loop().sock_recv(client, 65_536)
            assert chunk, f"ended after {received} bytes"
            start = received % 251
            assert chunk == PATTERN[start : start + len(chunk)], f"wrong after {received} bytes"
            received += len(chunk)
    client.close()


async def bulk(port: int) -> float:
    """Send the gigabytes; how many arrived."""
    client = await asyncio.create_subprocess_exec(
        require_program("iperf3"),
        *("-c", "127.0.0.1", "-p", str(port), "-n", f"{GIGABYTES * 1000:.0f}M", "-J"),
        stdout=asyncio.subprocess.PIPE,
    )
    report = json.loads((await client.communicate())[0])
    assert "error" not in report, report.get("error")
    arrived: float = report["end"]["sum_received"]["bytes"]
    return arrived / 1e9


async def measure(folder: Path) -> None:
    source = await endless_source()
    source_port = source.sockets[0].getsockname()[1]
    port, endless_port, iperf_port = (free_port() for _ in range(3))
    configuration = CONFIGURATION.format(
        port=port, endless_port=endless_port, iperf_port=iperf_port, source_port=source_port
    )
    with iperf_server(iperf_port), Program(folder, configuration) as program:
        before = pss_bytes(program.process.pid)
        stalled = await stalled_clients(endless_port)
        arrived = await bulk(port)
        grown = pss_bytes(program.process.pid) - before
        assert arrived >= GIGABYTES * 0.999
        assert grown <= STALLED * MIB, f"grew by {grown / MIB:.1f} MiB for {STALLED} sessions"
        await asyncio.gather(*(drain(client) for client in stalled))
    source.close()


@pytest.mark.slow
def test_slow_readers_cost_a_mebibyte_each_at_most(tmp_path: Path) -> None:
    require_program("iperf3")
    asyncio.run(measure(tmp_path))
