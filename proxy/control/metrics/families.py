"""Metric families and their text, made piece by piece (Prometheus text 0.0.4, OpenMetrics 1.0).

Written here and not by prometheus_client, whose parsers the tests hold it against: labels are
rendered once for each server and not once for each sample, which makes a scrape of ten thousand
servers ten times cheaper, and a family comes in parts of SAMPLES_AT_ONCE, so that it neither stops
the event loop nor needs memory for the whole text. Knows no metric by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST

if TYPE_CHECKING:  # columns.pyx has the word for what is missing from here
    from proxy.control.metrics.columns import Columns

SAMPLES_AT_ONCE = 2_000  # 2 ms of rendering
MISSING = "NaN"  # as HAProxy's exporter writes what does not exist
ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels: TypeAlias = str  # rendered, without braces
Value: TypeAlias = int | float | str  # the only text is MISSING
Sample: TypeAlias = tuple[Labels, Value]


class MetricFamily(NamedTuple):
    """One metric and its samples, made while they are rendered; counters end in `_total`."""

    name: str
    counter: bool
    help: str
    samples: Iterable[Sample]


class ColumnFamily(NamedTuple):
    """One metric of rows of numbers, of those whose number at `gate` is not negative (-1: of all).

    With `words` each row has a series for each of them, 1 for the one whose number it has.
    """

    name: str
    counter: bool
    help: str
    rows: Columns
    position: int
    divisor: int
    gate: int
    words: tuple[tuple[int, str], ...] = ()

    def parts(self, openmetrics: bool) -> Iterator[bytes]:
        """The lines, in parts."""
        step = max(1, SAMPLES_AT_ONCE // max(1, len(self.words)))
        for first in range(0, len(self.rows), step):
            last = first + step
            if self.words:
                yield self.rows.choices(
                    self.name, self.position, self.words, self.gate, first, last
                )
            else:
                yield self.rows.lines(
                    *(self.name, self.position, self.divisor, self.gate, first, last),
                    present=openmetrics,
                )


class Series(NamedTuple):
    """One histogram: labels, counts by bucket (the last is open), and the sum."""

    labels: Labels
    counts: list[int]
    total: float


class Histogram(NamedTuple):
    """One metric with the distribution of something; `bounds` are those of all but the last."""

    name: str
    help: str
    bounds: tuple[float, ...]
    series: Iterable[Series]


class Exposition(NamedTuple):
    """A text format: what it is called, how the whole ends."""

    content_type: str
    end: bytes
    openmetrics: bool


TEXT = Exposition(CONTENT_TYPE_PLAIN_0_0_4, b"", openmetrics=False)
OPENMETRICS = Exposition(CONTENT_TYPE_LATEST, b"# EOF\n", openmetrics=True)


def choose(accept: str) -> Exposition:
    """The format that an Accept header asks for."""
    wanted = (part.partition(";")[0].strip() for part in accept.split(","))
    return OPENMETRICS if "application/openmetrics-text" in wanted else TEXT


def labels_of(**labels: str) -> Labels:
    """Labels in the order given, values escaped."""
    return ",".join(f'{name}="{value.translate(ESCAPES)}"' for name, value in labels.items())


def histogram_parts(histogram: Histogram) -> Iterator[bytes]:
    """The text of a histogram, which both formats write alike; a part for each series."""
    name, text = histogram.name, histogram.help
    head = f"# HELP {name} {text}\n# TYPE {name} histogram\n"
    for labels, counts, total in histogram.series:
        prefix = f"{labels}," if labels else ""
        bounds = [*map(str, histogram.bounds), "+Inf"]
        lines = [
            f'{name}_bucket{{{prefix}le="{bound}"}} {count}\n'
            for bound, count in zip(bounds, accumulate(counts), strict=True)
        ]
        ends = f"{{{labels}}}" if labels else ""
        lines += [f"{name}_sum{ends} {total}\n", f"{name}_count{ends} {sum(counts)}\n"]
        yield (head + "".join(lines)).encode()
        head = ""


def head_of(family: MetricFamily | ColumnFamily, exposition: Exposition) -> str:
    """The comment lines; OpenMetrics names a counter without its `_total`."""
    name = family.name.removesuffix("_total") if exposition.openmetrics else family.name
    text = family.help.replace("\\", r"\\").replace("\n", r"\n")
    kind = "counter" if family.counter else "gauge"
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def present(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Samples that exist: OpenMetrics has no counter that is not a number."""
    return (sample for sample in samples if sample[1] != MISSING)


def render(
    family: MetricFamily | ColumnFamily | Histogram, exposition: Exposition
) -> Iterator[bytes]:
    """The text of one family, in parts; nothing for a family without samples."""
    if isinstance(family, Histogram):
        yield from histogram_parts(family)
        return
    name, head = family.name, head_of(family, exposition)
    if isinstance(family, ColumnFamily):
        for text in filter(None, family.parts(exposition.openmetrics)):
            yield head.encode() + text
            head = ""
        return
    samples = iter(present(family.samples) if exposition.openmetrics else family.samples)
    while part := list(islice(samples, SAMPLES_AT_ONCE)):
        lines = [
            f"{name}{{{labels}}} {value}\n" if labels else f"{name} {value}\n"
            for labels, value in part
        ]
        yield (head + "".join(lines)).encode()
        head = ""
