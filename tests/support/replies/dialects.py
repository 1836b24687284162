"""All dialects of checks, each with what makes a case of it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.support.replies.http_replies import http_check
from tests.support.replies.packets import ldap, mysql, mysql_login, pgsql, ssl_hello
from tests.support.replies.play import Case
from tests.support.replies.words import agent, redis, smtp, tcp_check

Maker = Callable[[Random], Case]

DIALECTS: dict[str, Maker] = {
    "tcp-check": tcp_check,
    "http-check": http_check,
    "mysql-check": mysql,
    "mysql-check user": mysql_login,
    "pgsql-check": pgsql,
    "redis-check": redis,
    "smtpchk": smtp,
    "ldap-check": ldap,
    "ssl-hello-chk": ssl_hello,
    "agent-check": agent,
}


def cases_of(dialect: str, seed: int, count: int) -> list[Case]:
    """So many of a dialect; the first ones of a seed are the same whatever the count."""
    chance = Random(f"{dialect} {seed}")
    return [DIALECTS[dialect](chance) for _ in range(count)]
