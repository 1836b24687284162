"""Rise and fall: what one ended check makes of a server's health. Pure; every function takes `now`.

Owns the health counter and the numbers that HAProxy's users know from `show servers state`. Must
not know sockets, timers or the segment; it maps one `HealthState` to the next.

The counter runs from 0 to rise + fall - 1; the server is up from `rise` on. It snaps to an end as
soon as it crosses the middle, so only failures in a row or passes in a row count:

                          DOWN             |                UP
     health   0    1   ..   rise - 1       |   rise   ..   rise + fall - 1
     passed   +1 ->    ..   -------------- | ---------------> to the top
     failed   <---------- to 0             |  <- -1   (below rise: to 0)
     next in  downinter, else fastinter    |  fastinter ..    inter

A server starts at `rise`, up, so its first failed check takes it down; the first passed one moves
it to the top. It starts anew like this whenever an address comes after none and whenever it leaves
maintenance. A socket error of our own (no descriptor, no local port) changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from proxy.config.model.settings import OnError
from proxy.health.judgement import Change, CheckState, Outcome, ended_downtime_ms, judged
from shm.check_status import CheckResult, CheckStatus
from shm.states import HealthOrder, HealthState, Operational


class Thresholds(NamedTuple):
    """How many checks in a row it takes, and how a server without a check counts."""

    rise: int
    fall: int
    starts_down: bool = False  # init-state down: one passed check brings it up
    fully: bool = False  # init-state fully-: it takes rise checks to come up, fall to go down

    @property
    def top(self) -> int:
        """The counter of a server that passed its last checks."""
        return self.rise + self.fall - 1

    @property
    def start(self) -> int:
        """The counter of a server that was not checked yet."""
        if self.fully:
            return 0 if self.starts_down else self.top
        return self.rise - 1 if self.starts_down else self.rise


ORDERED = {
    HealthOrder.UP: (Operational.RUNNING, Change.UP),
    HealthOrder.STOPPING: (Operational.STOPPING, Change.STOPPING),
    HealthOrder.DOWN: (Operational.STOPPED, Change.DOWN),
}
IDLE = int(CheckState.CONFIGURED | CheckState.ENABLED)
BUSY = IDLE | int(CheckState.IN_PROGRESS)
PAUSED_FLAG = int(CheckState.PAUSED)
PAUSED = IDLE | PAUSED_FLAG


def is_paused(state: HealthState) -> bool:
    """Whether the server is in maintenance or has no address, so that no check is made."""
    return state.check_state & PAUSED_FLAG != 0


def is_down(state: HealthState) -> bool:
    """Whether checks took the server down, or none has brought it up yet."""
    return state.operational == Operational.STOPPED


def is_running(state: HealthState) -> bool:
    """Neither down nor on its way out."""
    return state.operational == Operational.RUNNING


class Sight(NamedTuple):
    """What a look at the slot's records says that matters for health."""

    incarnation: int
    generation: int
    checkable: bool  # not in maintenance, and there is somewhere to connect to
    agent_down: bool = False  # its agent says so


def seen(former: HealthState, thresholds: Thresholds, sight: Sight, now_ms: int) -> HealthState:
    """The health after a look at the slot: the same, anew, paused or resumed."""
    if former.incarnation != sight.incarnation or former.status == CheckStatus.UNK:
        return fresh(former, thresholds, sight, now_ms)
    if is_paused(former) == sight.checkable:
        state = fresh(former, thresholds, sight, now_ms)
        went_down = not sight.checkable and not is_down(former)
        return replace(state, downs=former.downs + went_down)
    if former.generation != sight.generation:
        state = replace(former, generation=sight.generation)
        return state if is_paused(state) else replace(state, check_state=IDLE)
    return former


