"""What the records of a name and of nameservers say: without resolverd, which may be dead."""

from __future__ import annotations

from proxy.control.commands.why.causes import NameFacts
from proxy.control.rows.report import Report
from proxy.control.rows.resolution_record import dropped_in_ms, failed_with, last_valid_ms
from proxy.runtime import now_ms
from resolverd.config import ResolutionSettings, ResolversSection
from resolverd.dns.answer import Status
from shm.loads import LoadSums

LOOKED_AT_MAX = 100  # failing names whose holds are compared: 1 ms


class NameTroubles:
    """Reads the names of one generation."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._loads = LoadSums(report.runtime.segment)
        settings = report.settings.resolverd
        self._of_files = settings.resolutions
        self.sections = {section.name: section for section in settings.sections}

    @property
    def any(self) -> bool:
        """Whether resolverd has a name to ask for."""
        return bool(self._of_files) or any(True for _ in self.report.added_names())

    def resolution(self, index: int) -> ResolutionSettings:
        """The name with this record; raises LookupError."""
        if index < len(self._of_files):
            return self._of_files[index]
        for server in self.report.servers.added():
            if server.resolution is not None and server.resolution.index == index:
                return server.resolution
        raise LookupError(f"no name has the record {index}")

    def facts(self, index: int) -> NameFacts:
        """One name; raises LookupError."""
        resolution, now = self.resolution(index), now_ms()
        record = self.report.monitor.counters.resolution(index)
        section = self.sections[resolution.section]
        status, valid_ms = failed_with(record), last_valid_ms(record)
        said = "" if not record["status"] else "valid"
        return NameFacts(
            resolution.name,
            resolution.section,
            said if status is None else status.name.lower().replace("_", " "),
            max(0, now - valid_ms) if valid_ms else None,
            dropped_in_ms(record, section.holds, now),
            tuple(self.nameservers(section)) if status is not None or not said else (),
        )

    def nameservers(self, section: ResolversSection) -> list[str]:
        """What each nameserver of a section has answered so far, in a sentence."""
        lines = []
        for nameserver in self.report.nameservers(section):
            fields = self.report.monitor.counters.nameserver(nameserver.index)
            sent, answered = fields["sent"], fields["valid"]
            said = f"asked {sent:,} times, {answered:,} valid answers" if sent else "not asked yet"
            lost = f", {fields['timeout']:,} questions without an answer"
            lines.append(f"nameserver {nameserver.name}: {said}{lost if fields['timeout'] else ''}")
        return lines

    def failing(self) -> list[int]:
        """The names whose last run failed, the most pressing of the first LOOKED_AT_MAX first."""
        found = self._loads.resolutions_other_than(Status.VALID)
        counters, now, left = self.report.monitor.counters, now_ms(), dict[int, int | None]()
        for each in self.report.added_names():
            if failed_with(counters.resolution(each.index)) is not None:
                found.append(each.index)
        for index in found[:LOOKED_AT_MAX]:
            holds = self.sections[self.resolution(index).section].holds
            left[index] = dropped_in_ms(counters.resolution(index), holds, now)
        return sorted(found, key=lambda index: (left.get(index) is None, left.get(index) or 0))

    def called(self, text: str) -> list[ResolutionSettings]:
        """The resolutions of a name."""
        return [each for each in self.report.names() if each.name == text]
