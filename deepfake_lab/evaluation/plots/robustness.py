"""Error rates against the budget of an adversary, and against conditions that harm recordings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.plots.style import BLUE, GREY, ORANGE, RED, finish
from deepfake_lab.evaluation.robustness import Place, Robustness
from deepfake_lab.evaluation.trials import CLEAN
from deepfake_lab.metrics.ranking import FloatArray

DETECTORS: Final = ((BLUE, "o"), (RED, "s"), ("#009E73", "D"), (ORANGE, "^"), ("#CC79A7", "v"), ("#000000", "P"))
"""Colour and marker of each detector in a picture; it holds no more of them."""
_STYLES = ((RED, "-", "o"), (BLUE, "-", "s"), (GREY, "--", "^"))
_COLUMNS = 3


class Curve(NamedTuple):
    """A rate at each budget."""

    name: str
    rates: Sequence[Estimate]


def against_budget(budgets: Sequence[str], curves: Sequence[Curve], title: str) -> Figure:
    """Rates in % with their 95 % bands, side by side from no change to the largest.

    Args:
        budgets: their names, "clean" first.
        curves: at most three.
        title: above it all.
    """
    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(budgets))
    for curve, (colour, line, marker) in zip(curves, _STYLES, strict=False):
        values = _in_percent(curve.rates)
        axes.fill_between(places, values[:, 1], values[:, 2], color=colour, alpha=0.17, linewidth=0)
        axes.plot(places, values[:, 0], line, marker=marker, color=colour, label=curve.name)
    axes.axhline(50, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(places, budgets)
    axes.set_ylim(-2, 102)
    finish(axes, title, "budget of the adversary", "%")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def over_levels(found: Robustness, scales: Mapping[str, str]) -> Figure:
    """A panel for each condition whose levels lie on a scale, from the clean recordings on.

    Args:
        found: what was measured.
        scales: what the levels say, by the name of the condition.
    """
    columns = min(_COLUMNS, len(scales))
    rows = math.ceil(len(scales) / columns)
    figure = Figure(figsize=(0.6 + 3.2 * columns, 0.7 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (condition, scale) in zip(grid, scales.items(), strict=False):
        levels = ["", *(level for name, level in found.harms if name == condition)]
        for name, style in zip(found.detectors, DETECTORS, strict=False):
            places = [Place(name, condition if level else CLEAN, level) for level in levels]
            _lines(axes, found, places, style, name)
        axes.axhline(50, color=GREY, linewidth=0.8, linestyle="--")
        axes.set_xticks(range(len(levels)), [CLEAN, *levels[1:]], rotation=30, ha="right", rotation_mode="anchor")
        finish(axes, condition.replace("_", " "), scale, "% errors" if axes in grid[::columns] else "")
    for axes in grid[len(scales) :]:
        axes.remove()
    grid[0].set_ylim(bottom=0)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def side_by_side(found: Robustness, condition: str, axis: str) -> Figure:
    """A row for each level of a condition whose levels lie on no scale.

    Args:
        found: what was measured.
        condition: its name.
        axis: what the levels say.
    """
    levels = [level for name, level in found.harms if name == condition]
    figure = Figure(figsize=(7.2, 1.6 + 0.26 * len(levels)), layout="constrained")
    axes = figure.subplots()
    spread = np.linspace(-0.2, 0.2, len(found.detectors)) if len(found.detectors) > 1 else [0.0]
    for name, (colour, marker), offset in zip(found.detectors, DETECTORS, spread, strict=False):
        rates = [found.rates[Place(name, condition, level)] for level in levels]
        values, heights = _in_percent([rate.eer for rate in rates]), np.arange(len(levels)) + offset
        axes.axvline(100 * found.rates[Place(name, CLEAN)].eer.value, color=colour, linewidth=0.9, linestyle="--")
        axes.hlines(heights, values[:, 1], values[:, 2], color=colour, linewidth=1.6)
        axes.plot(values[:, 0], heights, marker, color=colour, markersize=5, clip_on=False, label=f"{name}, EER")
        at_threshold = [100 * rate.hter.value for rate in rates]
        axes.plot(
            at_threshold, heights, marker, color=colour, markersize=5, markerfacecolor="none", label=f"{name}, HTER"
        )
    axes.set_yticks(range(len(levels)), levels)
    axes.set_ylim(len(levels) - 0.4, -0.6)
    axes.set_xlim(left=0)
    finish(axes, condition.replace("_", " "), "% errors", axis)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _lines(axes: Axes, found: Robustness, places: Sequence[Place], style: tuple[str, str], name: str) -> None:
    """EER with its band, and the errors at the detector's own threshold."""
    colour, marker = style
    rates = [found.rates[place] for place in places]
    values, x = _in_percent([rate.eer for rate in rates]), np.arange(len(rates))
    axes.fill_between(x, values[:, 1], values[:, 2], color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, values[:, 0], "-", marker=marker, markersize=4.5, color=colour, label=f"{name}, EER")
    axes.plot(x, [100 * rate.hter.value for rate in rates], ":", color=colour, label=f"{name}, HTER")


def _in_percent(rates: Sequence[Estimate]) -> FloatArray:
    """Values and bounds ``(N, 3)``."""
    return 100 * np.array([(rate.value, *rate.interval) for rate in rates]).reshape(-1, 3)
