"""Pictures of the last quarter of an hour, as inline SVG. Pure: points and marks in, markup out.

A point is the value of one step, None where control did not look: a gap is drawn as one. All of the
look is in the style sheet. Marks are moments with a text, from whatever journal they come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from shm.history import POINTS_KEPT, STEP_MS

WIDTH, HEIGHT = 360, 92
LEFT, TOP, BOTTOM = 34, 8, 16  # of the plot, inside
SPAN_MS = POINTS_KEPT * STEP_MS
MARKS_MAX = 40  # of one picture, the latest

Values: TypeAlias = Sequence["int | None"]


class Mark(NamedTuple):
    """Something that happened (CLOCK_MONOTONIC, ms)."""

    at_ms: int
    text: str


class Curve(NamedTuple):
    """One curve of a picture."""

    name: str
    values: Values


class Frame(NamedTuple):
    """The time that all pictures of a page share."""

    now_ms: int
    marks: Sequence[Mark] = ()
    at_ms: int | None = None  # the moment that the reader asks about
    labels: tuple[str, str, str] = ("-15 min", "", "now")

    def x(self, at_ms: int) -> float:
        """Where a moment is; the last step is at the right edge."""
        last_ms = self.now_ms // STEP_MS * STEP_MS
        share = 1 - (last_ms - at_ms) / (SPAN_MS - STEP_MS)
        return LEFT + (WIDTH - LEFT - 4) * min(1.0, max(0.0, share))

    def point(self, at_ms: int) -> int | None:
        """Which point shows a moment; None for one outside."""
        number = POINTS_KEPT - 1 - (self.now_ms // STEP_MS - at_ms // STEP_MS)
        return number if 0 <= number < POINTS_KEPT else None


def nice(most: int) -> int:
    """The top of an axis: 1, 2 or 5 times a power of ten."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if step * size >= most:
                return step * size
        size *= 10


