"""What rules see of a backend that is busy: the same numbers as in HAProxy, over two workers."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.relay.rule_cases import serving

pytestmark = pytest.mark.slow
HIGHEST = 40
ASKED = (
    *("nbsrv(busy)", "queue(busy)", "avg_queue(busy)", "be_conn(busy)", "be_conn_free(busy)"),
    *("connslots(busy)", "srv_conn(busy/s1)", "srv_conn_free(busy/s1)", "srv_queue(busy/s1)"),
    *("srv_conn_free(busy/s2)", "srv_conn_free(busy/s4)", "be_conn_free(open)", "connslots(open)"),
    *("connslots(spare)", "be_conn_free(spare)", "fe_conn(busy)", "avg_queue(down)"),
    *("srv_weight(busy/s2)", "srv_iweight(busy/s2)", "srv_uweight(busy/s3)"),
)
TEXT = """\
global
  stats socket {{folder}}/s level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout queue 60s
listen busy
  bind 127.0.0.1:{busy}
  server s1 <s1> maxconn 2 maxqueue 9
  server s2 <s2> maxconn 3 maxqueue 8 weight 7
  server s3 <s2> maxconn 9 maxqueue 8 weight 9 disabled
  server s4 <s2> maxconn 6 maxqueue 5 backup
backend open
  server s1 <s1> maxconn 2
backend spare
  server s1 <s1> maxconn 4 maxqueue 3 disabled
  server s2 <s1> maxconn 5 maxqueue 2 backup
  server s3 <s1> maxconn 6 maxqueue 1 backup
backend down
  server s1 <s1> disabled
listen asked
  bind 127.0.0.1:{asked}
  default_backend asked
  server s1 <s1>
"""


def source(number: int, value: int) -> str:
    """Where a client comes from that asks whether a fetch has a value; -1: less than 0."""
    return f"127.2.{number}.{value + 2}"


def rules() -> str:
    found = ""
    for number, fetch in enumerate(ASKED):
        for value in range(-1, HIGHEST):
            wanted = f"eq {value}" if value >= 0 else "lt 0"
            found += (
                f"  tcp-request connection reject if {{{{ src {source(number, value)} }}}} "
                f"{{{{ {fetch} {wanted} }}}}\n"
            )
    return found


def has(number: int, value: int, port: int) -> bool:
    with socket.socket() as client, suppress(ConnectionError):
        client.settimeout(PATIENCE_SECONDS)
        client.bind((source(number, value), 0))
        client.connect(("127.0.0.1", port))
        return not client.recv(1)
    return True


def value_of(number: int, port: int) -> int | None:
    """What a fetch says: the one value that it has; None for one beyond those that are asked."""
    found = [value for value in range(-1, HIGHEST) if has(number, value, port)]
    assert len(found) <= 1
    return found[0] if found else None


def has_sessions(program: OneProgram, wanted: tuple[str, str]) -> bool:
    """Whether the busy backend has so many sessions, and so many of them in queues."""
    head, *lines = program.ask("show stat").splitlines()
    rows = [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines if line]
    [row] = [row for row in rows if (row["# pxname"], row["svname"]) == ("busy", "BACKEND")]
    return (row["scur"], row["qcur"]) == wanted


def asked(program: str, folder: Path, names: dict[str, str]) -> list[dict[str, int | None]]:
    """What each fetch says while so many sessions are there."""
    ports = {"busy": free_port(), "asked": free_port()}
    text = TEXT.format(**ports)
    text = text.replace("  default_backend asked\n", rules())
    for name, value in names.items():
        text = text.replace(name, value)
    found = []
    with one_program(PROGRAMS[program](), folder, text, {}) as made, ExitStack() as held:
        for count, wanted in ((0, ("0", "0")), (3, ("3", "0")), (5, ("8", "3"))):
            for _ in range(count):
                held.enter_context(socket.create_connection(("127.0.0.1", ports["busy"])))
            wait_for(partial(has_sessions, made, wanted), PATIENCE_SECONDS, "sessions are there")
            found.append({name: value_of(n, ports["asked"]) for n, name in enumerate(ASKED)})
    return found


def test_the_numbers_are_the_same(tmp_path: Path) -> None:
    with serving() as servers:
        names = {f"<{name.lower()}>": f"127.0.0.1:{port}" for name, port in servers.ports.items()}
        found = {program: asked(program, tmp_path / program, names) for program in PROGRAMS}
    assert found["millrace"] == found["haproxy"]
    assert found["haproxy"][2]["avg_queue(busy)"] == 2  # three sessions, two servers
