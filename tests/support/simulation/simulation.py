"""A world without time for the core of resolverd: a board, nameservers and a clock, all from a seed.

The adversary answers late, twice, cut, in part, in another order, not at all, with what was never
true, or cannot be asked; nameservers die and return; the zone changes; connects fail; an operator
orders names; resolverd is killed between any two writes and starts again on the same board.

The judges: each write to the board `Judge` (rules.py), each end of a run
`Records` (records.py), each question `Pace` (pace.py).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from resolverd.config import (
    Family,
)
from resolverd.core import Core
from resolverd.dns.answer import Answer, QueryType, Question, Status
from resolverd.resolution.repetition import Repeatable, Repeated
from resolverd.resolution.resolution import Trigger
from tests.support.simulation.board import Board, KilledError, SegmentBoard
from tests.support.simulation.pace import Pace
from tests.support.simulation.records import Records
from tests.support.simulation.repeats import Repeats
from tests.support.simulation.rules import Judge, Place
from tests.support.simulation.settings import make_settings
from tests.support.simulation.zone import FATES, HOSTS, Zone

EARLY_PART = 10  # of a period: as daemon.py lets runs come early


class Reply(NamedTuple):
    """An answer on its way; earlier ones arrive first."""

    due_ms: int
    order: int
    key: int
    nameserver: str
    question: Question
    answer: Answer


class Nameservers:
    """The nameservers of the world as the core asks them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.questions = 0  # to one nameserver each
        self.open: dict[int, set[int]] = {}  # key -> attempts that may be answered
        self.replies: list[Reply] = []
        self.heard: dict[int, list[tuple[QueryType, Answer]]] = {}  # key -> in its last run
        self.asked: dict[int, list[QueryType]] = {}  # key -> in its last run
        self.repeats = Repeats(world)
        self.merges: dict[int, bool] = {}  # key -> whether its last run asked for both families

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        world, unsent = self._world, []
        if key not in self.open:
            world.pace.begun(key, question.name, now_ms)
            self.heard[key], self.asked[key] = [], []
            self.merges[key] = world.core.names.peek(key).resolution.merges
        self.asked[key].append(question.query_type)
        attempts = self.open.setdefault(key, set())
        assert len(attempts) <= 40, "attempts without bound"
        for name in world.nameservers:
            self.questions += 1
            fate = world.faults.get(self.questions) or world.fate(name)
            if fate == "unsent":
                unsent.append(name)
                continue
            attempts.add(self.questions)
            if fate == "silent":
                continue
            answer, late_ms = world.answer(name, question, fate)
            reply = Reply(now_ms + late_ms, self.questions, key, name, question, answer)
            heapq.heappush(self.replies, reply)
            if fate == "twice":
                heapq.heappush(self.replies, reply._replace(due_ms=reply.due_ms + 1))
        return unsent

    def repeat(self, key: int, run: Repeatable, now_ms: int) -> bool:
        return self.repeats.keep(key, run, now_ms)

    def next_repeat_ms(self) -> int | None:
        return self.repeats.next_ms()

    def serve_repeats(self, now_ms: int) -> None:
        self.repeats.serve(now_ms)

    def take_back(self, key: int) -> Repeated:
        return self.repeats.take(key)

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        assert nameservers

    def read(self) -> None:
        pass

    def close_run(self, key: int) -> None:
        if self.open.pop(key, None) is not None:
            self._world.pace.closed(key, self._world.now_ms)
            self._world.ended.append(key)


