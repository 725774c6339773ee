"""Trade-offs between the two errors: DET and ROC curves of a run, and of several runs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.special import ndtri

from deepfake_lab.evaluation.bands import det_band
from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.plots.style import (
    ATTACK_STYLES,
    BLUE,
    GREY,
    SPLIT_MARKER,
    SPLIT_STYLE,
    both_classes,
    finish,
    thin,
)
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.metrics.functional import det_curve, eer, roc_auc
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import Split

DET_TICKS: Final = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 99]) / 100
STYLES: Final = ((BLUE, "-"), *ATTACK_STYLES[:4], ATTACK_STYLES[5])
MARKERS: Final = "os^Dv*"

Classes = tuple[FloatArray, FloatArray]


def det(table: pd.DataFrame, intervals: Mapping[Split, Interval] | None = None) -> Figure:
    """Detection error trade-off on probit axes, with its 95 % band and the point of equal errors.

    Args:
        table: score table of one or more splits.
        intervals: confidence intervals of the EER by split, for the legend.
    """
    figure = Figure(figsize=(5.5, 5.8), layout="constrained")
    axes = figure.subplots()
    splits = dict(both_classes(table))
    limits = _probit_axes(axes, [by_class(trials) for trials in splits.values()])
    for split, trials in splits.items():
        colour, line = SPLIT_STYLE[split]
        scores, band = by_class(trials), det_band(trials).outline
        if band.size:
            axes.fill(*band, color=colour, alpha=0.17, linewidth=0)
        _det_curve(axes, scores, limits[0], colour, line, 2)
        label = f"{split}: EER {eer(*scores):.1%}"
        if intervals and split in intervals:
            label += f" ({100 * intervals[split].low:.1f} to {100 * intervals[split].high:.1f})"
        _mark_eer(axes, split, ndtri(np.clip(eer(*scores), *limits)), label)
    handles, _ = axes.get_legend_handles_labels()
    if axes.patches:
        handles.append(Patch(facecolor=GREY, alpha=0.3, label="95 % band: groups redrawn"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    axes.set_title("Detection error trade-off", fontsize=12)
    return figure


def roc(table: pd.DataFrame) -> Figure:
    """Receiver operating characteristic of detecting fakes.

    Args:
        table: score table of one or more splits.
    """
    figure = Figure(figsize=(4.9, 5), layout="constrained")
    axes = figure.subplots()
    for split, trials in both_classes(table):
        colour, line = SPLIT_STYLE[split]
        curve = det_curve(*by_class(trials))
        called, found = thin(100 * curve.miss_rate, 100 * (1 - curve.false_alarm_rate))
        label = f"{split}: AUC {roc_auc(*by_class(trials)):.3f}"
        axes.plot(called, found, color=colour, linestyle=line, linewidth=2, label=label, clip_on=False)
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=":", label="chance: AUC 0.5", zorder=0)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    finish(axes, "Receiver operating characteristic", "real called fake (%)", "fake called fake (%)")
    axes.legend(loc="lower right", framealpha=0.95)
    return figure


def seeds(runs: Mapping[str, Sequence[pd.DataFrame]], estimates: Mapping[str, Estimate]) -> Figure:
    """Several runs of each of some configurations: a DET curve a run, and the EER of each beside the mean.

    Args:
        runs: score tables of one split by configuration, one a seed; those of the six lowest EERs get a curve.
        estimates: mean EER of each configuration, with its interval over seeds and trials.
    """
    order = sorted(runs, key=lambda name: estimates[name].value)
    styles = dict(zip(order, zip(STYLES, MARKERS, strict=True), strict=False))
    classes = {name: [by_class(table) for table in runs[name]] for name in order}
    figure = Figure(figsize=(11, max(5.4, 1.6 + 0.34 * len(order))), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 0.9])
    lowest, _ = _probit_axes(left, [scores for name in styles for scores in classes[name]])
    for name, ((colour, line), _) in styles.items():
        for scores in classes[name]:
            _det_curve(left, scores, lowest, colour, line, 1.2)
    left.set_title("Detection error trade-off, a curve a run", fontsize=12)
    for place, name in enumerate(order):
        (colour, line), marker = styles.get(name, ((GREY, "-"), "o"))
        low, high = (100 * bound for bound in estimates[name].interval)
        mean = 100 * estimates[name].value
        right.plot([low, high], [place, place], color=colour, linestyle=line, linewidth=2.5)
        right.vlines([low, high], place - 0.07, place + 0.07, color=colour, linewidth=2.5)
        right.plot(mean, place, marker, color=colour, markersize=9, markeredgecolor="white")
        rates = [100 * eer(*scores) for scores in classes[name]]
        right.plot(rates, [place + 0.22] * len(rates), "|", color="black", markersize=8, markeredgewidth=1.3)
        right.annotate(
            f"{mean:.1f} ({low:.1f} to {high:.1f})", (1.01, place), xycoords=("axes fraction", "data"), va="center"
        )
    right.set_yticks(range(len(order)), order)
    right.set_ylim(len(order) - 0.4, -0.6)
    right.set_xlim(left=min(0, right.get_xlim()[0]))
    finish(right, "Mean (95 % over seeds and trials); ticks: runs", "EER (%)", "")
    return figure


def _probit_axes(axes: Axes, curves: Sequence[Classes]) -> tuple[float, float]:
    """Makes axes fit for some curves. Returns the lowest and the highest rate they show."""
    fewest = min((len(scores) for pair in curves for scores in pair), default=0)
    rates = [eer(*pair) for pair in curves]
    lowest = float(np.clip(max(0.5 / max(fewest, 1), min(rates, default=0) / 20), 0.0008, 0.02))
    highest = float(np.clip(2 * max(rates, default=0), 0.4, 0.995))
    limits = ndtri([lowest, highest])
    ticks = DET_TICKS[(lowest <= DET_TICKS) & (highest >= DET_TICKS)]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(list(ndtri(ticks)), [f"{100 * tick:g}" for tick in ticks])
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.plot(limits, limits, color=GREY, linewidth=0.8, linestyle=":", zorder=0, label="equal errors")
    finish(axes, "", "false alarms: fake accepted as real (%)", "misses: real called fake (%)")
    return lowest, highest


def _mark_eer(axes: Axes, split: Split, probit: float, label: str) -> None:
    colour, line = SPLIT_STYLE[split]
    axes.plot(
        probit,
        probit,
        SPLIT_MARKER[split],
        color=colour,
        linestyle=line,
        markersize=9,
        markerfacecolor="white",
        markeredgewidth=2.5,
        clip_on=False,
        zorder=3,
        label=label,
    )


def _det_curve(axes: Axes, scores: Classes, lowest: float, colour: str, line: str, width: float) -> None:
    curve = det_curve(*scores)
    alarm, miss = (ndtri(np.clip(rate, lowest, 0.99999)) for rate in (curve.false_alarm_rate, curve.miss_rate))
    axes.plot(*thin(alarm, miss), color=colour, linestyle=line, linewidth=width)
