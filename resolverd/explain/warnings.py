"""Log lines about names whose answers fail, are cut, or give no server an address.

Owns the trouble of each name: one line for each change of it. The lines of one section are bounded
(log/throttle.py), since an outage of its nameservers concerns all its names.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from resolverd.config import ResolversSection
from resolverd.dns.answer import Status
from resolverd.explain.reasons import hold_left_ms, hold_of
from resolverd.log.lines import (
    describe_cut,
    describe_failure,
    describe_silence,
    describe_unresolved,
    describe_unusable,
)
from resolverd.log.throttle import LogThrottle
from resolverd.names.added_rows import Resolved
from resolverd.names.slot_publisher import ServedServers
from resolverd.resolution.actions import Finished
from resolverd.resolution.silence import ATTEMPTS_MAX
from shm.log_level import LogLevel

SILENT_MORE = "lines about silent nameservers"


class Symptom(enum.Enum):
    """What is wrong with a name; a name without trouble has none."""

    SUSPECT = "valid answers, no address, once"  # targets may not be resolved yet
    UNUSABLE = "valid answers, no address"
    CUT = "cut answers"
    FAILED = "no valid answer"
    UNRESOLVED = "no valid answer, ever"


class Trouble:
    """Judges each name at the end of its runs."""

    def __init__(self, served: ServedServers, throttle: LogThrottle) -> None:
        self._served = served
        self._throttle = throttle
        self._symptoms: dict[int, Symptom] = {}
        self._logged: set[int] = set()  # names with a line since they were last without trouble

    def ended(self, key: int, name: Resolved, finished: Finished, now_ms: int) -> None:
        """A run has ended and its changes are published."""
        before = self._symptoms.get(key)
        symptom = self._judge(name, finished, before)
        if symptom is before:
            return
        if symptom is None:
            del self._symptoms[key]
            if key in self._logged:
                self._logged.remove(key)
                text = f"'{name.settings.name}' (resolvers {name.section.name}) is well again."
                self._say(name, LogLevel.NOTICE, text, now_ms)
            return
        self._symptoms[key] = symptom
        if symptom is not Symptom.SUSPECT:
            self._logged.add(key)
        self._log(symptom, name, finished, now_ms)

    def __contains__(self, key: int) -> bool:
        """Whether something is wrong with the name."""
        return key in self._symptoms

    def fell_silent(
        self, section: ResolversSection, nameservers: Iterable[str], now_ms: int
    ) -> None:
        """These nameservers leave attempts unanswered from now on."""
        for nameserver in nameservers:
            text = describe_silence(section.name, nameserver, ATTEMPTS_MAX)
            self._throttle.log(
                f"nameservers of {section.name}", LogLevel.WARNING, text, now_ms, more=SILENT_MORE
            )

    def heard(self, section: ResolversSection, nameserver: str, now_ms: int) -> None:
        """A nameserver that was silent answers again."""
        text = f"Nameserver {section.name}/{nameserver} answers again."
        self._throttle.log(
            f"nameservers of {section.name}", LogLevel.NOTICE, text, now_ms, more=SILENT_MORE
        )

    def forget(self, key: int) -> None:
        """Drop a name that no server has any more."""
        self._symptoms.pop(key, None)
        self._logged.discard(key)

    def _judge(self, name: Resolved, finished: Finished, before: Symptom | None) -> Symptom | None:
        slots = name.assignment.slots
        has_address = any(self._served[slot].address is not None for slot in slots)
        if finished.answer.partial and (
            finished.status is Status.TRUNCATED or finished.status is Status.VALID
        ):
            return Symptom.CUT
        if finished.status is not Status.VALID:
            if has_address:
                return Symptom.FAILED
            never = before is None and slots and not name.resolution.leases.begun
            return Symptom.UNRESOLVED if never else before
        if has_address or not slots:
            return None
        repeated = before in (Symptom.SUSPECT, Symptom.UNUSABLE)
        return Symptom.UNUSABLE if repeated else Symptom.SUSPECT

    def _log(self, symptom: Symptom, name: Resolved, finished: Finished, now_ms: int) -> None:
        title = f"'{name.settings.name}' (resolvers {name.section.name})"
        if symptom is Symptom.FAILED:
            kept_s = hold_left_ms(name, now_ms) / 1000
            text = describe_failure(title, finished.status, kept_s, hold_of(name))
        elif symptom is Symptom.UNRESOLVED:
            text = describe_unresolved(title, finished.status, len(name.assignment.slots))
        elif symptom is Symptom.CUT:
            held = len(finished.answer.addresses) + len(finished.answer.services)
            holds = name.section.holds
            text = describe_cut(title, held, name.resolution.leases.cut_ms(holds) / 1000)
        elif symptom is Symptom.UNUSABLE:
            slots = len(name.assignment.slots)
            text = describe_unusable(title, len(name.assignment.records), slots)
        else:
            return
        self._say(name, LogLevel.WARNING, text, now_ms)

    def _say(self, name: Resolved, level: LogLevel, text: str, now_ms: int) -> None:
        subject = f"resolvers {name.section.name}"
        self._throttle.log(subject, level, text, now_ms, more="lines about names")
