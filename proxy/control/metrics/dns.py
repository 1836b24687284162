"""Metrics of names in DNS that warn before clients notice: holds that run out, runs that take long.

All of it is read from the segment, so that it is there while resolverd is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from proxy.control.metrics.families import (
    Histogram,
    Labels,
    MetricFamily,
    Sample,
    Series,
    Value,
    labels_of,
)
from proxy.control.rows.report import Report
from proxy.control.rows.resolution_record import dropped_in_ms, failed_with, is_stale, status_word
from proxy.runtime import now_ms
from resolverd.config import Family, ResolutionSettings
from resolverd.pace.durations import MOVE_BOUNDS_MS, RUN_BOUNDS_MS
from resolverd.records.schema import TOGETHER
from shm.histograms import MOVES, RUNS, HistogramReader

Record: TypeAlias = dict[str, int]

ENDLESS = "+Inf"  # nothing threatens the addresses
PREFERRED = {
    Family.NONE: "srv",
    Family.IPV4: "ipv4",
    Family.IPV6: "ipv6",
}
UNMATCHED = ("invalid", "outdated")  # counters of packets that ended no question
HISTOGRAMS = (
    (
        RUNS,
        "millrace_resolution_run_seconds",
        "From the first question of a run to its end",
        RUN_BOUNDS_MS,
    ),
    (
        MOVES,
        "millrace_connect_failure_to_new_address_seconds",
        "From a failed connect that asked for a run to another address of that server",
        MOVE_BOUNDS_MS,
    ),
)


def preferred_words(resolution: ResolutionSettings) -> str:
    """Which family comes first; with a plus: both at once, the preferred before the other."""
    first = PREFERRED[resolution.preferred]
    if not resolution.all_families:
        return first
    other = {Family.IPV4: Family.IPV6, Family.IPV6: Family.IPV4}
    return first + TOGETHER + PREFERRED[other[resolution.preferred]]


def labels_of_resolution(resolution: ResolutionSettings) -> Labels:
    """The labels of every metric about a name."""
    return labels_of(
        resolver=resolution.section,
        name=resolution.name,
        preferred=preferred_words(resolution),
    )


UNUSABLE = "Addresses in answers that no server can have (0.0.0.0, multicast), left out"
DOUBTED = "Questions that were asked over TCP because ten replies came that match none"


class DnsMetrics:
    """Builds the families."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.resolverd = report.settings.resolverd
        self._labels = tuple(map(labels_of_resolution, self.resolverd.resolutions))
        self.histograms = HistogramReader(report.runtime.segment)

    def families(self) -> Iterator[MetricFamily | Histogram]:
        """All of them."""
        yield from self.threats()
        yield self.unmatched()
        yield self.counted("unusable", "addresses", UNUSABLE)
        yield self.counted("doubted", "questions", DOUBTED)
        for which, name, text, bounds_ms in HISTOGRAMS:
            bounds = tuple(bound / 1000 for bound in bounds_ms)
            yield Histogram(name, text, bounds, self.series(which))

    def threats(self) -> Iterator[MetricFamily]:
        """Names whose servers live on a hold, and names that may not be asked for."""
        now = now_ms()
        holds = {section.name: section.holds for section in self.resolverd.sections}

        def stale(_resolution: ResolutionSettings, record: Record) -> Value:
            return int(is_stale(record))

        def dropped(resolution: ResolutionSettings, record: Record) -> Value:
            left_ms = dropped_in_ms(record, holds[resolution.section], now)
            return ENDLESS if left_ms is None else left_ms / 1000

        def held(_resolution: ResolutionSettings, record: Record) -> Value:
            return max(0, record["triggers_held_until_ms"] - now) / 1000

        for name, text, value in (
            ("stale", "1 while servers have addresses though the last run failed", stale),
            ("dropped_in_seconds", "Time until all addresses go if nothing changes", dropped),
            ("triggers_held_seconds", "Time for which failed connects ask for no run", held),
        ):
            yield MetricFamily(f"millrace_resolution_{name}", False, text, self.samples(value))
        text = "1 for the status of the last run: valid, none (there was none), or an error"
        yield MetricFamily("millrace_resolution_status", False, text, self.statuses())

    def statuses(self) -> Iterator[Sample]:
        """The status of each name's last run, as a label."""
        for labels, record in self.records():
            yield f'{labels},status="{status_word(record)}"', 1

    def held(self) -> Iterator[Sample]:
        """How many records of each name count: of the last valid answer, until the hold is over."""
        for labels, record in self.records():
            counts = failed_with(record) is None or is_stale(record)
            yield labels, record["records_seen"] if counts else 0

    def records(self) -> Iterator[tuple[Labels, Record]]:
        """What the segment says of each name, read while it is rendered."""
        reader = self.report.monitor.counters
        for labels, resolution in self._names():
            yield labels, reader.resolution(resolution.index)

    def _names(self) -> Iterator[tuple[Labels, ResolutionSettings]]:
        """All names: labels of those of the files are made once."""
        yield from zip(self._labels, self.resolverd.resolutions, strict=True)
        for resolution in self.report.added_names():
            yield labels_of_resolution(resolution), resolution

    def samples(self, value: Callable[[ResolutionSettings, Record], Value]) -> Iterator[Sample]:
        """One for each name, read while it is rendered: ten thousand names must delay no answer."""
        reader = self.report.monitor.counters
        for labels, resolution in self._names():
            yield labels, value(resolution, reader.resolution(resolution.index))

    def field(self, name: str) -> Iterator[tuple[Labels, int]]:
        """One field of each name's record, likewise."""
        for labels, record in self.records():
            yield labels, record[name]

    def unmatched(self) -> MetricFamily:
        """Packets that no open question took: forged, broken or late."""
        samples: list[Sample] = []
        for section in self.resolverd.sections:
            for nameserver in self.report.nameservers(section):
                counted = self.report.monitor.counters.nameserver(nameserver.index)
                for reason in UNMATCHED:
                    labels = labels_of(
                        resolver=section.name, nameserver=nameserver.name, reason=reason
                    )
                    samples.append((labels, counted[reason]))
        text = "Packets that ended no question: invalid (forged or broken) or outdated"
        return MetricFamily("millrace_nameserver_unmatched_packets_total", True, text, samples)

    def counted(self, counter: str, things: str, text: str) -> MetricFamily:
        """A counter of nameservers that HAProxy has not."""
        counted = self.report.monitor.counters.nameserver
        samples: list[Sample] = [
            (
                labels_of(resolver=section.name, nameserver=nameserver.name),
                counted(nameserver.index)[counter],
            )
            for section in self.resolverd.sections
            for nameserver in self.report.nameservers(section)
        ]
        return MetricFamily(f"millrace_nameserver_{counter}_{things}_total", True, text, samples)

    def series(self, which: int) -> Iterator[Series]:
        """One histogram for each section."""
        for index, section in enumerate(self.resolverd.sections):
            counts, total_ms = self.histograms.histogram(index, which)
            yield Series(labels_of(resolver=section.name), counts, total_ms / 1000)