def short(number: int) -> str:
    """A number in the four characters beside an axis."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return str(number)


def runs(values: Values) -> Iterator[tuple[int, list[int]]]:
    """What is there between gaps: where it begins, and its values."""
    begun, run = 0, list[int]()
    for number, value in enumerate(values):
        if value is None:
            if run:
                yield begun, run
            run = []
        else:
            if not run:
                begun = number
            run.append(value)
    if run:
        yield begun, run


class _Plot(NamedTuple):
    """Where values are drawn."""

    left: float
    step: float
    top: int  # the highest value
    high: float  # of the plot


def _curve(begun: int, run: list[int], plot: _Plot) -> str:
    """The path of one run in as few points as show it: none inside a level stretch."""
    said: list[str] = []
    for number, value in enumerate(run):
        inside = 0 < number < len(run) - 1
        if inside and run[number - 1] == value == run[number + 1]:
            continue
        x = plot.left + (begun + number) * plot.step
        y = plot.high * (1 - value / plot.top)
        said.append(f"{'L' if said else 'M'}{x:.5g} {y:.4g}")
    if len(run) == 1:
        said.append("h1")
    return "".join(said)


def _gaps(values: Values) -> str:
    """Time without a look, between times with one."""
    known = list(runs(values))
    width = (WIDTH - LEFT - 4) / (POINTS_KEPT - 1)
    pieces = []
    for (begun, run), (following, _) in pairwise(known):
        x, end = LEFT + (begun + len(run) - 1) * width, LEFT + following * width
        pieces.append(
            f'<rect class="gap" x="{x:.5g}" y="{TOP}" width="{end - x:.4g}" '
            f'height="{HEIGHT - TOP - BOTTOM}"><title>no look</title></rect>'
        )
    return "".join(pieces)


def _axes(frame: Frame, top: int) -> str:
    base = HEIGHT - BOTTOM
    middle = (LEFT + WIDTH - 4) / 2
    return (
        f'<path class="axis" d="M{LEFT} {TOP}H{WIDTH - 4}M{LEFT} {base}H{WIDTH - 4}"/>'
        f'<text x="{LEFT - 4}" y="{TOP + 6}" text-anchor="end">{short(top)}</text>'
        f'<text x="{LEFT - 4}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{frame.labels[0]}</text>'
        f'<text x="{middle:.5g}" y="{HEIGHT - 4}" text-anchor="middle">{frame.labels[1]}</text>'
        f'<text x="{WIDTH - 4}" y="{HEIGHT - 4}" text-anchor="end">{frame.labels[2]}</text>'
    )


def marks(frame: Frame) -> str:
    """Events, and the moment that was asked about."""
    base, pieces = HEIGHT - BOTTOM, []
    first_ms = frame.now_ms - SPAN_MS
    shown = [mark for mark in frame.marks if mark.at_ms >= first_ms][-MARKS_MAX:]
    for mark in shown:
        x = frame.x(mark.at_ms)
        title = f"<title>{escape(mark.text)}</title>"
        pieces.append(f'<path class="mark" d="M{x:.5g} {TOP}V{base}">{title}</path>')
    if frame.at_ms is not None and frame.at_ms >= first_ms:
        pieces.append(f'<path class="now" d="M{frame.x(frame.at_ms):.5g} {TOP}V{base}"/>')
    return "".join(pieces)


def picture(title: str, lines: Sequence[Curve], frame: Frame) -> str:
    """One figure: curves over the time of the frame, with the last values in words."""
    known = [value for line in lines for value in line.values if value is not None]
    if not known:
        return (
            f"<figure><figcaption><b>{escape(title)}</b><span>nothing seen yet</span>"
            "</figcaption></figure>\n"
        )
    top, high = nice(max(known)), HEIGHT - TOP - BOTTOM
    plot = _Plot(LEFT, (WIDTH - LEFT - 4) / (POINTS_KEPT - 1), top, high)
    curves = []
    for number, line in enumerate(lines):
        path = "".join(_curve(a, run, plot) for a, run in runs(line.values))
        kind = "line second" if number else "line"
        curves.append(f'<path class="{kind}" transform="translate(0 {TOP})" d="{path}"/>')
    said = _said(lines, frame)
    label = escape(f"{title} over 15 minutes: {said}")
    return (
        f"<figure><figcaption><b>{escape(title)}</b><span>{escape(said)}</span></figcaption>"
        f'<svg class="pic" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{_axes(frame, top)}{_gaps(lines[0].values)}{''.join(curves)}{marks(frame)}"
        "</svg></figure>\n"
    )


def _said(lines: Sequence[Curve], frame: Frame) -> str:
    """The values now, or at the moment asked about, and the highest."""
    asked = None if frame.at_ms is None else frame.point(frame.at_ms)
    pieces = []
    for line in lines:
        value = _latest(line.values) if asked is None else line.values[asked]
        named = f"{line.name} " if len(lines) > 1 else ""
        most = max((each for each in line.values if each is not None), default=0)
        pieces.append(f"{named}{'not seen' if value is None else value}, at most {most}")
    when = "now" if asked is None else f"at {frame.labels[1]}"
    return f"{when} {'; '.join(pieces)}"


def _latest(values: Values) -> int | None:
    """The value of this step, or of the one before: as a step begins nobody has looked yet."""
    return values[-1] if values[-1] is not None else values[-2]


def spark(title: str, values: Values) -> str:
    """A small curve for a cell of a table: the highest of each three steps."""
    thirds = [values[at : at + 3] for at in range(0, len(values), 3)]
    coarse: list[int | None] = [
        max((each for each in third if each is not None), default=None) for third in thirds
    ]
    known = [value for value in coarse if value is not None]
    if not known:
        return ""
    plot = _Plot(0, 2, max(1, *known), 18)
    path = "".join(_curve(a, run, plot) for a, run in runs(coarse))
    return (
        f'<svg class="spark" viewBox="0 -1 120 20" role="img" aria-label="{escape(title)}: at '
        f'most {max(known)} in 15 minutes"><path class="line" d="{path}"/></svg>'
    )


def strip(results: Sequence[bool]) -> str:
    """The last checks, a mark each, the newest on the right: tall where one has failed."""
    if not results:
        return ""
    passed, failed = list[str](), list[str]()
    begun = 0
    offset = (60 - len(results)) * 3
    for number in range(1, len(results) + 1):
        if number == len(results) or results[number] != results[begun]:
            target = passed if results[begun] else failed
            target.append(f"M{offset + begun * 3} 6h{(number - begun) * 3}")
            begun = number
    fails = sum(not each for each in results)
    label = f"{fails} of the last {len(results)} checks failed"
    drawn = "".join(
        f'<path class="{kind}" d="{"".join(path)}"/>'
        for kind, path in (("ok", passed), ("fail", failed))
        if path
    )
    return (
        f'<svg class="strip" viewBox="0 0 180 12" role="img" aria-label="{label}">'
        f"<title>{label}</title>{drawn}</svg>"
    )


def timeline(title: str, values: Values, valid: int, frame: Frame) -> str:
    """How the runs of a name ended over time, with the marks of its addresses."""
    states: list[int | None] = [None if each is None else int(each == valid) for each in values]
    step, pieces = (WIDTH - LEFT - 4) / (POINTS_KEPT - 1), list[str]()
    for kind, wanted in (("ok", 1), ("fail", 0)):
        path = []
        for begun, run in runs([each if each == wanted else None for each in states]):
            path.append(f"M{LEFT + begun * step:.5g} 36h{max(1.0, len(run) * step):.4g}")
        if path:
            pieces.append(f'<path class="band {kind}" d="{"".join(path)}"/>')
    bad = sum(each == 0 for each in states)
    said = f"{bad * STEP_MS // 1000} s of 15 minutes without a valid answer"
    label = escape(f"{title}: {said}")
    base = HEIGHT - 4
    return (
        f"<figure><figcaption><b>{escape(title)}</b><span>{said}</span></figcaption>"
        f'<svg class="pic" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f'<text x="{LEFT}" y="{base}">{frame.labels[0]}</text>'
        f'<text x="{WIDTH - 4}" y="{base}" text-anchor="end">{frame.labels[2]}</text>'
        f"{''.join(pieces)}{marks(frame)}</svg></figure>\n"
    )
