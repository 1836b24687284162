"""No two test processes share a port, and nothing of the host's network is seen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config.text.context import has_ipv6_route
from tests.support.common import require_program
from tests.support.isolation import ISOLATED, RESOLV_CONF

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    os.environ.get(ISOLATED) != str(os.getpid()), reason="may not have namespaces of its own"
)

OTHER = """
import socket, sys
import tests.conftest
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("bound")
"""


def test_another_test_process_may_have_the_same_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mine:
        port = mine.getsockname()[1]
        other = subprocess.run(
            [sys.executable, "-c", OTHER, str(port)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert other.stdout == "bound\n", other.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "127.99.1.2", "::1"])
def test_loopback_is_up(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        socket.create_connection(server.getsockname()[:2]).close()


def test_there_is_nothing_but_loopback_and_a_way_into_the_void() -> None:
    require_program("ip")
    assert {name for _, name in socket.if_nameindex()} <= {"lo", "outside", "nowhere"}
    assert has_ipv6_route()
    with socket.socket() as client:
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.connect(("198.51.100.1", 80))


def test_nobody_is_asked_for_names() -> None:
    assert "127.255.255.53" in Path(RESOLV_CONF).read_text()
