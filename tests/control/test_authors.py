"""The author of an order is told of the server that it was about, by whatever name then."""

from __future__ import annotations

import pytest

from proxy.control.commands.configuration.authors import Authors
from proxy.control.rows.directory import Directory
from proxy.server_table import ServerTable
from shm.events import EventRing
from shm.log_level import LogLevel
from tests.support.config.loading import settings_of

RENAMED = "renamed"
SETTINGS = """
frontend web
    bind 127.0.0.1:1
backend b
    server s 10.0.0.1:1
    server t 10.0.0.2:1
backend c
    server s 10.0.0.1:1
"""
SWAPPED = (
    *("set weight b/s 9 [weight 1 -> 9]", "set weight b/t 8 [weight 1 -> 8]"),
    *("set server b/s name x [renamed s -> x]", "set server b/t name s [renamed t -> s]"),
    "set server b/x name t [renamed x -> t]",
)
RELOADED = (
    "reload done: generation 2 serves",
    "server b/t, renamed at run time, is s again",
    "server b/s, renamed at run time, is t again",
)


def author(events: tuple[str, ...], *words: str, what: str = "") -> str:
    """Which of these events is the order, by its number; `-` for none."""
    ring = EventRing()
    for number, event in enumerate(events):
        is_order = event not in RELOADED
        text = f"order of client {number}: {event}" if is_order else event
        ring.write(number, LogLevel.NOTICE, text)
    settings = settings_of(SETTINGS)
    by = Authors(ring, Directory(settings, ServerTable(settings))).of(*words, what=what)
    return by.removeprefix("client ").partition(",")[0] or "-"


@pytest.mark.parametrize(
    ("events", "words", "what", "number"),
    [
        (SWAPPED[:3], ("b/x",), "weight", "0"),
        (SWAPPED[:3], ("b/s",), "weight", "-"),
        (SWAPPED[:4], ("b/s",), "weight", "1"),
        (SWAPPED, ("b/s",), "weight", "1"),
        (SWAPPED, ("b/t",), "weight", "0"),
        (SWAPPED, ("b/t",), RENAMED, "4"),
        (SWAPPED, ("b/s",), RENAMED, "3"),
        ((*SWAPPED, *RELOADED), ("b/s",), "weight", "0"),
        ((*SWAPPED, *RELOADED), ("b/t",), "weight", "1"),
        ((*SWAPPED, *RELOADED, "set weight b/s 7 [weight 9 -> 7]"), ("b/s",), "weight", "8"),
        (
            ("set server b/s name x [renamed s -> x]", "set server c/s name x [renamed s -> x]"),
            ("b/x",),
            RENAMED,
            "0",
        ),
        (
            ("add server b/q 10.0.0.1:1", "set server b/q name z [renamed q -> z]"),
            ("add", "server", "b/z"),
            "",
            "0",
        ),
        (("set weight #3/#1 9 [weight 1 -> 9]", SWAPPED[3]), ("b/s",), "weight", "0"),
    ],
)
def test_the_order_is_found(
    events: tuple[str, ...], words: tuple[str, ...], what: str, number: str
) -> None:
    assert author(events, *words, what=what) == number
