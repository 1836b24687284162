"""What `show why` says of one server: the chain from DNS to the relays, a line a link. Pure.

Observed records and accounts of resolverd in, lines out. The first line is the verdict.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.control.commands.resolution import ago, place_text, reason_text, reply_text, seconds
from proxy.control.rows.observation import FDRAIN, FMAINT, Observed
from resolverd.records.schema import Account, Move, Record, ServerAccount
from shm.check_status import CheckStatus, escaped
from shm.processes import ProcessStatus
from shm.states import Cause, HealthOrder, Operational, SlotState

CAUSES = {
    Cause.NOTHING: "it never had an address",
    Cause.CONFIGURED: "the address is in the configuration",
    Cause.LIBC: "the system's resolver said so at the start (init-addr libc)",
    Cause.INIT_ADDRESS: "init-addr has the address",
    Cause.DNS: "an answer of DNS",
    Cause.CARRIED: "kept over a reload",
    Cause.NO_RECORD: "no record was left for it",
    Cause.NX: "DNS says that the name does not exist, for longer than hold nx",
    Cause.TIMEOUT: "no nameserver answered, for longer than hold timeout",
    Cause.REFUSED: "nameservers refuse to answer, for longer than hold refused",
    Cause.OTHER: "nameservers answer with errors, for longer than hold other",
    Cause.STATE_FILE: "the server state file (init-addr last)",
    Cause.REMOVED: "its SRV record is gone",
}
OPERATIONAL = ("DOWN", "starting", "UP", "stopping")


def verdict(observed: Observed) -> str:
    """Why it takes no new sessions; empty when it does."""
    state = observed.state
    if state.eligible:
        return ""
    lacking = state.address is None or observed.standing.lacks_address
    reasons = (
        (observed.admin.flags & FMAINT, f"{_who(observed)} has put it into maintenance"),
        (observed.server.disabled and observed.maint, "it is disabled in the configuration"),
        (lacking, "it has no address"),
        (state.drain, f"{_who(observed)} drains it"),
        (state.weight == 0, "its weight is 0"),
        (state.operational == Operational.STOPPED, "it is DOWN"),
        (state.operational == Operational.STOPPING, "it is stopping"),
    )
    return next((text for holds, text in reasons if holds), "it has no port")


def _who(observed: Observed) -> str:
    """Whose word about the administrative state was the last."""
    said, orders = observed.standing.said, observed.orders
    by_agent = said is not None and orders is not None and said.state_ns > orders.state_ns
    return "its agent" if by_agent else "the operator"


def slot_text(slot: SlotState, now_ms: int) -> str:
    """The slot record."""
    where = "(none)" if slot.address is None else f"{slot.address} port {slot.port}"
    weight = "as configured" if slot.weight < 0 else f"{slot.weight} of DNS"
    since = f", since {ago(now_ms - slot.changed_ms)}" if slot.changed_ms else ""
    return (
        f"{where}, weight {weight}, generation {slot.generation}, incarnation {slot.incarnation}"
        f"{since}; cause: {CAUSES[Cause(slot.cause)]}"
    )


def operator_text(observed: Observed, now_ms: int) -> str:
    """What was ordered."""
    admin, orders = observed.admin, []
    if admin.flags & FMAINT:
        orders.append("maintenance")
    if admin.flags & FDRAIN:
        orders.append("drain")
    if observed.state.check_off:
        orders.append("no health checks")
    if admin.weight >= 0:
        orders.append(f"weight {admin.weight}")
    if admin.address is not None:
        holds = admin.override_generation == observed.slot.generation
        kept = "" if holds else " (over: the address has changed since)"
        orders.append(f"address {admin.address} port {admin.port or observed.slot.port}{kept}")
    if observed.order:
        orders.append(f"name {observed.order}")
    if observed.state.health_order:
        orders.append(f"health {HealthOrder(observed.state.health_order).name.lower()}")
    if not orders:
        return "no order"
    since = f", last {ago(now_ms - admin.changed_ms)}" if admin.changed_ms else ""
    return ", ".join(orders) + since


def health_text(observed: Observed, now_ms: int) -> str:
    """What checks say."""
    if observed.server.check is None:
        return f"no check configured, counts as {OPERATIONAL[observed.state.operational]}"
    state, said = OPERATIONAL[observed.state.operational], observed.standing.statement
    if said is None:
        return f"{state} as init-state has it: this address was not checked yet"
    last = ""
    if said.checked_ms:
        status = CheckStatus.of(said.status)
        text = escaped(observed.check_text.strip()) or status.cause(said.code)
        why = f" ({text})" if text else ""
        last = f", last check {status.name}{why} {ago(now_ms - said.checked_ms)}"
    passes = f"{observed.standing.check_health} of {observed.rise + observed.fall - 1}"
    return f"{state} since {ago(now_ms - said.changed_ms)}, {passes} in its favour{last}"


def record_text(records: list[Record], server: ServerAccount) -> str:
    """The record that the server has, and why."""
    seen = f"{records[0].record}, seen {ago(records[0].seen_age_ms)}; " if records else ""
    return f"{seen}{reason_text(server.why, server.left_ms)}"


def move_text(move: Move) -> str:
    """One change of the address."""
    before, after = move.before or "(none)", move.after or "(none)"
    return f"{ago(move.age_ms)} from {before} to {after} by {move.by}"


def name_lines(account: Account) -> Iterator[str]:
    """What a name that feeds the server has brought."""
    summary = account.summary
    yield f"  name        : {summary.name} (resolvers {summary.section}, {summary.asks})\n"
    for reply in account.replies:
        yield f"  last answer : {reply.nameserver}: {reply_text(reply)}\n"
    held = f", {summary.hold} {seconds(summary.dropped_in_ms)} s" if summary.stale else ""
    valid = ago(summary.last_valid_age_ms)
    yield f"  last run    : {summary.status or 'none yet'}{held}; last valid {valid}\n"
    for server in account.servers:
        yield f"  record      : {record_text(account.records, server)}\n"
        if server.target:
            yield f"  target      : {place_text(server)}\n"


def change_lines(account: Account) -> Iterator[str]:
    """The last changes of its address, the newest first."""
    for server in account.servers:
        for move in reversed(server.moves):
            yield f"  change      : {move_text(move)}\n"


def worker_line(worker: int, status: ProcessStatus, published: int) -> str:
    """Whether a relay has seen the table as it is."""
    seen, who = status.generation_seen, f"worker {worker}"
    if not status.pid:
        text = "does not run"
    elif seen >= published:
        text = f"has seen the table as it is (generation {published})"
    else:
        text = f"has seen generation {seen} of {published}, and looks before its next session"
    return f"  {who:<12}: {text}\n"


def chain(observed: Observed, accounts: list[Account], origin: str, now_ms: int) -> Iterator[str]:
    """All links but the workers; `origin` says where the address comes from without accounts."""
    reason = verdict(observed)
    who = f"{observed.proxy.name}/{observed.server.name}"
    takes = f"takes no new sessions: {reason}" if reason else "takes new sessions"
    yield f"{who} {takes}.\n"
    if origin:
        yield f"  name        : {origin}\n"
    for account in accounts:
        yield from name_lines(account)
    yield f"  slot        : {slot_text(observed.slot, now_ms)}\n"
    for account in accounts[-1:]:
        yield from change_lines(account)
    yield f"  operator    : {operator_text(observed, now_ms)}\n"
    yield f"  health      : {health_text(observed, now_ms)}\n"
    where = "(none)" if observed.state.address is None else observed.state.address
    if observed.server.local is not None:
        where = observed.server.host
    yield (
        f"  in force    : {where} port {observed.state.port}, weight {observed.weight}, "
        f"{'not eligible: ' + reason if reason else 'eligible'}\n"
    )
