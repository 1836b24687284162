"""What `show resolution` says in words: accounts of resolverd in, lines out. Pure.

Owns the columns of the list, which scripts rely on (append only), and the sentences about reasons.
"""

from __future__ import annotations

from collections.abc import Iterator

from resolverd.records.schema import Account, Record, Reply, ServerAccount, Summary, Why

NOTHING = "-"  # a cell without a value
COLUMNS = (
    "section name asks origin state status last_valid_s last_run_s next_s next_cause records "
    "servers used missing stale dropped_in_s triggers_held_s live"
)
HEADER = f"# {COLUMNS}\n"
SENTENCES = {
    Why.CONFIRMED: "the last answer has it",
    Why.STICKY: "the last answer has it; a server keeps it though another record would rank better",
    Why.OBSOLETE: "not in the last answer, kept by hold obsolete",
    Why.HOLD_NX: "the last run failed, kept by hold nx",
    Why.HOLD_REFUSED: "the last run failed, kept by hold refused",
    Why.HOLD_TIMEOUT: "the last run failed, kept by hold timeout",
    Why.HOLD_OTHER: "the last run failed, kept by hold other",
    Why.CUT: "the last answer was cut, which confirms and removes nothing",
    Why.UNCONFIRMED: "of init-addr, a state file or a former process; no answer has confirmed it",
    Why.TARGET: "an SRV record without an address; its target is resolved on its own",
    Why.NO_ANSWER: "no address: no valid answer yet",
    Why.EXPIRED: "no address: no valid answer for longer than the hold",
    Why.DUPLICATE: "no address: each record is held by another server of the backend",
    Why.NO_RECORD: "no address: there are fewer records than servers",
    Why.NO_SERVER: "no server left",
    Why.NOT_IN_NETWORK: "no server left, those within resolve-net come first",
    Why.OTHER_FAMILY: "no server left, those of the preferred family come first",
}


def seconds(milliseconds: int | None) -> str:
    """A time for people and scripts: seconds with three decimals."""
    return NOTHING if milliseconds is None else f"{milliseconds / 1000:.3f}"


def ago(milliseconds: int | None) -> str:
    """A moment in the past."""
    return "never" if milliseconds is None else f"{seconds(milliseconds)} s ago"


def cell(text: str | None) -> str:
    """A word of the list; blanks would make two of it."""
    return text.replace(" ", "_") if text else NOTHING


def summary_line(summary: Summary) -> str:
    """One line of the list."""
    cells = (
        cell(summary.section),
        cell(summary.name),
        summary.asks,
        summary.origin,
        cell(summary.state),
        cell(summary.status),
        seconds(summary.last_valid_age_ms),
        seconds(summary.last_run_age_ms),
        seconds(summary.next_in_ms),
        cell(summary.next_cause),
        str(summary.records),
        str(summary.servers),
        str(summary.used),
        str(summary.missing),
        str(int(summary.stale)),
        seconds(summary.dropped_in_ms),
        seconds(summary.triggers_held_ms),
        str(int(summary.live)),
    )
    return " ".join(cells) + "\n"


def reason_text(why: Why, left_ms: int | None) -> str:
    """Why something is as it is, and for how long."""
    left = "" if left_ms is None else f", {seconds(left_ms)} s left"
    return SENTENCES[why] + left


def reply_text(reply: Reply) -> str:
    """What a nameserver said last."""
    unsent = "" if reply.sent else " (the last question did not reach it)"
    if reply.status is None:
        about = f" about {reply.query_type}" if reply.query_type else ""
        return f"no answer yet{about}{unsent}"
    cut = ", cut" if reply.cut else ""
    what = f"{reply.status}, {reply.query_type}, {reply.records} records{cut}"
    return f"{what}, {ago(reply.age_ms)}{unsent}"


def next_text(summary: Summary) -> str:
    """What is waited for, and until when."""
    if summary.state == "idle":
        return f"in {seconds(summary.next_in_ms)} s ({summary.next_cause})"
    return f"goes on, waits {seconds(summary.next_in_ms)} s for: {summary.next_cause}"


def head_lines(account: Account) -> Iterator[str]:
    """What was asked, heard, and what comes next."""
    summary = account.summary
    yield f"Resolution {summary.name} (resolvers {summary.section}, {summary.asks})\n"
    yield f"  last run      : {summary.status or 'none yet'}, {ago(summary.last_run_age_ms)}\n"
    yield f"  last valid    : {ago(summary.last_valid_age_ms)}\n"
    if summary.live:
        yield from live_lines(account)
    yield (
        f"  slots         : {summary.used} of {summary.servers} used, {summary.records} records, "
        f"{summary.missing} without a server\n"
    )
    if summary.stale:
        left = seconds(summary.dropped_in_ms)
        yield f"  stale         : servers live on {summary.hold}, dropped in {left} s\n"


def live_lines(account: Account) -> Iterator[str]:
    """What resolverd alone knows."""
    summary = account.summary
    reached = " ".join(reply.nameserver for reply in account.replies if reply.sent) or "nobody"
    what = account.question
    if account.asked_name != summary.name:
        what = f"{what} of {account.asked_name}"
    asked = f"{what}, {ago(account.asked_age_ms)}, to {reached}"
    yield f"  origin        : {summary.origin}\n"
    yield f"  last question : {asked if account.question else 'none yet'}\n"
    for reply in account.replies:
        yield f"  last answer   : {reply.nameserver}: {reply_text(reply)}\n"
    yield f"  next run      : {next_text(summary)}\n"
    held = f"ignored for {seconds(summary.triggers_held_ms)} s: the last brought nothing new"
    yield f"  connects fail : {held if summary.triggers_held_ms else 'asks for a run'}\n"


def record_line(record: Record) -> str:
    """One record: seen when, held by whom, refused why."""
    parts = [f"seen {ago(record.seen_age_ms)}"]
    if record.forgotten_in_ms is not None:
        left = seconds(record.forgotten_in_ms)
        parts.append(f"not in the last answer, forgotten in {left} s (hold obsolete)")
    if record.weight is not None:
        parts.append(f"weight {record.weight}")
    if record.priority is not None:
        parts.append(f"priority {record.priority}")
    if record.addresses:
        more = f" and {record.addresses_more} more" if record.addresses_more else ""
        parts.append(f"addresses {' '.join(record.addresses)}{more}")
    if record.holders:
        more = f" and {record.holders_more} more" if record.holders_more else ""
        parts.append(f"held by {' '.join(record.holders)}{more}")
    parts += [f"not used in {backend}: {SENTENCES[why]}" for backend, why in record.refused.items()]
    if record.refused_more:
        parts.append(f"not used in {record.refused_more} other backends")
    return f"  record {record.record}: {'; '.join(parts)}\n"


def place_text(server: ServerAccount) -> str:
    """Where a server is."""
    where = "(none)" if server.address is None else server.address
    return where + (f" (as {server.target}:{server.port})" if server.target else "")


def server_line(server: ServerAccount) -> str:
    """One server: its address and why it has it."""
    reason = reason_text(server.why, server.left_ms)
    return f"  server {server.server}: {place_text(server)}; {reason}\n"
