"""The checks of a worker: of its part of the servers, by connecting to them. Must not know more."""

from __future__ import annotations

import asyncio

from proxy.health.check import Connects, RunningCheck
from proxy.health.checker import PartChecker
from proxy.health.part import worker_part
from proxy.runtime import Runtime


class Checker(PartChecker[RunningCheck]):
    """The checks of a worker."""

    def __init__(self, runtime: Runtime, worker: int, loop: asyncio.AbstractEventLoop) -> None:
        connects = Connects(never_local=runtime.settings.globals.checks_never_local)
        super().__init__(runtime, loop, connects, worker_part(runtime, worker))
