"""The loads about the size of the table: sections, servers, places that are held.

Owns their list. Each stands beside the same load on a small table, so that the figure is a ratio of
one program to itself, and a busy minute of the machine meets both.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from loadtest.instance import Instance
from loadtest.load import Load, at_once
from loadtest.process import ProgramFailedError
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.site import Site
from loadtest.traffic import Sample, close

LIMITED_SESSIONS = 20
FREE_PLACES = 4
MANY_SESSIONS = 1_000  # beside the descriptors of so many listeners
HELD_SECONDS = 10.0  # for the last of the held connections to have its place
MANY_SECTIONS, MOST_SECTIONS, MANY_PLACES = 1_000, 4_000, 2_000


def close_beside_held(instance: Instance, site: Site, seconds: int, held: int) -> Sample:
    """Short connections for the places that `held` silent sessions leave."""
    with _held(site, held):
        instance.settle(HELD_SECONDS / 10)
        return close(instance, site, seconds)


@contextmanager
def _held(site: Site, count: int) -> Iterator[None]:
    """Clients that say nothing: each has a place of a server until the block ends."""
    front = (site.web.front.host, site.web.front.port)
    with ExitStack() as sockets:
        for number in range(count):
            try:
                sockets.enter_context(socket.create_connection(front, HELD_SECONDS))
            except OSError as error:
                raise ProgramFailedError(f"held connection {number + 1}: {error}") from error
        yield


def _sections(name: str, title: str, setup: Setup) -> Load:
    return Load(name, title, at_once(close), setup, programs=DNS_PROGRAMS, brief=False)


def _places(count: int) -> Load:
    held = count - FREE_PLACES

    def run(instance: Instance, site: Site, seconds: int) -> Sample:
        return close_beside_held(instance, site, seconds, held)

    setup = Setup(workers=2, web_servers=count, server_places=1)
    title = f"{FREE_PLACES} free places of {count:,}"
    name = f"places{count}"
    return Load(name, title, at_once(run), setup, programs=DNS_PROGRAMS, brief=False)


TABLE_LOADS = (
    _sections(
        "limitedfirst",
        "first of 1,000 sections, maxconn",
        Setup(sections=MANY_SECTIONS, sections_after=True, sessions_max=LIMITED_SESSIONS),
    ),
    _sections(
        "limitedlast",
        "last of 1,000 sections, maxconn",
        Setup(sections=MANY_SECTIONS, sessions_max=LIMITED_SESSIONS),
    ),
    _sections("sections1", "one section, 2 workers", Setup(workers=2, sessions_max=MANY_SESSIONS)),
    _sections(
        "sections4000",
        "4,000 sections, 2 workers",
        Setup(workers=2, sections=MOST_SECTIONS, sessions_max=MANY_SESSIONS),
    ),
    _places(FREE_PLACES),
    _places(MANY_PLACES),
)
