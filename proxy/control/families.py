"""Metric families as prometheus_client has them, and their rendering piece by piece.

A family is rendered SAMPLES_AT_ONCE samples at a time, so that ten thousand servers neither stop
the event loop nor need memory for the whole text. Knows no metric by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple, TypeAlias

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric
from prometheus_client import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

SAMPLES_AT_ONCE = 1_000
OPENMETRICS_END = b"# EOF\n"
MISSING = math.nan

Labels: TypeAlias = dict[str, str]
Sample: TypeAlias = tuple[Labels, float]


class Family(NamedTuple):
    """One metric and its samples, made while they are rendered; counters end in `_total`."""

    name: str
    counter: bool
    help: str
    samples: Iterable[Sample]


class FamilyCollector(Collector):
    """Hands prometheus_client a part of one family."""

    def __init__(self, family: Family, samples: list[Sample]) -> None:
        kind = "counter" if family.counter else "gauge"
        self.metric = Metric(family.name.removesuffix("_total"), family.help, kind)
        for labels, value in samples:
            self.metric.add_sample(family.name, labels, value)

    def collect(self) -> Iterable[Metric]:
        """The part."""
        return [self.metric]


Encoder: TypeAlias = Callable[[Collector], bytes]


class Exposition(NamedTuple):
    """A text format: what it is called, how a part is written, how the whole ends."""

    content_type: str
    encode: Encoder
    end: bytes


TEXT = Exposition(CONTENT_TYPE_PLAIN_0_0_4, generate_text, b"")
OPENMETRICS = Exposition(CONTENT_TYPE_LATEST, generate_openmetrics, OPENMETRICS_END)


def choose(accept: str) -> Exposition:
    """The format that an Accept header asks for."""
    wanted = (part.split(";")[0].strip() for part in accept.split(","))
    return OPENMETRICS if "application/openmetrics-text" in wanted else TEXT


def without_comments(text: bytes) -> bytes:
    """The sample lines of a part that continues a family."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"# "))


def render(family: Family, exposition: Exposition) -> Iterator[bytes]:
    """The text of one family, in parts; nothing for a family without samples."""
    samples = iter(family.samples)
    first = True
    while part := list(islice(samples, SAMPLES_AT_ONCE)):
        text = exposition.encode(FamilyCollector(family, part)).removesuffix(exposition.end)
        yield text if first else without_comments(text)
        first = False
