"""Checks with an option of their own, of real daemons: HAProxy and Millrace say the same of each.

What a server may say that no daemon says on request is in test_named_checks_against_haproxy.py.
"""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.health.check_peers import Case, tell
from tests.health.daemons import exim, mariadb, postgres, redis, slapd
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.servers import Server

DECIDED = "check inter 1s fall 1 rise 1"
ENDLESS = "check inter 1200 fall 1 rise 1"  # of what the check awaits more, until its time is up
CONNECTIONS_MAX = 30


class Expected(NamedTuple):
    """How a server on this port is checked, and how that ends."""

    option: str
    port: int
    status: str
    code: str = ""
    text: str = ""  # in the line of the log
    server: str = DECIDED


def agree(folder: Path, cases: dict[str, Expected]) -> None:
    """Both programs say what is expected of each case, and all of it alike."""
    folder.mkdir()
    backends = {
        name: Case((f"option {case.option}",), (), case.server, heard=False)
        for name, case in cases.items()
    }
    ports = {name: case.port for name, case in cases.items()}
    told = {
        program: tell(program, folder, backends, ports=ports) for program in ("haproxy", "millrace")
    }
    assert told["millrace"] == told["haproxy"]
    for name, case in cases.items():
        said = told["millrace"][name]
        assert (name, said.status, said.code) == (name, case.status, case.code)
        assert case.text in said.line
        state = "1/1 UP." if case.status.endswith("OK") else "0/1 DOWN."
        assert said.line.endswith(f"status: {state}")


@contextmanager
def crowd(port: int, refusal: bytes, taken: int) -> Iterator[None]:
    """All connections that the server takes, so that it answers the next one with the refusal.

    One that has ended counts there for a moment more: then another one is tried.
    """
    with ExitStack() as stack:

        def enter() -> bool:
            connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
            if refusal in connection.recv(4096):
                connection.close()
                return False
            stack.enter_context(connection)
            return True

        for _ in range(taken):
            wait_for(enter, PATIENCE_SECONDS, "the server takes one more")
        assert not enter(), "the server takes more connections than it is to take"
        yield


def aborted_connects(port: int) -> int:
    """How many connections the server says have ended before their login had."""
    command = (
        *(require_program("mariadb"), "--no-defaults", "--protocol=tcp", "--host=127.0.0.1"),
        *(f"--port={port}", "--user=known", "--skip-column-names", "--batch"),
        "--execute=SHOW GLOBAL STATUS LIKE 'Aborted_connects'",
    )
    said = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    return int(said.stdout.split()[1])


def test_mariadb(tmp_path: Path) -> None:
    with mariadb(CONNECTIONS_MAX) as port:
        known = ("L7OK", "0", "MariaDB")
        agree(
            tmp_path / "live",
            {
                "without_user": Expected("mysql-check", port, *known),
                "known": Expected("mysql-check user known", port, *known),
                "known_before_41": Expected("mysql-check user known pre-41", port, *known),
                "unknown": Expected("mysql-check user unknown", port, "L7STS", "1045", "denied"),
                "secret": Expected("mysql-check user secret", port, "L7STS", "1045", "denied"),
                "gone": Expected("mysql-check", free_port(), "L4CON"),
                "not_mail": Expected("smtpchk", port, "L7RSP"),
                "not_tls": Expected("ssl-hello-chk", port, "L6RSP"),
            },
        )
        logins = {
            f"login_{number}": Case((f"option mysql-check user known {form}",), (), DECIDED)
            for number, form in enumerate(("", "pre-41", "post-41", "post-80"))
        }
        broken = aborted_connects(port)
        told = tell("millrace", tmp_path, logins, ports=dict.fromkeys(logins, port))
        assert {said.status for said in told.values()} == {"L7OK"}
        # What `max_connect_errors` blocks a host for; the end of the program may cut one short.
        assert aborted_connects(port) <= broken + 1
        with crowd(port, b"Too many connections", CONNECTIONS_MAX + 1):
            full = ("L7STS", "1040", "Too many connections")
            agree(
                tmp_path / "full",
                {
                    "full": Expected("mysql-check", port, *full),
                    "full_for_user": Expected("mysql-check user known", port, *full),
                },
            )


