"""Sockets that will be closed, while others may go on listening on the same address.

A successor (of `-sf`, or any program of the same user) listens in the same SO_REUSEPORT group, and
the kernel deals new clients out to all members of the group. So a program in the group gives them
to the sockets that stay, and no client waits or is refused; one that comes to a closing socket all
the same has its SYN dropped, and repeats it after a second (`quiesce`). Where no member stays, the
kernel looks for another socket that listens there, as one of a successor on 0.0.0.0 (`withdraw`):
as a rule there is none, and new clients are refused at once.

The members of a group are numbered by age. When one leaves, the last takes its number: the
program names none that is about to change, as far as there is another. The last program names only
the number that no member has when the last closing socket is gone. It means nothing then, and the
kernel deals out as ever; only a member of the group can take it away, and each new one does
(`open_listener`).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from proxy.supervisor.binding import (
    INTERNET,
    Steering,
    queue_length,
    quiesce,
    release,
    shut,
    withdraw,
)
from proxy.supervisor.limits import EMPTYING_MS, SHUT_LIMIT_MS
from proxy.supervisor.listening import OpenSocket
from proxy.supervisor.neighbours import Neighbours, group_order

SO_MEMINFO = 55  # <asm-generic/socket.h>
MEMINFO_DROPS = 8  # <linux/sock_diag.h>
STRAYS_MAX = 4  # more dropped clients than were on their way: the group's order is another one


class Members:
    """The numbers of a group's members, as its sockets leave it. Pure."""

    def __init__(self, leaving: Sequence[bool]) -> None:
        """Which members leave, from the eldest to the youngest."""
        self._leaving = list(leaving)
        self._moved: set[int] = set()

    @property
    def targets(self) -> list[int]:
        """Numbers that new clients may be given to; none where no member stays.

        The last member is the next to move, so it is named only if it is alone. Those that have
        moved come before it only, because where they are follows from an order that an elder
        program may have changed.
        """
        settled = [number for number in self.staying if number != self.last]
        unmoved = [number for number in settled if number not in self._moved]
        return unmoved or settled or self.staying

    @property
    def last(self) -> int:
        """The highest number."""
        return len(self._leaving) - 1

    @property
    def last_stays(self) -> bool:
        """Whether the last member stays: its number is free when another is gone."""
        return not self._leaving[-1]

    @property
    def staying(self) -> list[int]:
        """Numbers of all that stay."""
        return [number for number, leaving in enumerate(self._leaving) if not leaving]

    def leave(self) -> None:
        """The first of those that leave is gone."""
        number = self._leaving.index(True)
        last = self.last
        self._leaving[number] = self._leaving[last]
        self._leaving.pop()
        self._moved.discard(last)
        if number < last and not self._leaving[number]:
            self._moved.add(number)


class Group:
    """The closing sockets of one address."""

    def __init__(self, items: Sequence[OpenSocket], neighbours: Neighbours) -> None:
        """No new client comes to them from now on."""
        self.items = list(items)
        self._members: Members | None = None
        if items[0].endpoint.family in INTERNET:
            with suppress(OSError):  # then their filters alone have to do
                members = Members(group_order((item.socket for item in items), neighbours))
                if members.staying:
                    Steering(members.staying).begin(items[0].socket)
                    self._members = members
                else:
                    for item in items:
                        withdraw(item.socket, item.endpoint)
        for item in items:
            quiesce(item.socket, item.endpoint)
        self._dropped = 0 if self._members is None else self._drops()

    def _drops(self) -> int:
        return sum(drops(item.socket) for item in self.items)

    def look(self) -> None:
        """Give up what is wrong: clients come to closing sockets.

        The numbers are others than the ages say, if an elder program has just left the group.
        """
        if self._members is not None and self._drops() > self._dropped + STRAYS_MAX:
            self._members = None
            release(self.items[0].socket)

    def shut(self) -> None:
        """End listening.

        What is named behind each end is made ahead of it. A member that stays alone has another
        number at once, and until that is named clients may come to closing sockets.
        """
        begin = self._next(0)
        for place, item in enumerate(self.items, 1):
            begin(item.socket)
            if self._members is not None:
                self._members.leave()
            begin = self._next(place)
            shut(item.socket, item.endpoint)
        self.items = []

    def _next(self, place: int) -> Callable[[socket.socket], None]:
        """What the socket at this place has to order before its own end."""
        members = self._members
        if members is None or place == len(self.items):
            return lambda _socket: None
        last = place == len(self.items) - 1
        if last and not members.last_stays:
            return release
        steering = Steering([members.last] if last else members.targets)

        def begin(listener: socket.socket) -> None:
            with suppress(OSError):
                steering.begin(listener)

        return begin


class Closing:
    """Everything that a generation closes."""

    def __init__(self, items: Iterable[OpenSocket], given: Iterable[OpenSocket] = ()) -> None:
        """They let no client in any more; those in their queues are still to be accepted.

        What was `given` to another program goes on listening there.
        """
        self.items = list(items)
        self._given = list(given)
        groups: dict[object, list[OpenSocket]] = {}
        for item in self.items:
            groups.setdefault(_name(item), []).append(item)
        neighbours = Neighbours()
        self._groups = [Group(items, neighbours) for items in groups.values()]

    def __bool__(self) -> bool:
        """Whether there is a socket to be closed."""
        return bool(self._groups or self._given)

    def look(self) -> None:
        """What is to be done while handshakes end."""
        for group in self._groups:
            group.look()

    def shut_empty(self, told_ms: int, *, served: bool) -> None:
        """End listening once no client is in any queue; the workers were told `told_ms` ago.

        `served`: one of them lives.
        """
        if told_ms < EMPTYING_MS:
            return
        waiting = any(queue_length(item.socket) for group in self._groups for item in group.items)
        if not waiting or not served or told_ms >= SHUT_LIMIT_MS:
            self.shut()

    def shut(self) -> None:
        """End listening, on all together."""
        for group in self._groups:
            group.shut()
        for item in self._given:
            release(item.socket)  # what the groups ordered ends with them
            item.socket.close()
        self._groups, self._given = [], []


def _name(item: OpenSocket) -> object:
    """What sockets of one group have in common, and others may."""
    if item.endpoint.family not in INTERNET:
        return id(item)
    v6only = item.socket.family == socket.AF_INET6 and item.socket.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    interface = item.socket.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    return item.socket.getsockname()[:2], bool(v6only), interface


def drops(listener: socket.socket) -> int:
    """Packets that did not get past a socket."""
    information = listener.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (MEMINFO_DROPS + 1))
    return int.from_bytes(information[4 * MEMINFO_DROPS :], sys.byteorder)
