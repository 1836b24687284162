"""From the settings of a section to the dialect of its checks.

Owns what the dialects with an option of their own send and expect, as steps. A section's script is
compiled once for all its servers; one check is one run of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from proxy.config.model.checks import (
    CheckRules,
    ExpectStep,
    HttpCheck,
    Match,
    RedisCheck,
    SendStep,
    TcpCheck,
)
from proxy.config.model.settings import ProxyHeader
from proxy.health.dialect.connect_only import CONNECT_ONLY
from proxy.health.dialect.http import HttpRun, HttpScript
from proxy.health.dialect.script import Script
from proxy.health.dialect.seam import Dialect
from shm.check_status import CheckStatus

Factory = Callable[[], Dialect]

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


def connect_only() -> Dialect:
    """The check of a section without an option for checks."""
    return CONNECT_ONLY


class Dialects:
    """The dialects of one worker's checks."""

    def __init__(self) -> None:
        self._scripts: dict[tuple[int, ProxyHeader], Script | HttpScript] = {}

    def of(
        self,
        rules: CheckRules | None,
        backend_index: int,
        header: ProxyHeader,
        is_down: Callable[[], bool],
    ) -> Factory:
        """What makes the dialect of each check of a server.

        `header`: of the rules' `connect send-proxy`; `is_down`: whether checks have taken the
        server down.
        """
        if rules is None:
            return connect_only
        key = backend_index, header
        script = self._scripts.get(key)
        if script is None:
            script = self._scripts[key] = _script(rules, header)
        if isinstance(script, HttpScript):
            return partial(HttpRun, script, is_down)
        return script.run


def _script(rules: CheckRules, header: ProxyHeader) -> Script | HttpScript:
    if isinstance(rules, HttpCheck):
        return HttpScript(rules, header=header)
    if isinstance(rules, TcpCheck):
        return Script(rules.steps, header=header, numbered=True)
    assert isinstance(rules, RedisCheck), rules
    return Script(REDIS, header=header, numbered=False)
