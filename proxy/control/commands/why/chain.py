"""What `show why` says of one server: the chain from DNS to the relays, a line a link. Pure.

Observed records and accounts of resolverd in, lines out. The first line is the verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.control.commands.resolution import ago, place_text, reason_text, reply_text, seconds
from proxy.control.commands.why.load import ServerLoad, held_back
from proxy.control.rows.observation import FDRAIN, FMAINT, MAINT_MASK, Observed
from resolverd.records.schema import Account, Move, Record, ServerAccount
from shm.check_status import CheckStatus, escaped
from shm.processes import ProcessStatus
from shm.standing import CMAINT
from shm.states import AgentCommand, AgentWord, Cause, HealthOrder, Operational, SlotState

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
    state, flags = observed.state, observed.admin.flags
    if state.eligible:
        return ""
    reasons = (
        (flags & FMAINT, f"{_who(observed)} has put it into maintenance"),
        (flags & CMAINT, "it is disabled in the configuration"),
        (_lacks_address(observed), "it has no address"),
        (state.maint, f"it is in maintenance, {_as_tracked(observed, _own_maint)}"),
        (flags & FDRAIN, f"{_who(observed)} drains it"),
        (state.drain, f"it is drained, {_as_tracked(observed, _own_drain)}"),
        (state.weight == 0, "its weight is 0"),
        (state.operational == Operational.STOPPED, _down_reason(observed)),
        (state.operational == Operational.STOPPING, _follows("it is stopping", observed)),
    )
    return next((text for holds, text in reasons if holds), "it has no port")


def _who(observed: Observed) -> str:
    """Whose word about the administrative state was the last."""
    return "its agent" if _state_by_agent(observed) else "the operator"


def _state_by_agent(observed: Observed) -> bool:
    said, orders = observed.standing.said, observed.orders
    return said is not None and orders is not None and said.state_ns > orders.state_ns


def _down_by_agent(observed: Observed) -> str:
    """By whom its agent has it down, the agent or the operator for it; empty where it has not.

    The operator's order holds until the agent says something: L7STS is its own word.
    """
    said, orders = observed.standing.said, observed.orders
    if said is None or orders is None or not said.down:
        return ""
    own = said.status == CheckStatus.L7STS or orders.order != AgentCommand.DOWN
    return "its agent" if own else "the operator's order to its agent"


def _own_maint(observed: Observed) -> bool:
    return bool(observed.admin.flags & MAINT_MASK) or _lacks_address(observed)


def _own_drain(observed: Observed) -> bool:
    return bool(observed.admin.flags & FDRAIN)


def _lacks_address(observed: Observed) -> bool:
    return observed.state.address is None or observed.standing.lacks_address


def _as_tracked(observed: Observed, own: Callable[[Observed], object]) -> str:
    """Which server of the chain that it tracks it follows: the first that is so of its `own`."""
    nearest = source = observed.tracked
    if source is None or nearest is None:
        return ""
    while source.tracked is not None and not own(source):
        source = source.tracked
    through = "" if source is nearest else f" through {title(nearest)}"
    return f"because {title(source)} is, which it tracks{through}"


def _follows(reason: str, observed: Observed) -> str:
    """A state of checks, of itself or of what it tracks."""
    return f"{reason}, {_as_tracked(observed, _down_by_agent)}" if observed.tracked else reason


def _down_reason(observed: Observed) -> str:
    """Who has it DOWN: checks, an agent, the operator, or the server that it tracks."""
    by_agent, standing = _down_by_agent(observed), observed.standing
    if by_agent:
        failing = observed.server.check is not None and standing.check_health < observed.rise
        return f"it is DOWN by {'its checks and ' if failing else ''}{by_agent}"
    if observed.state.health_order == HealthOrder.DOWN and not observed.server.watched:
        return "the operator has ordered it DOWN"
    return _follows("it is DOWN", observed)


def title(observed: Observed) -> str:
    """A server as operators write it."""
    return f"{observed.proxy.name}/{observed.server.name}"


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
    """What was ordered, as far as no later word of its agent replaces it."""
    admin = observed.alone or observed.admin
    timed, orders = [], []  # a time is noted of orders about the state alone
    said, beside, by_agent = observed.standing.said, observed.orders, _state_by_agent(observed)
    if admin.flags & FMAINT and not by_agent:
        timed.append("maintenance")
    if admin.flags & FDRAIN and not by_agent:
        timed.append("drain")
    if observed.state.check_off:
        orders.append("no health checks")
    if admin.weight >= 0 and not (said and beside and said.weight_ns > beside.weight_ns):
        orders.append(f"weight {admin.weight}")
    if admin.maxconn >= 0 and not (said and beside and said.maxconn_ns > beside.maxconn_ns):
        orders.append(f"maxconn {admin.maxconn}")
    if admin.address is not None:
        holds = admin.override_generation == observed.slot.generation
        kept = "" if holds else " (over: the address has changed since)"
        orders.append(f"address {admin.address} port {admin.port or observed.slot.port}{kept}")
    if observed.order:
        orders.append(f"name {observed.order}")
    if observed.state.health_order:
        timed.append(f"health {HealthOrder(observed.state.health_order).name.lower()}")
    if timed and admin.changed_ms and not by_agent:
        timed.append(f"last {ago(now_ms - admin.changed_ms)}")
    return "; ".join(", ".join(part) for part in (timed, orders) if part) or "no order"


def agent_text(observed: Observed, now_ms: int) -> str:
    """What its agent has said, as far as no later order of the operator replaces it."""
    said, orders = observed.standing.said, observed.orders
    assert said is not None
    assert orders is not None
    down = {"": "", "its agent": "DOWN"}.get(_down_by_agent(observed), "DOWN by the operator")
    words = [down] if down else []
    if _state_by_agent(observed):
        words.append(AgentWord(said.word).name.lower())
    if said.weight >= 0 and said.weight_ns > orders.weight_ns:
        words.append(f"weight {said.weight}")
    if said.maxconn >= 0 and said.maxconn_ns > orders.maxconn_ns:
        words.append(f"maxconn {said.maxconn}")
    last = "not checked yet"
    if said.checked_ms:
        last = check_text(said.status, said.code, observed.agent_text)
        last = f"last check {last} {ago(now_ms - said.checked_ms)}"
    if orders.off:
        last += ", asked no more by order"
    return f"{', '.join(words) or 'no word'}; {last}"


def check_text(number: int, code: int, said: str) -> str:
    """How a check ended: `check_desc` of `show stat`, of one that failed, and `last_chk`."""
    status = CheckStatus.of(number)
    told = [status.description] if status.failed else []
    told += [text] if (text := escaped(said.strip()) or status.cause(code)) else []
    return f"{status.name} ({': '.join(told)})" if told else status.name


def health_text(observed: Observed, now_ms: int) -> str:
    """What checks say, its own or those of what it tracks; an agent may say otherwise."""
    by = _down_by_agent(observed)
    if observed.tracked is not None:
        own = f"DOWN by {by}; " if by else ""
        followed = health_text(observed.tracked, now_ms)
        return f"{own}of {title(observed.tracked)}, which it tracks: {followed}"
    state, said = OPERATIONAL[observed.state.operational], observed.standing.statement
    by = f" by {by}" if by and observed.state.operational == Operational.STOPPED else ""
    if observed.server.check is None:
        return f"no check configured, counts as {state}{by}"
    if said is None:
        return f"{state} as init-state has it: this address was not checked yet"
    last = ""
    if said.checked_ms:
        ended = check_text(said.status, said.code, observed.check_text)
        last = f", last check {ended} {ago(now_ms - said.checked_ms)}"
    if observed.maint:  # the record reads as on the way out of it, for the checks to come
        return f"not checked in maintenance{last}"
    passes = f"{observed.standing.check_health} of {observed.rise + observed.fall - 1}"
    since = ago(now_ms - said.changed_ms)
    return f"{state} since {since}{by}{';' if by else ','} {passes} in its favour{last}"


def tracked_lines(observed: Observed) -> Iterator[str]:
    """The servers that it tracks, a line each, the nearest first."""
    tracked = observed.tracked
    while tracked is not None:
        yield f"  tracks      : {title(tracked)}, which {_takes(tracked, ServerLoad())}\n"
        tracked = tracked.tracked


def _takes(observed: Observed, load: ServerLoad) -> str:
    reason = verdict(observed) or held_back(observed, load)
    return f"takes no new sessions: {reason}" if reason else "takes new sessions"


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


def chain(
    observed: Observed, accounts: list[Account], origin: str, now_ms: int, load: ServerLoad
) -> Iterator[str]:
    """All links but the workers; `origin` says where the address comes from without accounts."""
    reason = verdict(observed)
    yield f"{title(observed)} {_takes(observed, load)}.\n"
    if origin:
        yield f"  name        : {origin}\n"
    for account in accounts:
        yield from name_lines(account)
    yield f"  slot        : {slot_text(observed.slot, now_ms)}\n"
    for account in accounts[-1:]:
        yield from change_lines(account)
    yield from tracked_lines(observed)
    yield f"  operator    : {operator_text(observed, now_ms)}\n"
    if observed.standing.said is not None:
        yield f"  agent       : {agent_text(observed, now_ms)}\n"
    yield f"  health      : {health_text(observed, now_ms)}\n"
    where = "(none)" if observed.state.address is None else observed.state.address
    if observed.server.local is not None:
        where = observed.server.host
    yield (
        f"  in force    : {where} port {observed.state.port}, weight {observed.weight}, "
        f"{'not eligible: ' + reason if reason else 'eligible'}\n"
    )