class World:
    """Everything outside the core, and the core itself; `real` puts its board into a segment."""

    def __init__(self, chance: random.Random, *, real: bool = False) -> None:
        self.chance = chance
        self.now_ms = self.created_ms = chance.randrange(1, 10_000)
        self.nameservers = ("n1", "n2", "n3")[: chance.randrange(1, 4)]
        self.dead: set[str] = set()
        self.runs_max = chance.choice((1, 2, 256, 256))
        self.early = chance.random() < 0.5
        self.peace = False
        self.settings = make_settings(chance, self.nameservers)
        self.section = self.settings.sections[0]
        self.servers = [s for each in self.settings.resolutions for s in each.servers]
        self.board: Board | SegmentBoard = (
            SegmentBoard(self.settings)
            if real
            else Board([s.port for s in self.servers], len(self.settings.resolutions))
        )
        self.zone = Zone(chance)
        self.views: dict[str, Zone] = {}  # of nameservers that see another one
        self.orders: dict[int, str] = {}
        self.ended: list[int] = []  # keys of the runs that have ended by the present event
        self.steps = self.restarts = 0
        self.restart_at = 0  # this step
        self.faults: dict[int, str] = {}  # the fates of single questions, by number
        self.asked = Nameservers(self)
        self.pace = Pace(self)
        self.judge = Judge(self)
        self.records = Records(self)
        self.board.judge = self.judge.written
        self.restart()

    @property
    def preferred(self) -> Family:
        return self.settings.resolutions[0].preferred

    def fate(self, nameserver: str) -> str:
        if self.peace:
            return "true"
        if nameserver in self.dead:
            return "silent"
        return self.chance.choice(FATES)

    def answer(self, nameserver: str, question: Question, fate: str) -> tuple[Answer, int]:
        """The answer, and after how many milliseconds it comes."""
        late_ms = 5 if self.peace else self.chance.choice((0, 5, 5, 50, 400))
        zone = self.zone if self.peace else self.views.get(nameserver, self.zone)
        return zone.answer(question, fate), late_ms

    def restart(self) -> None:
        """A resolverd is started on what the board says."""
        self.board.succeed()
        self.restarts += 1
        for key in {*self.ended, *self.asked.open}:
            self.records.killed(key)
        self.ended.clear()
        self.asked.open.clear()
        self.asked.repeats.clear()
        try:
            self._start()
        except KilledError:
            self.restart()

    def _start(self) -> None:
        self.core = Core(
            self.settings,
            self.board,
            {"r": self.asked},
            lambda *_: None,
            self.now_ms,
            runs_max=self.runs_max,
            early_ms=self._early_ms,
        )
        for slot, name in self.orders.items():
            target = self.board.target(slot)
            if target.name != name or (name and not target.stamp_ms):
                self.judge.ordered_ms[slot] = self.now_ms  # no predecessor has followed it
            self.core.ordered(slot, name, self.now_ms)
        self.pace.restarted()
        self.records.restarted()

    def _early_ms(self, period_ms: int) -> int:
        return self.chance.randrange(period_ms // EARLY_PART + 1) if self.early else 0

    def perform(self, work: Callable[[], None]) -> None:
        """Let the core do something; if it is killed by that, it is replaced."""
        self.ended.clear()
        self.judge.changed.clear()
        try:
            work()
        except KilledError:
            self.restart()
            return
        if self.ended:
            for key in dict.fromkeys(self.ended):
                if key in self.core.names and key not in self.asked.open:
                    self.records.ended(key)
            self.pace.learned(self.ended)
            self._accept()

    def next_event_ms(self) -> int:
        deadline_ms = self.core.next_deadline_ms()
        assert deadline_ms is not None
        replies = self.asked.replies
        return min(deadline_ms, replies[0].due_ms) if replies else deadline_ms

    def step(self) -> None:
        """Go to the next reply or deadline."""
        self.steps += 1
        if self.steps == self.restart_at:
            self.restart()
        replies, core = self.asked.replies, self.core
        deadline_ms = core.next_deadline_ms()
        assert deadline_ms is not None
        if replies and replies[0].due_ms <= deadline_ms:
            self._hear(heapq.heappop(replies))
            return
        self.now_ms = max(self.now_ms, deadline_ms)
        self.perform(lambda: core.serve_deadlines(self.now_ms))

    def _hear(self, reply: Reply) -> None:
        self.now_ms = max(self.now_ms, reply.due_ms)
        if reply.order not in self.asked.open.get(reply.key, ()):
            return  # a second one, or of a run that has ended: the transport keeps it off
        self.asked.open[reply.key].discard(reply.order)
        kind, answer = reply.question.query_type, reply.answer
        self.judge.hears(answer)
        self.records.hears(reply.key, answer)
        self.asked.heard[reply.key].append((kind, answer))
        self.perform(lambda: self._answered(reply.key, reply.nameserver, kind, answer))

    def _answered(self, key: int, nameserver: str, kind: QueryType, answer: Answer) -> None:
        if not self.asked.repeats.hear(key, nameserver, answer, self.now_ms):
            self.core.answered(key, nameserver, kind, answer, self.now_ms)

    def _accept(self) -> None:
        """Runs have ended: what they heard first of each type has become what the core knows."""
        for key in self.ended:
            if key in self.core.names:
                place = self.place(key)
                for answer in self.valid_answers(key):
                    self.judge.accepted(place, answer)

    def valid_answers(self, key: int) -> list[Answer]:
        """The first of each type in the last run; the preferred one alone, unless they are merged."""
        found: dict[QueryType, Answer] = {}
        for kind, answer in self.asked.heard[key]:
            if answer.status is Status.VALID:
                found.setdefault(kind, answer)
        preferred = self.asked.asked[key][0]
        if preferred in found and not self.asked.merges[key]:
            return [found[preferred]]
        return list(found.values())

    def disturb(self, *, kills: bool = True) -> None:
        """One thing that is not scheduled, at any time before the next that is due."""
        chance, core = self.chance, self.core
        self.now_ms += chance.randrange(1 + max(0, self.next_event_ms() - self.now_ms))
        what = chance.randrange(0 if kills else 2, 11)
        if what == 0:
            self.board.writes_left = chance.randrange(1, 12)
        elif what == 1:
            self.restart()
        elif what == 2:
            self.dead = set(chance.sample(self.nameservers, chance.randrange(2)))
        elif what == 3:
            self.zone.change_services()
        elif what in (4, 5):
            self.zone.change_host(chance.choice(HOSTS))
        elif what in (6, 7):
            self._fail_connect(core)
        elif what == 8:
            self.views = {chance.choice(self.nameservers): Zone(chance)}
        elif what == 10:
            core.names[chance.choice(list(core.names))]  # an operator looks at it
        else:
            slot = chance.randrange(len(self.servers))
            name = chance.choice(("", "o.test", "b.test"))
            self.orders[slot] = name
            self.judge.ordered_ms[slot] = self.now_ms
            self.perform(lambda: core.ordered(slot, name, self.now_ms))

    def _fail_connect(self, core: Core) -> None:
        chance = self.chance
        slot = chance.randrange(len(self.servers))
        kind, began_ms = chance.choice(list(Trigger)), self.now_ms - chance.randrange(500)
        self.pace.triggered(slot, kind, began_ms)
        self.perform(lambda: core.connect_failed(slot, kind, began_ms, self.now_ms))

    def fail_often(self, slot: int, pauses_ms: list[int]) -> None:
        """Connects to one server time out, one after the other."""
        for pause_ms in pauses_ms:
            until_ms = self.now_ms + pause_ms
            while self.next_event_ms() <= until_ms:
                self.step()
            self.now_ms = max(self.now_ms, until_ms)
            self.pace.triggered(slot, Trigger.CONNECT_TIMEOUT, self.now_ms)
            fails = (slot, Trigger.CONNECT_TIMEOUT, self.now_ms, self.now_ms)
            self.perform(partial(self.core.connect_failed, *fails))

    def make_peace(self) -> None:
        """All tell the truth from now on; what was on its way is lost."""
        self.peace = True
        self.dead.clear()
        self.views.clear()
        self.board.writes_left = -1
        self.asked.replies.clear()

    def pass_holds(self) -> None:
        """Put the clock forward until nothing that was said before counts any more."""
        holds, section = self.section.holds, self.section
        ttl_ms = 0 if section.ttl_period is None else section.ttl_period.max_ms
        self.now_ms += 1 + max(
            holds.obsolete_ms, holds.nx_ms, holds.refused_ms, holds.timeout_ms, holds.other_ms,
            section.timeout_resolve_ms, ttl_ms,
        )  # fmt: skip
        self.pace.idle_until(self.now_ms)

    def place(self, key: int) -> Place:
        """Which resolution it is, also after a restart."""
        name = self.core.names.peek(key)
        resolution, settings = name.resolution, name.settings
        return settings.name, resolution.types[0], settings.search, resolution.merges

    def confirmed_ms(self, key: int) -> int:
        """When a name was last answered validly, as seen from outside."""
        return self.judge.confirmed_ms.get(self.place(key), 0)

    def outcome(self, key: int, kind: QueryType) -> Status:
        """What the last run heard of a type: the first that is valid, NODATA, the last error."""
        said = [answer.status for about, answer in self.asked.heard[key] if about is kind]
        for status in (Status.VALID, Status.NODATA):
            if status in said:
                return status
        return said[-1] if said else Status.TIMEOUT
