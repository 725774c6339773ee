"""Rates against the budget of an adversary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from deepfake_lab.evaluation.plots.style import BLUE, GREY, RED, finish

if TYPE_CHECKING:
    from deepfake_lab.evaluation.compare import Estimate

_STYLES = ((RED, "-", "o"), (BLUE, "-", "s"), (GREY, "--", "^"))


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
        values = 100 * np.array([(rate.value, *rate.interval) for rate in curve.rates]).reshape(-1, 3)
        axes.fill_between(places, values[:, 1], values[:, 2], color=colour, alpha=0.17, linewidth=0)
        axes.plot(places, values[:, 0], line, marker=marker, color=colour, label=curve.name)
    axes.axhline(50, color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(places, budgets)
    axes.set_ylim(-2, 102)
    finish(axes, title, "budget of the adversary", "%")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
