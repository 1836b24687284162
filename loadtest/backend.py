"""The servers of the proxies: nginx with a small answer from memory, iperf3.

Owns their configuration and start; they run on the load's cores, never on the proxy's.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.process import ProgramFailedError, running
from loadtest.programs import executable
from loadtest.site import HostPort, Site

START_SECONDS = 5.0
RETRY_SECONDS = 0.01
ANSWER = "x" * 128
WEB_WORKERS_MAX = 4
IPERF_READY = b"Server listening"


def _configuration(site: Site, folder: Path) -> str:
    listens = " ".join(f"listen {server} reuseport backlog=4096;" for server in site.web.servers)
    return f"""\
worker_processes {min(len(site.load_cores), WEB_WORKERS_MAX)};
worker_rlimit_nofile {2 * site.sessions_max};
pid {folder / "nginx.pid"};
error_log {folder / "error.log"} crit;
events {{ worker_connections {site.sessions_max}; multi_accept on; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{ {listens} return 200 "{ANSWER}"; }}
}}
"""


@contextmanager
def web_backend(site: Site) -> Iterator[None]:
    """Serve the small answer on every web server address while the block lasts."""
    path = executable("nginx")
    if path is None:
        raise ProgramFailedError("the backend needs nginx, which is not installed")
    with tempfile.TemporaryDirectory(prefix="millrace-load-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            folder.chmod(0o755)  # nginx's workers are not root
        configuration = folder / "backend.conf"
        configuration.write_text(_configuration(site, folder), encoding="ascii")
        log = str(folder / "start.log")
        command = (path, "-p", name, "-c", str(configuration), "-e", log, "-g", "daemon off;")
        with (
            (folder / "output").open("wb") as output,
            running(command, site.load_cores, output) as child,
        ):
            for server in site.web.servers:
                _await_listener(child, server, folder / "output")
            yield


def _await_listener(child: subprocess.Popen[bytes], server: HostPort, output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((server.host, server.port), START_SECONDS),
        ):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(RETRY_SECONDS)
    raise ProgramFailedError(f"the backend does not listen: {output.read_text(errors='replace')}")


@contextmanager
def bulk_backend(server: HostPort, cores: frozenset[int]) -> Iterator[None]:
    """Run an iperf3 server while the block lasts: a new one each time, as it keeps broken tests."""
    path = executable("iperf3")
    if path is None:
        raise ProgramFailedError("iperf3 is not installed")
    command = (path, "-s", "-B", server.host, "-p", str(server.port), "--forceflush")
    with running(command, cores, subprocess.PIPE) as child:
        _await_line(child, IPERF_READY)
        yield


def _await_line(child: subprocess.Popen[bytes], wanted: bytes) -> None:
    assert child.stdout is not None, "started with a pipe"
    seen = b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while wanted not in seen:
            left = deadline - time.monotonic()
            chunk = os.read(child.stdout.fileno(), 4096) if selector.select(max(left, 0)) else b""
            if not chunk:
                raise ProgramFailedError(f"iperf3 server: {seen.decode(errors='replace')[-200:]}")
            seen += chunk
