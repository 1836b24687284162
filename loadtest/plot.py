"""Bars of the figures that have a goal, one panel each; needs the extra `load` (matplotlib)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from loadtest.figures import FIGURES, Figure
from loadtest.table import Results

COLUMNS = 4
PANEL_INCHES = 3.2


def draw(path: Path, around: dict[str, str], results: Results) -> None:
    """Write a PNG: medians as bars, min-max as whiskers; lower is better in every panel."""
    panels = [
        figure
        for figure in FIGURES
        if figure.goal()
        and any(results.values(figure, each) for each in programs_of(results, figure))
    ]
    if not panels:
        return
    rows = -(-len(panels) // COLUMNS)
    canvas = Canvas(figsize=(COLUMNS * PANEL_INCHES, rows * PANEL_INCHES), layout="constrained")
    FigureCanvasAgg(canvas)
    for position, figure in enumerate(panels, 1):
        axes = canvas.add_subplot(rows, COLUMNS, position)
        for program in programs_of(results, figure):
            values = results.values(figure, program)
            if not values:  # there is nothing to compare with
                continue
            middle = median(values)
            whiskers = [[middle - min(values)], [max(values) - middle]]
            axes.bar(program, middle, yerr=whiskers, capsize=4)
        axes.set_title(f"{figure.title}, {figure.unit}", fontsize=9)
        axes.tick_params(labelsize=8)
    canvas.suptitle(
        f"{around['date']}  {around['commit']}  {around['cpu']}  Linux {around['kernel']}",
        fontsize=9,
    )
    canvas.savefig(path, dpi=120)


def programs_of(results: Results, figure: Figure) -> Iterable[str]:
    """Those with samples of its load."""
    return results.samples.get(figure.load, {})
