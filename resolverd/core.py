"""All decisions of resolverd: events in, questions and slots out.

Owns the schedule of all names and the run limit of each section. Knows no socket, no loop and no
clock: each event carries the time, questions go to an `Asker`, records to a `Board`, so that a test
can drive it through any order of events.

Each event (a reply, a deadline, a failed connect, an order) goes to the names that it concerns; the
returned actions are performed at once. A run that is due begins when the run limit admits it.

A name whose last run changed nothing rests: its asker repeats the run, and gives the name back when
anything differs. Whoever looks at it (`names[key]`) wakes it before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from resolverd.board import Board
from resolverd.config import MemberNews, ResolverdSettings, ResolversSection
from resolverd.dns.answer import Answer, QueryType, Question
from resolverd.explain.answers import Accounts
from resolverd.explain.views import Views
from resolverd.explain.warnings import Trouble
from resolverd.names.added_rows import Resolved
from resolverd.names.host import ResolvedName
from resolverd.names.registry import NameRegistry
from resolverd.pace.deadline_heap import Schedule
from resolverd.pace.run_limit import RUNS_MAX, RunLimit, Turn
from resolverd.pace.stopwatch import Stopwatch
from resolverd.resolution.actions import Abandoned, Action, Ask, Finished, Gained, Unanswered
from resolverd.resolution.period import on_time, pause_bounds_ms
from resolverd.resolution.repetition import Repeatable, Repeated
from resolverd.resolution.resolution import Trigger
from resolverd.resolution.silence import Silence
from resolverd.resolution.transitions import State
from shm.log_level import Log

DUE_MAX = 4  # resolutions served in one call, so that waiting replies are read soon


class Asker(Protocol):
    """Sends the questions of one section to its nameservers."""

    def ask(self, key: int, question: Question, now_ms: int) -> list[str]:
        """Ask all nameservers; the names of those to which sending failed."""

    def read(self) -> None:
        """Read the sockets and pass on the answers in them."""

    def unanswered(self, key: int, nameservers: tuple[str, ...]) -> None:
        """The time-out of an attempt has passed at these."""

    def close_run(self, key: int) -> None:
        """The run has ended: later answers to it are outdated."""

    def repeat(self, key: int, run: Repeatable, now_ms: int) -> bool:
        """Repeat the run that has just ended while its answer stays the same; False if unable."""

    def next_repeat_ms(self) -> int | None:
        """When `serve_repeats` is to be called; None without a repeated run."""

    def serve_repeats(self, now_ms: int) -> None:
        """Begin the repeated runs that are due."""

    def take_back(self, key: int) -> Repeated:
        """Repeat the runs of a name no more; an open one goes on as if it had been asked for."""


class Core:
    """The names of one resolverd, their schedule and their run limits."""

    def __init__(
        self,
        settings: ResolverdSettings,
        board: Board,
        askers: dict[str, Asker],
        log: Log,
        now_ms: int,
        *,
        runs_max: int = RUNS_MAX,
        early_ms: Callable[[int], int] = on_time,
        begins: bool = True,
    ) -> None:
        """The first runs are due at once; without `begins`, `begin` is called by the caller."""
        self._askers = askers
        self._sections = {section.name: section for section in settings.sections}
        self._early_ms = early_ms
        self._schedule = Schedule()
        self._run_limits = {section.name: RunLimit(runs_max) for section in settings.sections}
        self._silences = {section.name: Silence(section) for section in settings.sections}
        self._appeared: list[int] = []
        self.names = NameRegistry(
            settings,
            board,
            log,
            now_ms=now_ms,
            appeared=self._appeared.append,
            vanished=self._forget,
            wanted=self._wake,
        )
        self.accounts = Accounts(self.names, self._run_limits)
        self._stopwatch = Stopwatch(board, settings.sections)
        self._trouble = Trouble(self.names.served, self.names.served.throttle)
        self._views = Views(self.names.served.throttle)
        self._schedule_new()
        if begins:
            self.begin(now_ms)

    def begin(self, now_ms: int, moved: Iterable[int] = ()) -> None:
        """Adopt the records of the board, to which no predecessor writes any more.

        `moved` are the slots whose records have changed since this was made.
        """
        self.names.begin(now_ms, moved)
        self._schedule_new()

    def next_deadline_ms(self) -> int | None:
        """The earliest deadline for `serve_deadlines`; None without one."""
        deadlines = [limit.release_ms for limit in self._run_limits.values()]
        deadlines += [asker.next_repeat_ms() for asker in self._askers.values()]
        deadlines.append(self._schedule.next_deadline_ms())
        return min((each for each in deadlines if each is not None), default=None)

    def serve_deadlines(self, now_ms: int) -> None:
        """Begin the runs that are due, end the attempts that have expired."""
        for limit in self._run_limits.values():
            for key in limit.release(now_ms):
                self._schedule.set(key, now_ms)
        for asker in self._askers.values():
            asker.serve_repeats(now_ms)
        due = self._schedule.pop_due(now_ms, DUE_MAX)
        if due:
            self._read_answers(due)
        for key in due:
            if key not in self.names:
                continue  # dropped by the run of another name in this loop
            name = self.names[key]
            if now_ms < name.resolution.deadline_ms:
                continue  # its answer was in the socket: it has another deadline now
            resolution, state = name.resolution, name.resolution.state
            if state in (State.IDLE, State.PAUSED):
                places = self._run_limits[name.section.name]
                if not places.enter(key, resolution.turn, now_ms, places=resolution.questions):
                    continue  # `_leave` schedules it when a run ends
            if state is State.IDLE:
                name.history.begun_ms = now_ms
            self._perform(key, name, name.resolution.tick(now_ms), now_ms)

    def _read_answers(self, due: list[int]) -> None:
        """Read the sockets before an attempt expires: its answer may be there unread.

        After the process was stopped, the loop may run its timers before it reads.
        """
        names = [self.names[key] for key in due if key in self.names]
        running = [each for each in names if each.resolution.state is not State.IDLE]
        for section in {each.section.name for each in running}:
            self._askers[section].read()

    def answered(
        self, key: int, nameserver: str, query_type: QueryType, answer: Answer, now_ms: int
    ) -> None:
        """A nameserver has answered an open attempt."""
        name = self.names[key]
        self.heard(name.section.name, nameserver, now_ms)
        name.history.answered(nameserver, query_type, answer, now_ms)
        actions = name.resolution.reply(nameserver, query_type, answer, now_ms)
        self._perform(key, name, actions, now_ms)

    def begins(self, section: str, batch: int, runs: int, now_ms: int) -> bool:
        """Whether so many repeated runs that are due have places and may begin."""
        limit = self._run_limits[section]
        if runs <= limit.limit and limit.enter(batch, Turn.VALID, now_ms, places=runs):
            return True
        self._leave(batch, section, now_ms)
        return False

    def ended(self, section: str, batch: int, now_ms: int) -> bool:
        """The repeated runs of a batch have ended; whether a name has its turn by that."""
        return self._leave(batch, section, now_ms)

    def heard(self, section: str, nameserver: str, now_ms: int) -> None:
        """A nameserver that has left an attempt unanswered has answered."""
        if self._silences[section].answered(nameserver):
            self._trouble.heard(self._sections[section], nameserver, now_ms)

    def _rest(self, key: int, name: Resolved, finished: Finished, now_ms: int) -> bool:
        """Have the runs of a name that is well repeated by the transport."""
        if not isinstance(name, ResolvedName) or not name.repeatable(finished):
            return False
        if key in self._trouble:
            return False
        (outcome,) = finished.outcomes
        question = Question(name.resolution.asked_name, outcome.query_type)
        due_ms = name.resolution.deadline_ms
        pause = pause_bounds_ms(name.section)
        run = Repeatable(question, finished.answer, outcome.family, due_ms, *pause)
        if not self._askers[name.section.name].repeat(key, run, now_ms):
            return False
        self._schedule.drop(key)
        self.names.rest(key)
        return True

    def _wake(self, key: int) -> None:
        """A name that rests is looked at: its state machine takes over again."""
        name = self.names.peek(key)
        assert isinstance(name, ResolvedName)
        past = self._askers[name.section.name].take_back(key)
        name.repeated(past)
        limit = self._run_limits[name.section.name]
        if past.asked_ms is not None:
            limit.pass_on(past.batch, key)
            if past.is_last:
                self._leave(past.batch, name.section.name, past.asked_ms)
        self._schedule.set(key, name.resolution.deadline_ms)

    def lost(self, key: int, nameserver: str, query_type: QueryType) -> None:
        """A sent question did not reach the nameserver: its attempt does not wait for it."""
        name = self.names[key]
        name.history.lost(nameserver)
        name.resolution.unsent(nameserver, query_type)

    def fetching(self, key: int, query_type: QueryType, now_ms: int) -> None:
        """A truncated answer is being asked for again over TCP."""
        name = self.names[key]
        name.resolution.fetching(query_type, now_ms)
        self._schedule.set(key, name.resolution.deadline_ms)

    def connect_failed(self, slot: int, kind: Trigger, began_ms: int, now_ms: int) -> None:
        """A connect to a server failed: trigger a run of each name that feeds it (M7)."""
        for key in self.names.feeding(slot):
            name = self.names[key]
            if name.resolution.trigger(kind, began_ms, now_ms):
                name.counts.triggered()
                self._stopwatch.failed(slot, now_ms)
                self._schedule.set(key, name.resolution.deadline_ms)

    def ordered(self, slot: int, name: str, now_ms: int) -> None:
        """Apply an order of the operator: the server's name, "" for the one of its line."""
        self.names.order(slot, name, now_ms)
        self.accounts.forget()
        self._schedule_new()

    def follow_members(self, news: MemberNews, now_ms: int) -> None:
        """Servers have come and gone at run time."""
        for slot in news.gone:
            self.names.go(slot, now_ms)
        for settings in news.come:
            self.names.come(settings, now_ms)
        self.accounts.forget()
        self._schedule_new()

    def follow(self, section: ResolversSection) -> None:
        """A section has other nameservers, or another search list; open runs go on."""
        self._sections[section.name] = section
        self._silences[section.name].follow(section)
        self.names.follow(section)

    def _perform(self, key: int, name: Resolved, actions: list[Action], now_ms: int) -> None:
        asker = self._askers[name.section.name]
        asked: list[QueryType] = []
        rests = False
        for action in actions:
            if isinstance(action, Ask):
                query_type = action.question.query_type
                unsent = asker.ask(key, action.question, now_ms)
                asked.append(query_type)
                name.history.asked(tuple(asked), now_ms, unsent)
                for nameserver in unsent:
                    name.resolution.unsent(nameserver, query_type)
            elif isinstance(action, Abandoned):
                asker.close_run(key)
            elif isinstance(action, Unanswered):
                asker.unanswered(key, action.nameservers)
                fallen = self._silences[name.section.name].unanswered(action.nameservers)
                self._trouble.fell_silent(name.section, fallen, now_ms)
            elif isinstance(action, Gained):
                assert isinstance(name, ResolvedName)
                name.gained(action, now_ms)
                self._stopwatch.moved(name.section.name, self.names.served.take_moved(), now_ms)
            elif isinstance(action, Finished):
                asker.close_run(key)
                self._leave(key, name.section.name, now_ms)
                name.finish(action, now_ms)
                self._stopwatch.ran(name.section.name, now_ms - name.history.begun_ms)
                self._stopwatch.moved(name.section.name, self.names.served.take_moved(), now_ms)
                self._trouble.ended(key, name, action, now_ms)
                self._views.ended(key, name, action, now_ms)
                rests = self._rest(key, name, action, now_ms)
        if key in self.names and not rests:
            self._schedule.set(key, name.resolution.deadline_ms)
            if name.resolution.state is State.PAUSED:  # no question is open: it counts for no limit
                self._leave(key, name.section.name, now_ms)
        self._schedule_new()

    def _schedule_new(self) -> None:
        for key in self._appeared:
            if key in self.names:
                name = self.names.peek(key)
                resolution = name.resolution
                resolution.early_ms = self._early_ms
                resolution.silent = self._silences[name.section.name].nameservers
                self._schedule.set(key, resolution.deadline_ms)
        self._appeared.clear()

    def _leave(self, key: int, section: str, now_ms: int) -> bool:
        admitted = self._run_limits[section].leave(key)
        for following in admitted:
            self._schedule.set(following, now_ms)
        return bool(admitted)

    def _forget(self, key: int, section: str, now_ms: int) -> None:
        """No server has the name any more."""
        self._askers[section].close_run(key)
        self._schedule.drop(key)
        self._trouble.forget(key)
        self._views.forget(key)
        self._leave(key, section, now_ms)
