"""Servers with names that come and go at run time, as the process of resolverd follows them."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Callable

import msgspec
import pytest
import uvloop

from resolverd import daemon as resolverd_daemon
from resolverd.config import NO_ROW, MemberNews, Nameserver, ResolversSection
from resolverd.daemon import Daemon
from tests.support.common import wait_for
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import make_segment, settings_of

pytestmark = pytest.mark.slow

NAMES_BEFORE, NAMES = 600, 1_000  # more than questions are kept
NEVER_S = 3_600.0


class Coming:
    """Servers that a test lets come and go, each change at the next look."""

    def __init__(self) -> None:
        self.seen = 0
        self.next: MemberNews | None = None

    @property
    def waiting(self) -> bool:
        return self.next is not None

    def news(self) -> MemberNews:
        news, self.next = self.next or MemberNews([], []), None
        self.seen += any(news)
        return news


class Followed:
    """A daemon whose nameserver says nothing. Made in a child: its sockets end with that."""

    def __init__(self) -> None:
        self.silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.silent.bind(("127.0.0.1", 0))
        section = ResolversSection("r1", (Nameserver("ns1", *self.silent.getsockname()),))
        present = resolution_settings(servers(1))
        coming = resolution_settings(servers(1, first_slot=1), index=1, name="n.test")
        self.loop, self.members = uvloop.new_event_loop(), Coming()
        self.doorbell = os.eventfd(0, os.EFD_NONBLOCK)
        daemon = Daemon(
            settings_of(section, present),
            make_segment(settings_of(section, present, coming)),
            self.doorbell,
            lambda: None,
            log=lambda level, text: None,
            loop=self.loop,
        )
        daemon.members = self.members
        daemon.start()

    def change(self, news: MemberNews) -> None:
        """Ring, and return when it goes by the change."""
        seen = self.members.seen
        self.members.next = news
        os.eventfd_write(self.doorbell, 1)

        def one_turn() -> bool:
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            return self.members.seen > seen

        wait_for(one_turn, 1, "it goes by the change", step=0.0001)

    def names(self, first: int, count: int) -> None:
        """So many names come and go."""
        for number in range(first, first + count):
            name = resolution_settings(servers(1, first_slot=1), name=f"n{number}.test")
            self.change(MemberNews([], [msgspec.structs.replace(name, index=NO_ROW)]))
            self.change(MemberNews([1], []))


def blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()


def in_child(figure: Callable[[Followed], int]) -> int:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, str(figure(Followed())).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as found:
        said = found.read()
    os.waitpid(child, 0)
    return int(said)


def test_names_that_come_and_go_leave_nothing_behind() -> None:
    def blocks_grown(followed: Followed) -> int:
        followed.names(0, NAMES_BEFORE)
        before = blocks()
        followed.names(NAMES_BEFORE, NAMES)
        return blocks() - before

    assert in_child(blocks_grown) < NAMES / 4


def test_a_change_is_followed_when_the_bell_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolverd_daemon, "LOOK_DELAY_S", NEVER_S)
    monkeypatch.setattr(resolverd_daemon, "TICK_S", NEVER_S)

    def changes_seen(followed: Followed) -> int:
        followed.names(0, 10)
        return followed.members.seen

    assert in_child(changes_seen) == 20
