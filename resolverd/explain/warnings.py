"""What the log says of names whose answers fail, are cut, or help nobody: once for each change.

Owns what was said of which name. The lines of one section are bounded (log/throttle.py): an outage
of its nameservers concerns all its names.
"""

from __future__ import annotations

import enum

from resolverd.dns.answer import Status
from resolverd.explain.reasons import hold_left_ms, hold_of
from resolverd.log.lines import NOTICE, WARNING, describe_cut, describe_failure, describe_unusable
from resolverd.log.throttle import Quiet
from resolverd.names.registry import Resolved
from resolverd.names.slot_publisher import ServedServers
from resolverd.resolution.actions import Finished


class State(enum.Enum):
    """What is wrong with a name; nothing is said of names that are not known here."""

    SUSPECT = "valid answers, no address, once"  # targets may be on their way
    UNUSABLE = "valid answers, no address"
    CUT = "cut answers"
    FAILED = "no valid answer"


class Trouble:
    """Follows the ends of all runs."""

    def __init__(self, served: ServedServers, quiet: Quiet) -> None:
        """All is well."""
        self._served = served
        self._quiet = quiet
        self._states: dict[int, State] = {}
        self._told: set[int] = set()  # of whom the log has said that something is wrong

    def ended(self, key: int, name: Resolved, finished: Finished, now_ms: int) -> None:
        """A run has ended and its servers are told."""
        before = self._states.get(key)
        state = self._judge(name, finished, before)
        if state is before:
            return
        if state is None:
            del self._states[key]
            if key in self._told:
                self._told.remove(key)
                text = f"'{name.settings.name}' (resolvers {name.section.name}) is well again."
                self._say(name, NOTICE, text, now_ms)
            return
        self._states[key] = state
        if state is not State.SUSPECT:
            self._told.add(key)
        self._tell(state, name, finished, now_ms)

    def forget(self, key: int) -> None:
        """The name is needed no longer."""
        self._states.pop(key, None)
        self._told.discard(key)

    def _judge(self, name: Resolved, finished: Finished, before: State | None) -> State | None:
        slots = name.assignment.slots
        has_address = any(self._served[slot].address is not None for slot in slots)
        if finished.answer.partial and (
            finished.status is Status.TRUNCATED or finished.status is Status.VALID
        ):
            return State.CUT
        if finished.status is not Status.VALID:
            return State.FAILED if has_address else before
        if has_address or not slots:
            return None
        return State.SUSPECT if before in (None, State.FAILED, State.CUT) else State.UNUSABLE

    def _tell(self, state: State, name: Resolved, finished: Finished, now_ms: int) -> None:
        who = f"'{name.settings.name}' (resolvers {name.section.name})"
        if state is State.FAILED:
            kept_s = hold_left_ms(name, now_ms) / 1000
            text = describe_failure(who, finished.status, kept_s, hold_of(name))
        elif state is State.CUT:
            held = len(finished.answer.addresses) + len(finished.answer.services)
            holds = name.section.holds
            text = describe_cut(who, held, name.resolution.leases.cut_ms(holds) / 1000)
        elif state is State.UNUSABLE:
            slots = len(name.assignment.slots)
            text = describe_unusable(who, len(name.assignment.records), slots)
        else:
            return
        self._say(name, WARNING, text, now_ms)

    def _say(self, name: Resolved, level: int, text: str, now_ms: int) -> None:
        subject = f"resolvers {name.section.name}"
        self._quiet.say(subject, level, text, now_ms, more="lines about names")
