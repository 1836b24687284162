"""Which runs of a section are repeated by repeats.pyx, and how its questions become attempts again.

Owns the conditions on replies and nameservers: a run is repeated where all nameservers are asked
over UDP, after a whole answer of one datagram that keeps its meaning when times to live change.
Knows no state machine and no server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from resolverd.config import ResolversSection
from resolverd.dns.answer import build_query
from resolverd.dns.extensions import Extensions
from resolverd.dns.reply_cache import keeps_its_meaning
from resolverd.pace.jitter import Jitter
from resolverd.resolution.repetition import Note, Repeatable, Repeated, RepeatReceiver
from resolverd.transport.attempt import Attempt, Open
from resolverd.transport.repeats import Repeats
from resolverd.transport.udp import NameserverSockets

ADDITIONAL_COUNT = 11  # the place in a message of the lower byte of ARCOUNT: 1 with an OPT record


class RepeatedRuns:
    """The repeated runs of one section; `taken` is the reply over UDP that is being passed on."""

    def __init__(
        self,
        section: ResolversSection,
        extensions: Extensions,
        receiver: RepeatReceiver,
        *,
        count: Callable[[int, str], None],
        note: Note,
        jitter: Jitter,
    ) -> None:
        """No run is repeated before `follow`."""
        self.taken: tuple[Attempt, bytes] | None = None
        self._section = section
        self._extensions = extensions
        self._repeats = Repeats(section.name, receiver, count, note, jitter)
        self._all_udp = False
        self.next_ms = self._repeats.next_ms
        self.serve = self._repeats.serve
        self.change = self._repeats.change
        self.quiet = self._repeats.quiet
        self.settle = self._repeats.settle

    def follow(
        self, section: ResolversSection, sockets: Mapping[str, NameserverSockets[Attempt]]
    ) -> None:
        """The section has these nameservers, and these sockets towards those over UDP."""
        self._section = section
        nameservers = section.nameservers
        self._all_udp = all(each.name in sockets for each in nameservers)
        chosen = [sockets[each.name] for each in nameservers] if self._all_udp else []
        self._repeats.follow(chosen, nameservers, section.timeout_retry_ms)

    def release(self) -> None:
        """Give back the names that are being asked for, before the nameservers change."""
        self._repeats.release()

    def repeat(self, key: int, run: Repeatable, now_ms: int) -> bool:
        """Repeat the run that the reply being passed on has ended; False if that cannot be."""
        if self.taken is None or self.taken[0].key != key or not self._all_udp:
            return False
        attempt, wire = self.taken
        size = self._section.accepted_payload_size
        if attempt.refused or len(wire) > size or not keeps_its_meaning(wire, run.question):
            return False
        nameservers = self._section.nameservers
        extended = [self._extensions.may_be_used(each, now_ms) for each in nameservers]
        made = {each: build_query(run.question, size if each else None) for each in {*extended}}
        wires = tuple(made[each] for each in extended)
        until_ms = self._extensions.unchanged_until_ms(nameservers, now_ms)
        former, answer = self._repeats.answer(key), run.answer
        same = former is not None and (
            former.aliased == answer.aliased and set(former.addresses) == set(answer.addresses)
        )
        return self._repeats.keep(key, run, wire, wires, until_ms, same=same)

    def take_back(self, key: int) -> tuple[Repeated, list[Open]]:
        """Repeat the runs of this name no more; its open queries are those of attempts now."""
        past, queries = self._repeats.take(key)
        opened: list[Open] = []
        for query, nameserver, wire in queries:
            extended = wire[ADDITIONAL_COUNT] != 0
            query.owner = Attempt(key, nameserver, past.question, extended)
            opened.append(query)
        return past, opened