def test_postgres(tmp_path: Path) -> None:
    with postgres() as port, postgres(starts_up=True) as starting:
        known = ("L7OK", "0", "PostgreSQL server is ok")
        agree(
            tmp_path / "live",
            {
                "known": Expected("pgsql-check user known", port, *known),
                "secret": Expected("pgsql-check user secret", port, *known),
                "starting": Expected("pgsql-check user known", starting, "L7RSP", "", '"FATAL"'),
                "unknown": Expected("pgsql-check user unknown", port, "L7RSP", "", '"FATAL"'),
                "gone": Expected("pgsql-check user known", free_port(), "L4CON"),
                "not_tls": Expected("ssl-hello-chk", port, "L6RSP"),
            },
        )


def test_redis(tmp_path: Path) -> None:
    with (
        redis() as port,
        redis("--requirepass", "x") as locked,
        redis("--maxclients", "1") as full,
        only_client(full),
    ):
        agree(
            tmp_path / "live",
            {
                "live": Expected("redis-check", port, "L7OK", "0", "Redis server is ok"),
                "locked": Expected("redis-check", locked, "L7TOUT", server=ENDLESS),
                "full": Expected("redis-check", full, "L7STS", "0", "max number of clients"),
                "gone": Expected("redis-check", free_port(), "L4CON"),
                "not_ldap": Expected("ldap-check", port, "L7TOUT", server=ENDLESS),
            },
        )


@contextmanager
def only_client(port: int) -> Iterator[None]:
    """The one that the server takes, once it has forgotten those before."""

    def taken() -> socket.socket | None:
        connection = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        with suppress(OSError):
            connection.sendall(b"PING\r\n")
            if connection.recv(64) == b"+PONG\r\n":
                return connection
        connection.close()
        return None

    with wait_for(taken, 1.0, "a place at the server"):
        yield


def test_slapd(tmp_path: Path) -> None:
    with slapd() as port, slapd("disallow bind_anon") as closed:
        agree(
            tmp_path / "live",
            {
                "live": Expected("ldap-check", port, "L7OK", "0", "Success"),
                "not_for_strangers": Expected("ldap-check", closed, "L7STS", "48", "See RFC"),
                "gone": Expected("ldap-check", free_port(), "L4CON"),
            },
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start an Exim that listens")
def test_exim(tmp_path: Path) -> None:
    with exim(CONNECTIONS_MAX) as port:
        bye = ("L7OK", "221", "mx.test closing connection")
        agree(
            tmp_path / "live",
            {
                "usual": Expected("smtpchk", port, *bye),
                "ehlo": Expected("smtpchk EHLO me.test", port, *bye),
                "refused": Expected("smtpchk HELO refused.test", port, "L7TOUT", server=ENDLESS),
                "no_name": Expected("smtpchk EHLO me_test", port, "L7TOUT", server=ENDLESS),
                "gone": Expected("smtpchk", free_port(), "L4CON"),
                "not_tls": Expected("ssl-hello-chk", port, "L6RSP"),
            },
        )
        with crowd(port, b"421 ", CONNECTIONS_MAX):
            full = Expected("smtpchk", port, "L7STS", "421", "Too many concurrent")
            agree(tmp_path / "full", {"full": full})


def test_openssl(tmp_path: Path) -> None:
    """A server of TLS refuses SSL 3.0 with an alert, which says what it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def handle(connection: socket.socket) -> None:
        with suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with Server(handle) as server:
        agree(
            tmp_path / "live",
            {
                "live": Expected("ssl-hello-chk", server.port, "L6OK"),
                "gone": Expected("ssl-hello-chk", free_port(), "L4CON"),
            },
        )
