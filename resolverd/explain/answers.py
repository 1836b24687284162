"""Answers to the questions of control in the mailbox: accounts of names, records and servers.

Reads the names and writes nothing. An answer is computed when it is asked for, in pages of ROWS_MAX
rows, so that ten thousand names keep the loop no longer than a few runs do.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping

import msgspec

from resolverd.config import ResolvedServer
from resolverd.dns.answer import Status
from resolverd.explain.holders import HostHolders, ServiceHolders, server_name
from resolverd.explain.reasons import has_failed, hold_left_ms, hold_of
from resolverd.names.added_rows import Resolved
from resolverd.names.host import ResolvedName
from resolverd.names.registry import NameRegistry
from resolverd.pace.run_limit import RunLimit
from resolverd.records.history import LastAnswer
from resolverd.records.schema import (
    TOGETHER,
    Account,
    Move,
    Page,
    QuestionKind,
    Reply,
    ServerAccount,
    Summary,
    asks,
)
from resolverd.resolution.transitions import State
from shm.mailbox import MailQuestion

ROWS_MAX = 50  # of one page: a millisecond of the loop
Stamp = tuple[int, int, int, int]  # key, end of its last run, records, servers
KEY_SHIFT = 32  # a cursor over the rows of several names: key (high half), row (low half)


def _age_ms(moment_ms: int, now_ms: int) -> int | None:
    return max(0, now_ms - moment_ms) if moment_ms else None


def _words(status: Status | None) -> str | None:
    return None if status is None else status.name.lower().replace("_", " ")


def error_page(error: str) -> bytes:
    """The answer to a question that raised an error."""
    page: Page[Summary] = Page([], error=error)
    return msgspec.json.encode(page)


class Accounts:
    """Accounts of the names of one core."""

    def __init__(self, names: NameRegistry, places: Mapping[str, RunLimit]) -> None:
        self._names = names
        self._run_limits = places
        self._keys: list[int] = []  # of the names, in the order of pages
        self._seen: tuple[Stamp, HostHolders | ServiceHolders] | None = (
            None  # of the last part of an account
        )

    def forget(self) -> None:
        """Servers have come or gone, as many maybe: the view of the last page has others."""
        self._seen = None

    def page(self, question: MailQuestion, now_ms: int, bytes_max: int) -> bytes:
        """The answer to one question, as JSON of at most `bytes_max` bytes.

        Raises ValueError for an unknown kind of question, or if one row does not fit.
        """
        rows = ROWS_MAX
        while rows:
            encoded = msgspec.json.encode(self._page(question, now_ms, rows))
            if len(encoded) <= bytes_max:
                return encoded
            rows //= 2
        raise ValueError(f"one row is longer than {bytes_max} bytes")

    def _page(
        self, question: MailQuestion, now_ms: int, rows: int
    ) -> Page[Summary] | Page[Account]:
        _, kind, key, cursor, text = question
        if kind == QuestionKind.NAMES:
            return self._summaries(cursor, now_ms, rows)
        if kind == QuestionKind.NAME:
            return self._accounts(self._called(text), cursor, now_ms, rows)
        if kind == QuestionKind.SERVER:
            return Page(
                [self._about_server(each, key, now_ms) for each in self._names.feeding(key)]
            )
        raise ValueError(f"question of kind {kind}")

    def _summaries(self, cursor: int, now_ms: int, rows: int) -> Page[Summary]:
        if cursor == 0 or len(self._keys) != len(self._names):
            self._keys = sorted(self._names)  # once for all pages, not for each
        first = bisect.bisect_left(self._keys, cursor)
        chosen = self._keys[first : first + rows]
        shown = [self._summary(key, now_ms) for key in chosen if key in self._names]
        last = first + rows >= len(self._keys)
        return Page(shown, -1 if last else self._keys[first + rows])

    def _called(self, text: str) -> list[int]:
        return sorted(key for key in self._names if self._names.peek(key).settings.name == text)

    def _accounts(self, keys: list[int], cursor: int, now_ms: int, rows: int) -> Page[Account]:
        """A page of one of these names, with the cursor of the next."""
        wanted, start = cursor >> KEY_SHIFT, cursor & ((1 << KEY_SHIFT) - 1)
        left = [key for key in keys if key >= wanted]
        if not left:
            return Page([])
        start = start if left[0] == wanted else 0
        account, ended = self._account(left[0], start, now_ms, rows)
        if not ended:
            return Page([account], left[0] << KEY_SHIFT | start + rows)
        return Page([account], left[1] << KEY_SHIFT if len(left) > 1 else -1)

    def _account(self, key: int, start: int, now_ms: int, rows: int) -> tuple[Account, bool]:
        """Rows `start` to `start + rows` of its records, then servers; True with the last row."""
        account, view = self._head(key, now_ms), self._view(key, start)
        count = view.count
        account.records = view.records(start, start + rows, now_ms)
        first, last = max(0, start - count), max(0, start + rows - count)
        account.servers = [self._server(view, each, now_ms) for each in view.servers[first:last]]
        return account, start + rows >= count + len(view.servers)

    def _view(self, key: int, start: int) -> HostHolders | ServiceHolders:
        """The holders of records; the view of the former page is used again if it is current."""
        name = self._names[key]
        assignment = name.assignment
        counts = len(assignment.records), len(assignment.slots)
        stamp = key, name.resolution.last_run_ms, *counts
        if start == 0 or self._seen is None or self._seen[0] != stamp:
            self._seen = stamp, _holders_of(name)
        return self._seen[1]

    def _about_server(self, key: int, slot: int, now_ms: int) -> Account:
        """A name with one of its servers and that server's record."""
        account, view = self._head(key, now_ms), _holders_of(self._names[key])
        account.records = view.records_of(slot, now_ms)
        server = next(each for each in view.servers if each.slot == slot)
        account.servers = [self._server(view, server, now_ms)]
        return account

    def _server(
        self, view: HostHolders | ServiceHolders, server: ResolvedServer, now_ms: int
    ) -> ServerAccount:
        served = self._names.served[server.slot]
        why, left_ms = view.why(server, now_ms)
        return ServerAccount(
            server.slot,
            server_name(server),
            None if served.address is None else served.address.text,
            served.port,
            why,
            left_ms,
            served.target,
            [
                Move(
                    now_ms - move.when_ms,
                    None if move.before is None else move.before.text,
                    None if move.after is None else move.after.text,
                    move.source,
                )
                for move in served.moves
            ],
        )

    def _head(self, key: int, now_ms: int) -> Account:
        name = self._names[key]
        history = name.history
        replies = []
        for nameserver in name.section.nameservers:
            sent = nameserver.name not in history.unsent
            if name.resolution.merges:
                for each in name.resolution.types:
                    last = history.answers.get((nameserver.name, each))
                    replies.append(_reply(nameserver.name, last, sent, now_ms, each.name))
            else:
                last = history.last(nameserver.name)
                replies.append(_reply(nameserver.name, last, sent, now_ms))
        return Account(
            self._summary(key, now_ms),
            TOGETHER.join(each.name for each in history.query_types) or None,
            name.resolution.asked_name,
            _age_ms(history.asked_ms, now_ms),
            replies,
        )

    def _summary(self, key: int, now_ms: int) -> Summary:
        name = self._names[key]
        resolution, assignment = name.resolution, name.assignment
        failed = has_failed(resolution)
        stale = failed and assignment.used > 0
        answered = resolution.leases.begun
        return Summary(
            key=key,
            name=name.settings.name,
            section=name.section.name,
            asks=asks(resolution.types, merges=resolution.merges),
            origin=self._origin(key),
            state=resolution.state.value,
            status=_words(resolution.last_status),
            last_valid_age_ms=_age_ms(resolution.last_valid_ms, now_ms) if answered else None,
            last_run_age_ms=_age_ms(resolution.last_run_ms, now_ms),
            next_in_ms=max(0, resolution.deadline_ms - now_ms),
            next_cause=self._next_cause(key),
            records=len(assignment.records),
            servers=len(assignment.slots),
            used=assignment.used,
            missing=assignment.missing,
            stale=stale,
            dropped_in_ms=hold_left_ms(name, now_ms) if stale else None,
            hold=str(hold_of(name)) if stale else "",
            triggers_held_ms=max(0, resolution.triggers_held_until_ms - now_ms),
        )

    def _origin(self, key: int) -> str:
        name = self._names[key]
        if name.permanent:
            return "configuration"
        if not isinstance(name, ResolvedName):
            return "added server"
        slots = name.assignment.slots
        if any(self._names.is_added(slot) for slot in slots):
            return "added server"
        return "order" if any(self._names.ordered(slot) for slot in slots) else "target"

    def _next_cause(self, key: int) -> str:
        name = self._names[key]
        resolution = name.resolution
        if self._run_limits[name.section.name].waits(key):
            return "a place among the questions in flight"
        if resolution.state is State.PAUSED:
            return "retry"
        if resolution.state is not State.IDLE:
            return "answer"
        if resolution.trigger_waits:
            return "failed connect"
        return "period" if resolution.last_status is not None else "first run"


def _reply(
    nameserver: str, last: LastAnswer | None, sent: bool, now_ms: int, query_type: str = ""
) -> Reply:
    """The last answer of a nameserver; without one, `query_type` is the awaited type."""
    if last is None:
        return Reply(nameserver, query_type=query_type, sent=sent)
    answer = last.answer
    return Reply(
        nameserver,
        _words(answer.status),
        last.query_type.name,
        now_ms - last.when_ms,
        len(answer.addresses) + len(answer.services),
        cut=answer.partial,
        sent=sent,
    )


def _holders_of(name: Resolved) -> HostHolders | ServiceHolders:
    return HostHolders(name) if isinstance(name, ResolvedName) else ServiceHolders(name)
