"""From the settings of a section to the dialect of its checks.

Owns the steps of `redis-check`, and which file has each of the other options. A section's script
or conversation is made once for all its servers; one check is one run of it. Few configurations
check in several ways, so each is imported where a section wants it: by `load`, before a fork.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from proxy.config.model.checks import (
    CheckRules,
    ExpectStep,
    ExternalCheck,
    HttpCheck,
    LdapCheck,
    Match,
    MysqlCheck,
    NamedCheck,
    PgsqlCheck,
    RedisCheck,
    SendStep,
    SmtpCheck,
    SslHelloCheck,
    TcpCheck,
)
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.seam import Dialect, Subject
from proxy.lists.changing.kinds import Lists
from proxy.rules.forms import Forms, forms_of
from shm.check_status import CheckStatus
from shm.segment import Segment

if TYPE_CHECKING:
    from proxy.health.dialect.conversation import Conversation
    from proxy.health.dialect.http import HttpScript
    from proxy.health.dialect.script import Script

Factory = Callable[[], Dialect]
MODULES = {  # of this folder
    HttpCheck: "http",
    LdapCheck: "ldap",
    MysqlCheck: "mysql",
    PgsqlCheck: "pgsql",
    RedisCheck: "script",
    SmtpCheck: "mail",
    SslHelloCheck: "tls_hello",
    TcpCheck: "script",
}

REDIS = (
    SendStep(1, b"*1\r\n$4\r\nPING\r\n"),
    ExpectStep(
        2,
        Match.STRING,
        b"+PONG\r\n",
        error_status=CheckStatus.L7STS,
        on_success="Redis server is ok",
    ),
)


def load(rules: CheckRules) -> None:
    """Import what the checks of a section take; raises ImportError."""
    if type(rules) in MODULES:
        importlib.import_module(f"proxy.health.dialect.{MODULES[type(rules)]}")


def connect_only() -> Dialect:
    """The check of a section without an option for checks."""
    return CONNECT_ONLY


class Dialects:
    """The dialects of one worker's checks."""

    def __init__(
        self,
        segment: Segment | None = None,
        process: int = 0,
        lists: Lists = (),
        *,
        row: int = 0,
    ) -> None:
        """For formats: they look into the segment and the lists, and tell the id of the process.

        `row` is where they set variables of the program (shm/variables.pxd).
        """
        self._row = row
        self._segment = segment
        self._lists = lists
        self._process = process
        self._scripts: dict[tuple[int, ProxyHeader], Script] = {}
        self._factories: dict[tuple[int, ProxyHeader], Factory] = {}
        self._http: dict[tuple[int, ProxyHeader], HttpScript] = {}

    def of(
        self,
        rules: CheckRules | None,
        backend_index: int,
        header: ProxyHeader,
        subject: Subject,
    ) -> Factory:
        """What makes the dialect of each check of a server.

        `header`: of the rules' `connect send-proxy`.
        """
        if rules is None or isinstance(rules, ExternalCheck):  # a program: nothing is said here
            return connect_only
        key = backend_index, header
        if isinstance(rules, HttpCheck):
            from proxy.health.dialect.http import HttpRun, HttpScript  # noqa: PLC0415 - as wanted

            if key not in self._http:
                forms = self._forms(rules)
                self._http[key] = HttpScript(rules, header=header, forms=forms)
            return partial(HttpRun, self._http[key], subject)
        if isinstance(rules, TcpCheck):
            from proxy.health.dialect.script import Script  # noqa: PLC0415 - as wanted

            if key not in self._scripts:
                forms = self._forms(rules)
                self._scripts[key] = Script(rules.steps, header=header, numbered=True, forms=forms)
                self._factories[key] = self._scripts[key].run
            if self._scripts[key].forms is not None:
                return partial(self._scripts[key].run, subject)
            return self._factories[key]
        if key not in self._factories:
            self._factories[key] = _factory(rules, header)
        return self._factories[key]

    def _forms(self, rules: TcpCheck | HttpCheck) -> Forms | None:
        return forms_of(
            rules.steps,
            rules.variables,
            self._segment,
            self._process,
            self._lists,
            row=self._row,
        )


def _factory(rules: NamedCheck, header: ProxyHeader) -> Factory:
    if isinstance(rules, RedisCheck):
        from proxy.health.dialect.script import Script  # noqa: PLC0415 - as wanted

        return Script(REDIS, header=header, numbered=False).run
    if isinstance(rules, SslHelloCheck):
        from proxy.health.dialect import tls_hello  # noqa: PLC0415 - as wanted

        return lambda: tls_hello.conversation(int(time.time())).run()
    return _conversation(rules).run


def _conversation(rules: SmtpCheck | MysqlCheck | PgsqlCheck | LdapCheck) -> Conversation:
    if isinstance(rules, SmtpCheck):
        from proxy.health.dialect import mail  # noqa: PLC0415 - as wanted

        return mail.conversation(rules)
    if isinstance(rules, MysqlCheck):
        from proxy.health.dialect import mysql  # noqa: PLC0415 - as wanted

        return mysql.conversation(rules)
    if isinstance(rules, PgsqlCheck):
        from proxy.health.dialect import pgsql  # noqa: PLC0415 - as wanted

        return pgsql.conversation(rules)
    from proxy.health.dialect import ldap  # noqa: PLC0415 - as wanted

    return ldap.conversation()
