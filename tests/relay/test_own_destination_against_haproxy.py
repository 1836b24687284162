"""Servers at 0.0.0.0, `*` or `::`: the client is led to the address that it came to."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.servers import Server

pytestmark = pytest.mark.slow
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen ported
  bind 127.0.0.5:{ported}
  bind 127.0.0.6:{ported}
  server s 0.0.0.0:{there}
listen any
  bind :{any}
  server s *:{there}
listen six
  bind 127.0.0.5:{six}
  server s [::]:{there}
listen told
  bind 127.0.0.1:{told} accept-proxy
  server s *
listen shifted
  bind 127.0.0.1:{shifted} accept-proxy
  server s 0.0.0.0:+1 send-proxy
listen local
  bind unix@{{folder}}/local
  server s 0.0.0.0:{there}
"""
PORTS = ("ported", "any", "six", "told", "shifted")


def say_where(connection: socket.socket) -> None:
    """Tell the client at which address it arrived, behind what came with it."""
    connection.settimeout(PATIENCE_SECONDS)
    arrived = "{}:{} ".format(*connection.getsockname()[:2]).encode()
    sent = b""
    while not sent.endswith(b"x"):
        sent += connection.recv(500)
    connection.sendall(arrived + sent)


@contextmanager
def connected(address: tuple[str, int] | str) -> Iterator[socket.socket]:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with closing(socket.socket(family)) as client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(address)
        yield client


def heard(address: tuple[str, int] | str, sent: bytes) -> bytes:
    with connected(address) as client:
        client.sendall(sent)
        return client.makefile("rb").read()


def lived(program: str, folder: Path, there: int) -> list[bytes]:
    ports = {name: free_port() for name in PORTS}
    text = CONFIGURATION.format(there=there, **ports)
    header = b"PROXY TCP4 192.0.2.1 127.0.0.7 4000 %d\r\nx"
    with one_program(PROGRAMS[program](), folder / program, text, {}):
        said = [
            heard(("127.0.0.5", ports["ported"]), b"x"),
            heard(("127.0.0.6", ports["ported"]), b"x"),
            heard(("127.0.0.8", ports["any"]), b"x"),
            heard(("127.0.0.5", ports["six"]), b"x"),
            heard(("127.0.0.1", ports["told"]), header % there),
            heard(("127.0.0.1", ports["shifted"]), header % (there - 1)),
            heard(str(folder / program / "local"), b"x"),
        ]
    return [
        each.replace(b"%d" % there, b"THERE").replace(b"%d" % (there - 1), b"N") for each in said
    ]


def test_clients_are_led_where_they_came_to(tmp_path: Path) -> None:
    with Server(say_where, host="0.0.0.0") as server:
        ours, theirs = (lived(each, tmp_path, server.port) for each in ("millrace", "haproxy"))
    assert ours == theirs
    assert [each.split(b":")[0].decode() for each in ours] == [
        *("127.0.0.5", "127.0.0.6", "127.0.0.8", "127.0.0.5", "127.0.0.7", "127.0.0.7"),
        "127.0.0.1",
    ]
