"""The loads of sessions that are told of: requests at a fixed rate while an operator lists all.

Owns their list, and that operator. The sessions are idle ones; both ends of each are in this
process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadtest.asking import ANSWER_SECONDS, ask
from loadtest.generators import built_generator
from loadtest.idle import hold_connections
from loadtest.instance import Instance
from loadtest.knocking import BESIDE_SHARE
from loadtest.latency import largest_rate, pace
from loadtest.load import Load, Prepare, Run
from loadtest.process import ProgramFailedError
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.site import Site, idle_connections
from loadtest.traffic import Sample, keepalive

LISTED_SESSIONS = 4_000
BETWEEN_SECONDS = 0.1  # two listings


def beside_listings(*, listed: bool) -> Prepare:
    """Requests at a fixed rate beside idle sessions, which are `listed` all the while or not."""

    @contextmanager
    def prepare(site: Site, _setup: Setup) -> Iterator[Run]:
        rate = BESIDE_SHARE * largest_rate(site, keepalive)
        with built_generator(site, "pacer") as pacer:

            def run(instance: Instance, site: Site, seconds: int) -> Sample:
                with hold_connections(site.idle, idle_connections(site, LISTED_SESSIONS)):
                    if not listed:
                        return pace(instance, site, seconds, pacer, rate)
                    with operator(instance) as times:
                        sample = pace(instance, site, seconds, pacer, rate)
                    if not times:
                        raise ProgramFailedError("no session was listed in time")
                    return {**sample, "listing_ms": 1000 * max(times), "listings": len(times)}

            yield run

    return prepare


@contextmanager
def operator(instance: Instance) -> Iterator[list[float]]:
    """Ask for all sessions over and over; seconds that each answer took."""
    times: list[float] = []
    over = threading.Event()
    thread = threading.Thread(target=_list, args=(instance, times, over.wait), daemon=True)
    thread.start()
    try:
        yield times
    finally:
        over.set()
        thread.join(ANSWER_SECONDS)


def _list(instance: Instance, times: list[float], over: Callable[[float], bool]) -> None:
    """The thread gives way to the generator and to the servers, which share its core."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while not over(BETWEEN_SECONDS):
        seconds, _answer = ask(instance, "show sess")
        times.append(seconds)


SESSION_LOADS = (
    Load("unlisted", "beside idle sessions", beside_listings(listed=False), programs=DNS_PROGRAMS),
    Load("listed", "while they are listed", beside_listings(listed=True), programs=DNS_PROGRAMS),
)
