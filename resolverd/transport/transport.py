"""The questions of one `resolvers` section to its nameservers, and their replies.

Owns the open attempts and the counts of all messages (the names of HAProxy's `show resolvers`).
Knows no state machine, no server and no segment: it calls a function that counts, and passes
answers to a receiver.

All nameservers are asked at once, each under an id of its own and, over UDP, on a socket of its
own. Every attempt stays open until it is answered or its run is closed, so an answer slower than
`timeout retry` is still accepted. A message that matches no open attempt is only counted.

After a reply with TC, or larger than the accepted payload, the same question is sent to the same
nameserver over TCP at once. Without an answer within `timeout retry` it counts as `truncated`, and
the records of the cut reply are the answer.

A UDP question that gets wrong replies as if forged (udp.py) is asked over TCP as well. An answer
over UDP is kept meanwhile, and used only without one over TCP.

Questions have an OPT record, unless dns/extensions.py has the nameserver as one without EDNS; a
question refused for its OPT record is sent once more without it at once.

Runs that change nothing are repeated (repeated_runs.py) without the receiver, until one differs.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from resolverd.config import Nameserver, ResolversSection, Transport
from resolverd.dns.answer import (
    Address,
    Answer,
    Question,
    Status,
    build_query,
    cut,
)
from resolverd.dns.extensions import Extensions
from resolverd.dns.reply_cache import ReplyReader
from resolverd.dns.wire import HEADER_BYTES
from resolverd.log.lines import describe_doubt, describe_plain, describe_refused
from resolverd.pace.jitter import Jitter
from resolverd.resolution.repetition import Note, Repeated
from resolverd.transport.attempt import Attempt, Carrier, Open, Receiver
from resolverd.transport.repeated_runs import RepeatedRuns
from resolverd.transport.tcp import NameserverStreams
from resolverd.transport.udp import NameserverSockets, OpenQuery
from shm.log_level import Log

# Open at a nameserver for one run; older ones are closed. Each may keep a retired socket open.
ATTEMPTS_MAX = 32

Count = Callable[[int, str], None]  # a nameserver's row in the segment, a counter's name


class SectionTransport:
    """Asks the nameservers of one section."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        section: ResolversSection,
        count: Count,
        receiver: Receiver,
        log: Log,
        *,
        note: Note,
        jitter: Jitter,
    ) -> None:
        """No socket is opened before the first question."""
        self._loop = loop
        self._section = section
        self._count = count
        self._receiver = receiver
        self._log = log
        self._extensions = Extensions()
        self._unusable: set[str] = set()  # nameservers with unusable addresses, logged once
        self._doubts: dict[Attempt, Answer | None] = {}  # over UDP, with the answer there, if any
        self._doubted: set[str] = set()  # nameservers with doubted questions, logged once
        self._reader = ReplyReader()
        self._open: dict[int, list[Open]] = {}
        self._fetches: dict[Attempt, asyncio.TimerHandle] = {}  # over TCP after a cut reply
        self._sockets: dict[str, NameserverSockets[Attempt]] = {}
        self._streams: dict[str, NameserverStreams[Attempt]] = {}
        self._repeated = RepeatedRuns(
            section, self._extensions, receiver, count=count, note=note, jitter=jitter
        )
        self.repeat = self._repeated.repeat
        self.next_repeat_ms, self.serve_repeats = self._repeated.next_ms, self._repeated.serve
        self._former: dict[Nameserver, list[Carrier]] = {}  # with attempts that are still open
        for nameserver in section.nameservers:
            self._reach(nameserver)
        self._repeated.follow(section, self._sockets)

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        """Send the question to all nameservers; the names of those where sending failed."""
        queries = self._open.setdefault(key, [])
        surplus = len(queries) - ATTEMPTS_MAX * len(self._section.nameservers)
        self._close(queries[: max(0, surplus)])
        del queries[: max(0, surplus)]
        unsent = []
        for nameserver in self._section.nameservers:
            extended = self._extensions.may_be_used(nameserver, now_ms)
            attempt = Attempt(key, nameserver, question, extended)
            try:
                queries.append(self._send(attempt, now_ms))
            except OSError:  # no route, refused, no descriptor, no buffer: as if lost
                self._count(nameserver.index, "snd_error")
                unsent.append(nameserver.name)
            else:
                self._count(nameserver.index, "sent")
        return unsent

    def follow(self, section: ResolversSection) -> None:
        """Ask these nameservers from the next question on; attempts at former ones stay open."""
        self._repeated.release()
        before, self._section = self._section, section
        for nameserver in before.nameservers:
            if nameserver not in section.nameservers:
                name = nameserver.name
                carriers: list[Carrier] = [self._streams.pop(name)]
                carriers += [self._sockets.pop(name)] if name in self._sockets else []
                self._former.setdefault(nameserver, []).extend(carriers)
                self._extensions.forget(nameserver)
        for nameserver in section.nameservers:
            if nameserver not in before.nameservers:
                self._reach(nameserver)
        self._close_former()
        self._repeated.follow(section, self._sockets)

    def take_back(self, key: int) -> Repeated:
        """Repeat the runs of this name no more; an open one goes on as if it had been asked for."""
        past, opened = self._repeated.take_back(key)
        if past.asked_ms is not None:
            self._open[key] = opened
        return past

    def read(self) -> None:
        """Read all sockets now, before the loop does, and pass on the answers."""
        carriers: list[Carrier] = [*self._sockets.values(), *self._streams.values()]
        for carrier in itertools.chain(carriers, *self._former.values()):
            carrier.read()
        self._repeated.settle()

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        """An attempt has timed out at these; it stays open."""
        self._repeated.quiet |= set(nameservers)
        for query in self._open.get(key, ()):
            if query.owner.nameserver.name in nameservers:
                query.renew()
        for nameserver in self._section.nameservers:
            if nameserver.name in nameservers:
                self._count(nameserver.index, "timeout")

    def close_run(self, key: int) -> None:
        """The run has ended: later answers to it are outdated."""
        self._close(self._open.pop(key, ()))
        if self._former:
            self._close_former()

    def close(self) -> None:
        """Close all sockets and connections."""
        for key in list(self._open):
            self.close_run(key)
        for sockets in self._sockets.values():
            sockets.close()
        for streams in self._streams.values():
            streams.close()
        self._close_former()

    def _close(self, queries: Iterable[Open]) -> None:
        for query in queries:
            query.close()
            self._end_fetch(query.owner)
            self._doubts.pop(query.owner, None)

    def _reach(self, nameserver: Nameserver) -> None:
        if nameserver.transport is Transport.UDP:
            self._sockets[nameserver.name] = self._make_sockets(nameserver)
        self._streams[nameserver.name] = self._make_streams(nameserver)

    def _close_former(self) -> None:
        """Close the carriers of former nameservers without open attempts."""
        waited = {query.owner.nameserver for each in self._open.values() for query in each}
        for nameserver in self._former.keys() - waited:
            for carrier in self._former.pop(nameserver):
                carrier.close()

    def _make_sockets(self, nameserver: Nameserver) -> NameserverSockets[Attempt]:
        index = nameserver.index

        def on_datagram(wire: bytes, attempt: Attempt | None) -> bool:
            return self._receive_datagram(nameserver, wire, attempt)

        return NameserverSockets(
            self._loop,
            nameserver,
            on_datagram,
            functools.partial(self._count, index, "snd_error"),
            self._doubt,
            self._repeated.settle,
            functools.partial(self._count, index, "outdated"),
            self._section.accepted_payload_size,
        )

    def _make_streams(self, nameserver: Nameserver) -> NameserverStreams[Attempt]:
        def on_message(wire: bytes, attempt: Attempt | None) -> bool:
            return self._receive_message(nameserver, wire, attempt)

        timeout_ms = self._section.timeout_resolve_ms  # S1: it bounds the connect as well
        return NameserverStreams(self._loop, nameserver, on_message, self._lose, timeout_ms)

    def _send(self, attempt: Attempt, now_ms: int) -> Open:
        """Send a question; raises OSError if that fails, KeyError for a former nameserver."""
        name = attempt.nameserver.name
        if name in self._sockets and not attempt.is_second:
            return self._sockets[name].send(self._wire(attempt), attempt, now_ms)
        return self._streams[name].send(self._wire(attempt), attempt)

    def _wire(self, attempt: Attempt) -> bytes:
        size = self._section.accepted_payload_size if attempt.extended else None
        return build_query(attempt.question, size)

    def _receive_datagram(
        self, nameserver: Nameserver, wire: bytes, attempt: Attempt | None
    ) -> bool:
        """Count a datagram; True if it answers the attempt."""
        too_big = len(wire) > self._section.accepted_payload_size
        if too_big:
            self._count(nameserver.index, "too_big")
            if attempt is None:
                return False
        answer = self._read(nameserver, wire, attempt)
        if answer is None or attempt is None:
            return False
        if too_big and answer.status is Status.VALID:
            answer = cut(answer)
        if attempt not in self._doubts:
            self._repeated.taken = attempt, wire
            self._accept(attempt, answer)
            self._repeated.taken = None
        elif self._doubts[attempt] is None:
            self._doubts[attempt] = answer
        return True

    def _accept(self, attempt: Attempt, answer: Answer) -> None:
        """Accept an answer over UDP; a cut one is asked for again over TCP."""
        if answer.partial:
            self._fetch(attempt, answer)
        else:
            self._take(attempt, answer)

    def _doubt(self, query: OpenQuery[Attempt]) -> None:
        """A question gets wrong replies over UDP: ask over TCP, where forging is harder."""
        attempt = query.owner
        nameserver = attempt.nameserver
        self._count(nameserver.index, "doubted")
        if nameserver.name not in self._doubted:
            self._doubted.add(nameserver.name)
            title = f"{self._section.name}/{nameserver.name}"
            self._log(*describe_doubt(title, attempt.question.name))
        second = msgspec.structs.replace(attempt, instead_of=query)
        with suppress(OSError, KeyError):  # the question over UDP stays open alone
            asked = self._send(second, self._now_ms())
            self._doubts[attempt] = None
            self._open[attempt.key].append(asked)
            self._wait_for(asked)

    def _receive_message(
        self, nameserver: Nameserver, wire: bytes, attempt: Attempt | None
    ) -> bool:
        """The same for a message over TCP, which may have any size."""
        answer = self._read(nameserver, wire, attempt)
        if answer is None or attempt is None:
            return False
        self._take(attempt, answer)
        return True

    def _take(self, attempt: Attempt, answer: Answer) -> None:
        """Pass on a whole answer, unless it refuses the OPT record and the question is repeated."""
        nameserver = attempt.nameserver
        if not answer.extension_refused:
            if attempt.refused and self._extensions.needless(nameserver, self._now_ms()):
                self._log(*describe_plain(self._section.name, nameserver.name))
            if attempt.refused:
                self._repeated.change()
        elif attempt.extended and self._ask_without_extension(attempt):
            self._count(nameserver.index, answer.status.counter)
            return
        self._hand_on(attempt, answer)

    def _ask_without_extension(self, attempt: Attempt) -> bool:
        """Send the same question without OPT record; False if that fails."""
        plain = msgspec.structs.replace(attempt, extended=False, refused=True)
        try:
            query = self._send(plain, self._now_ms())
        except (OSError, KeyError):
            return False
        self._open[plain.key].append(query)
        self._count(plain.nameserver.index, "sent")
        if plain.is_second:
            self._end_fetch(attempt)
            self._wait_for(query)
        return True

    def _now_ms(self) -> int:
        return int(self._loop.time() * 1_000)

    def _read(self, nameserver: Nameserver, wire: bytes, attempt: Attempt | None) -> Answer | None:
        if len(wire) < HEADER_BYTES:
            self._count(nameserver.index, "invalid")
            return None
        if attempt is None:
            self._count(nameserver.index, "outdated")
            return None
        answer = self._reader.read(wire, nameserver.name, attempt.question)
        if answer is None:
            self._count(nameserver.index, "invalid")
        elif answer.unusable:
            self._refuse(nameserver, attempt.question, answer.unusable)
        return answer

    def _refuse(
        self, nameserver: Nameserver, question: Question, unusable: tuple[Address, ...]
    ) -> None:
        """Count unusable addresses, and log them once for each nameserver."""
        for _ in unusable:
            self._count(nameserver.index, "unusable")
        if nameserver.name not in self._unusable:
            self._unusable.add(nameserver.name)
            title = f"{self._section.name}/{nameserver.name}"
            self._log(*describe_refused(title, question.name, unusable[0]))

    def _hand_on(self, attempt: Attempt, answer: Answer) -> None:
        nameserver = attempt.nameserver
        self._end_fetch(attempt)
        if attempt.instead_of is not None:
            attempt.instead_of.close()
        self._count(
            nameserver.index, Status.TRUNCATED.counter if answer.partial else answer.status.counter
        )
        if answer.aliased and answer.status is Status.VALID:
            self._count(nameserver.index, "cname")
        query_type = attempt.question.query_type
        self._receiver.answered(attempt.key, nameserver.name, query_type, answer)

    def _fetch(self, attempt: Attempt, held: Answer) -> None:
        """Ask for a cut answer again, over TCP."""
        attempt = msgspec.structs.replace(attempt, held=held)
        try:
            query = self._send(attempt, self._now_ms())
        except (OSError, KeyError):
            self._hand_on(attempt, held)
            return
        self._open[attempt.key].append(query)
        self._wait_for(query)

    def _wait_for(self, query: Open) -> None:
        """Set the time-out of a question over TCP: `timeout retry`."""
        attempt, timeout_s = query.owner, self._section.timeout_retry_ms / 1_000
        self._fetches[attempt] = self._loop.call_later(timeout_s, self._give_up, query)
        self._receiver.fetching(attempt.key, attempt.question.query_type)

    def _end_fetch(self, attempt: Attempt) -> None:
        timer = self._fetches.pop(attempt, None)
        if timer is not None:
            timer.cancel()

    def _give_up(self, query: Open) -> None:
        """A question over TCP has timed out, unless its answer is unread in the socket."""
        self.read()
        if query.owner not in self._fetches:
            return
        query.renew()
        query.close()
        self._lose(query.owner)

    def _lose(self, attempt: Attempt) -> None:
        """A question over TCP is lost: use the answer over UDP, if there is one."""
        if attempt.instead_of is not None:
            self._end_fetch(attempt)
            first = attempt.instead_of.owner
            kept = self._doubts.pop(first, None)
            if kept is not None:
                self._accept(first, kept)
        elif attempt.held is not None:
            self._hand_on(attempt, attempt.held)
        else:
            self._count(attempt.nameserver.index, "snd_error")
            query_type = attempt.question.query_type
            self._receiver.lost(attempt.key, attempt.nameserver.name, query_type)
