"""Pictures of an audit. Each function returns a Matplotlib figure of its own and touches no global state."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepfake_lab.evaluation.audit.audit import Audit, Shortcuts
from deepfake_lab.evaluation.audit.cues import CUE_GROUPS
from deepfake_lab.evaluation.audit.shortcuts import ALL_CUES, CHANCE, worst
from deepfake_lab.evaluation.plots.style import ATTACK_STYLES, BLUE, GREY, SPLIT_MARKER, SPLIT_STYLE
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, Split

RED: Final = ATTACK_STYLES[0][0]
WORST: Final = 6
_BINS: Final = 32


def equal_errors(audit: Audit) -> Figure:
    """Equal error rate of each cue with its interval, a panel before and one after the treatment."""
    parts = audit.parts
    names = [*reversed(CUE_GROUPS), ALL_CUES]
    figure = Figure(figsize=(1.6 + 4.6 * len(parts), 6.4), layout="constrained")
    panels = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for axes, (title, part) in zip(panels, parts, strict=True):
        axes.axvspan(0, 100 * audit.threshold, color=RED, alpha=0.08, linewidth=0)
        axes.axvline(100 * CHANCE, color=GREY, linewidth=1, linestyle=":")
        axes.axhline(len(names) - 1.5, color=GREY, linewidth=0.8)
        _intervals(axes, part, names)
        axes.set(xlim=(0, 100), xlabel="EER (%): 50 is chance, in the red a shortcut")
        axes.set_title(title, fontsize=12)
        axes.grid(axis="x", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(-0.7, len(names) - 0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def distributions(part: Shortcuts, split: Split) -> Figure:
    """Distributions of the cues that part the classes of a split best, bona fide against spoof."""
    rows = part.cues[part.cues["split"] == split]
    columns = [column for probe in worst(part.probes, split) for column in CUE_GROUPS[probe.cue]]
    columns = [column for column in columns if rows[column].nunique() > 1][:WORST]
    height = max(1, -(-len(columns) // 3))
    figure = Figure(figsize=(9.6, 0.6 + 2.4 * height), layout="constrained")
    panels = figure.subplots(height, 3, squeeze=False).ravel()
    for axes, column in zip(panels, columns, strict=False):
        _distribution(axes, rows, column)
    for axes in panels[len(columns) :]:
        axes.set_axis_off()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _intervals(axes: Axes, part: Shortcuts, names: list[str]) -> None:
    """A point and an interval a cue; the splits of a cue stand below one another."""
    for place, split in enumerate(SPLITS):
        probes = [probe for probe in part.probes if probe.split == split]
        if not probes:
            continue
        height = [names.index(probe.cue) + 0.25 * (1 - place) for probe in probes]
        bounds = 100 * np.array([(probe.interval.low, probe.interval.high) for probe in probes])
        colour = SPLIT_STYLE[split][0]
        label = split if probes[0].fitted_on == "train" else f"{split}, cross-validated"
        axes.hlines(height, bounds[:, 0], bounds[:, 1], color=colour, linewidth=1.5)
        points = [100 * probe.eer for probe in probes]
        axes.plot(points, height, SPLIT_MARKER[split], color=colour, markersize=4.5, label=label)


def _distribution(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    """Shares of the utterances of each class; rare extremes, which would squeeze the rest, count in the last bins."""
    axes.set_title(column, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    values = rows[column]
    if not pd.api.types.is_numeric_dtype(values):
        number, names = pd.factorize(values, sort=True)
        values = pd.Series(number, index=values.index)
        axes.set_xticks(range(len(names)), list(names))
        edges = np.arange(len(names) + 1) - 0.5
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        low, high = values.quantile([0.005, 0.995])
        edges = np.linspace(low, high, _BINS + 1) if high > low else np.linspace(values.min(), values.max(), _BINS + 1)
    for label, name, colour, filled in ((BONAFIDE, "bona fide", BLUE, True), (SPOOF, "spoof", RED, False)):
        shown = np.clip(values[rows["label"] == label], edges[0], edges[-1])
        counts, _ = np.histogram(shown, edges)
        share = 100 * counts / max(len(shown), 1)
        axes.stairs(share, edges, color=colour, fill=filled, alpha=0.45 if filled else 1, linewidth=1.6, label=name)
    axes.set_ylabel("utterances (%)", fontsize=8)
