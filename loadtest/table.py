"""The printed table: median, min-max and ratios of the figures of one run.

Pure: text from numbers. Knows the figures, no measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from loadtest.figures import FIGURES, Figure
from loadtest.traffic import Sample

SUBJECT = "millrace"


@dataclass(frozen=True, slots=True)
class Failure:
    """A load at which a program failed; `load` is "" for a program that could not be started."""

    program: str
    load: str
    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class Results:
    """All samples of one run, `samples[load][program]` in order of rounds, and the failures."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, load: str, program: str, sample: Sample) -> None:
        """Add one round's sample."""
        self.samples.setdefault(load, {}).setdefault(program, []).append(sample)

    def values(self, figure: Figure, program: str) -> list[float]:
        """The figure's value of each round that succeeded."""
        values = [each[figure.key] for each in self.samples.get(figure.load, {}).get(program, [])]
        other = figure.over or figure.beyond
        if not other:
            return values
        base = [each[figure.key] for each in self.samples.get(other, {}).get(program, [])]
        pairs = zip(values, base, strict=False)
        if figure.beyond:
            return [value - below for value, below in pairs]
        return [value / below for value, below in pairs if below > 0]

    def failed(self, load: str, program: str) -> bool:
        """Whether the program failed at this load at least once, or could not be started."""
        return any(
            failure.program == program and failure.load in {load, ""} for failure in self.failures
        )


def ratio(results: Results, figure: Figure, peer: str) -> float | None:
    """The median of Millrace / peer over the rounds; None without samples of both.

    The machine's speed drifts more from round to round than within one, so the two samples of a
    round are a pair. If a round failed for one of them, the medians are compared instead.
    """
    ours, theirs = results.values(figure, SUBJECT), results.values(figure, peer)
    if not ours or not theirs or min(theirs) <= 0:
        return None
    if len(ours) != len(theirs):
        return median(ours) / median(theirs)
    return median(mine / its for mine, its in zip(ours, theirs, strict=True))


def render(results: Results, programs: Sequence[str]) -> str:
    """The whole table with the failures below it; `programs` are the columns."""
    figures = [figure for figure in FIGURES if figure.load in _loads(results)]
    peers = [name for name in programs if name != SUBJECT] if SUBJECT in programs else []
    rows = [
        ["", "unit", *programs, *(f"{SUBJECT}/{peer}" for peer in peers), "goal", ""],
        *(_row(results, figure, programs, peers) for figure in figures),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    lines += [""] if results.failures else []
    lines += [_failure_line(failure) for failure in results.failures]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _loads(results: Results) -> set[str]:
    return {*results.samples, *(failure.load for failure in results.failures)}


def _row(
    results: Results, figure: Figure, programs: Sequence[str], peers: Sequence[str]
) -> list[str]:
    cells = [figure.title, figure.unit]
    for program in programs:
        values = results.values(figure, program)
        cells.append(_cell(values) if values else _absence(results, figure.load, program))
    found = {peer: ratio(results, figure, peer) for peer in peers}
    ratios = {peer: value for peer, value in found.items() if value is not None}
    for peer in peers:
        cells.append(f"{ratios[peer]:.2f}" if peer in ratios else "-")
    return [*cells, figure.goal(), _verdict(results, figure, ratios)]


def _verdict(results: Results, figure: Figure, ratios: Mapping[str, float]) -> str:
    ours = results.values(figure, SUBJECT)
    met = figure.met(median(ours), ratios) if ours else None
    return "" if met is None else "met" if met else "missed"


def markdown(results: Results, programs: Sequence[str]) -> str:
    """The figures with a goal, as a Markdown table."""
    peers = [name for name in programs if name != SUBJECT]
    lines = ["| figure | " + " | ".join(programs) + " | ratio | goal | |"]
    lines.append("|---" * (len(programs) + 4) + "|")
    for figure in FIGURES:
        if figure.goal() and figure.load in _loads(results):
            row = _row(results, figure, programs, peers)
            values = [cell.partition(" (")[0] for cell in row[2 : 2 + len(programs)]]
            shown = [f"{v} {figure.unit}" if v not in {"-", "failed"} else v for v in values]
            compared = zip(peers, row[2 + len(programs) : -2], strict=True)
            ratios = ", ".join(f"{value} {peer}" for peer, value in compared if value != "-")
            lines.append("| " + " | ".join([figure.title, *shown, ratios, row[-2], row[-1]]) + " |")
    return "\n".join(lines) + "\n"


def _absence(results: Results, load: str, program: str) -> str:
    return "failed" if results.failed(load, program) else "-"


def _cell(values: Sequence[float]) -> str:
    middle = number(median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}-{number(max(values))})"


def number(value: float) -> str:
    """A number with about three significant digits and separated thousands."""
    magnitude = abs(value)
    digits = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2 if magnitude >= 1 else 3
    return f"{value:,.{digits}f}"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first = row[0].ljust(widths[0])
    numbers = [cell.rjust(width) for cell, width in zip(row[1:-2], widths[1:-2], strict=True)]
    last = [cell.ljust(width) for cell, width in zip(row[-2:], widths[-2:], strict=True)]
    return "  ".join([first, *numbers, *last])


def _failure_line(failure: Failure) -> str:
    what = f"{failure.load}, round {failure.round}: " if failure.load else ""
    return f"{failure.program}: {what}{failure.reason}"


def medians(samples: Mapping[str, Mapping[str, Sequence[Sample]]]) -> dict[str, dict[str, Sample]]:
    """The median of every raw number, by load and program."""
    return {
        load: {
            program: {
                key: median(sample.get(key, 0.0) for sample in rounds)
                for key in dict.fromkeys(key for sample in rounds for key in sample)
            }
            for program, rounds in by_program.items()
        }
        for load, by_program in samples.items()
    }