def fresh(former: HealthState, thresholds: Thresholds, sight: Sight, now_ms: int) -> HealthState:
    """The health of a server without a check since it came; its counters live on.

    A paused server's record already reads as on the way out of maintenance, so that leaving takes
    no time; commands that show it print state 0 and health 0 from the maintenance itself. What was
    found out about an address does not speak of the next one: until a check of it has ended, the
    status is the initial one.
    """
    # Incarnation 0 with a status comes from a state file, which tells how the last check ended.
    known = former.status != CheckStatus.UNK
    same = known and former.incarnation in (0, sight.incarnation)
    starts_down = thresholds.starts_down or sight.agent_down
    return replace(
        former,
        incarnation=sight.incarnation,
        generation=sight.generation,
        operational=Operational.STOPPED if starts_down else Operational.RUNNING,
        status=former.status if same else CheckStatus.INI,
        result=former.result if same else CheckResult.UNKNOWN,
        code=former.code if same else 0,
        check_state=IDLE if sight.checkable else PAUSED,
        health=thresholds.start,
        changed_ms=now_ms,
        downtime_ms=former.downtime_ms + ended_downtime_ms(former, now_ms),
    )


def adopted(record: HealthState, thresholds: Thresholds) -> HealthState:
    """Carry on from a record that a former worker left; rise and fall may have changed since."""
    if is_down(record):
        health = min(record.health, thresholds.rise - 1)
    else:
        health = min(max(record.health, thresholds.rise), thresholds.top)
    return replace(record, health=health, check_state=record.check_state & ~CheckState.IN_PROGRESS)


def ordered(
    state: HealthState, thresholds: Thresholds, order: HealthOrder, orders: int, now_ms: int
) -> tuple[HealthState, Change]:
    """The health after the operator's word, which holds until checks say otherwise.

    `orders` is the number of the order. A server that is paused starts anew anyway.
    """
    obeyed = replace(state, orders_taken=orders)
    if order is HealthOrder.NONE or is_paused(state):
        return obeyed, Change.NONE
    operational, change = ORDERED[order]
    obeyed = replace(obeyed, health=0 if order is HealthOrder.DOWN else thresholds.top)
    if operational == state.operational:
        return obeyed, Change.NONE
    return replace(
        obeyed,
        operational=operational,
        changed_ms=now_ms,
        downs=state.downs + (change is Change.DOWN),
        returned=state.returned or change is Change.UP,
        downtime_ms=state.downtime_ms + ended_downtime_ms(state, now_ms),
    ), change


def taken_down(state: HealthState, now_ms: int) -> tuple[HealthState, Change]:
    """The health after the agent has said that the server is down; checks count on."""
    if is_down(state) or is_paused(state):
        return state, Change.NONE
    return replace(
        state, operational=Operational.STOPPED, changed_ms=now_ms, downs=state.downs + 1
    ), Change.DOWN


def brought_up(
    state: HealthState, thresholds: Thresholds, now_ms: int, *, by_check: bool, ordered: bool
) -> tuple[HealthState, Change]:
    """The health after the agent has said that the server is up.

    A check that says otherwise outweighs it (`by_check`: there is one), but not an order of the
    operator. A server on its way out stays there.
    """
    outweighed = by_check and state.health < thresholds.rise
    if is_paused(state) or is_running(state) or (outweighed and not ordered):
        return state, Change.NONE
    if not is_down(state) and not ordered:
        return state, Change.NONE
    return replace(
        state,
        operational=Operational.RUNNING,
        returned=True,
        changed_ms=now_ms,
        downtime_ms=state.downtime_ms + ended_downtime_ms(state, now_ms),
    ), Change.UP


def analyzed(
    state: HealthState, thresholds: Thresholds, on_error: OnError, now_ms: int
) -> tuple[HealthState, Change]:
    """The health after too many sessions in a row could not connect (manual: on-error).

    It counts as a failed check that ends now, as the last that may fail, or as the one too many. A
    check that is under way goes on.
    """
    if on_error == OnError.FASTINTER or is_down(state) or is_paused(state):
        return state, Change.NONE
    health = state.health
    if on_error == OnError.SUDDEN_DEATH:
        health = min(health, thresholds.rise + 1)
    elif on_error == OnError.MARK_DOWN:
        health = thresholds.rise
    outcome = Outcome(CheckStatus.HANA, 0, 0)
    judgement, change = judged(replace(state, health=health), thresholds, outcome, now_ms)
    return replace(judgement, check_state=state.check_state), change
