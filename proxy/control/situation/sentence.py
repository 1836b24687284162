"""The first sentence: how many services are down and since when, and what changed last. Pure."""

from __future__ import annotations

import time
from typing import NamedTuple


class Counts(NamedTuple):
    """What the sentence is about; times are Unix seconds, 0 for never."""

    services: int
    services_down: int
    servers: int
    servers_wrong: int
    down_since: float
    generation: int
    began: float  # this generation
    changed: float  # the last server, and what became of it
    change: str
    now: float
    stopping: bool = False


def clock(moment: float, now: float) -> str:
    """A moment as people say it: the time of day, with the date where it is not today's."""
    then, today = time.localtime(moment), time.localtime(now)
    same = then[:3] == today[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", then)


def count(number: int, one: str) -> str:
    """A number of things."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def state(counts: Counts) -> str:
    """How it stands."""
    servers = f"{counts.servers_wrong:,} of {count(counts.servers, 'server')} down"
    if counts.services_down:
        since = f", since {clock(counts.down_since, counts.now)}" if counts.down_since else ""
        return f"{counts.services_down:,} of {count(counts.services, 'service')} down{since}"
    if not counts.services:
        return "No service is configured"
    up = "The service is up" if counts.services == 1 else f"All {counts.services:,} services up"
    return f"{up}, {servers}" if counts.servers_wrong else up


def last_change(counts: Counts) -> str:
    """What happened last."""
    if counts.changed > counts.began:
        return f"{counts.change} {clock(counts.changed, counts.now)}"
    began = "reload" if counts.generation > 1 else "start"
    return f"{began} {clock(counts.began, counts.now)}, generation {counts.generation}"


def sentence(counts: Counts) -> str:
    """The whole of it."""
    stopping = "; stopping: no new clients" if counts.stopping else ""
    return f"{state(counts)}; last change: {last_change(counts)}{stopping}"
