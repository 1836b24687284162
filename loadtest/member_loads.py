"""The load of servers that come and go: one is added and deleted again and again, beside requests.

Owns its list, and the thread that orders, which leaves its core to the generator and the servers.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from loadtest.asking import ANSWER_SECONDS, ask
from loadtest.instance import Instance
from loadtest.load import Load, at_once
from loadtest.process import ProgramFailedError
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.site import Site
from loadtest.traffic import Sample, keepalive

BETWEEN_SECONDS = 0.01  # two pairs
NAME = "web/passing"


@dataclass(slots=True)
class Operator:
    """Times of what was ordered, in seconds, and the first answer that was a refusal."""

    added: list[float] = field(default_factory=list)
    deleted: list[float] = field(default_factory=list)
    refused: str = ""

    def pair(self, instance: Instance, server: str) -> None:
        """Add one server, let it serve, take it out and delete it."""
        for line, times, wanted in (
            (f"add server {NAME} {server}", self.added, b"New server registered."),
            (f"enable server {NAME}", None, b""),
            (f"disable server {NAME}", None, b""),
            (f"shutdown sessions server {NAME}", None, b""),
            (f"del server {NAME}", self.deleted, b"Server deleted."),
        ):
            seconds, said = ask(instance, line)
            if said.strip() != wanted:
                self.refused = f"{line}: {said[:80]!r}"
                return
            if times is not None:
                times.append(seconds)


def members(instance: Instance, site: Site, seconds: int) -> Sample:
    """Requests of a closed loop, while a server comes and goes."""
    with operating(instance, str(site.web.servers[0])) as operator:
        sample = keepalive(instance, site, seconds)
    if operator.refused or not operator.deleted:
        raise ProgramFailedError(operator.refused or "no server was deleted in time")
    return {
        "add_ms": median(operator.added) * 1000,
        "del_ms": median(operator.deleted) * 1000,
        "pairs": len(operator.deleted),
        "rate": sample["rate"],
        "errors": sample["errors"],
        "units": len(operator.deleted),
    }


@contextmanager
def operating(instance: Instance, server: str) -> Iterator[Operator]:
    """Pairs of orders in a thread, until the block ends."""
    operator = Operator()
    over = threading.Event()

    def work() -> None:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        while not over.wait(BETWEEN_SECONDS) and not operator.refused:
            operator.pair(instance, server)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield operator
    finally:
        over.set()
        thread.join(ANSWER_SECONDS)


MEMBER_LOADS = (
    Load(
        "members",
        "servers that come and go",
        at_once(members),
        Setup(workers=2),
        programs=DNS_PROGRAMS,
    ),
)
