"""Scores over time beside the truth."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from deepfake_lab.evaluation.plots.style import BLUE, GREY, RED, finish
from deepfake_lab.evaluation.segments import SEGMENT_S

_SHOWN: Final = 4


def score_over_time(table: pd.DataFrame, threshold: float) -> Figure:
    """Scores of the segments of some partial spoofs, a panel each; what is fake is shaded.

    Shown are the first of the last split, not those that look best.

    Args:
        table: see `deepfake_lab.evaluation.segments.segment_table`; with one partial spoof at least.
        threshold: score below which a segment is called fake; NaN if none is known.
    """
    partial = table[table["onset_s"].notna()]
    partial = partial[partial["split"] == partial["split"].iloc[-1]]
    keys = partial["key"].unique()[:_SHOWN]
    figure = Figure(figsize=(9.4, 0.8 + 1.5 * len(keys)), layout="constrained")
    panels = figure.subplots(len(keys), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    for axes, key in zip(panels, keys, strict=True):
        segments = partial[partial["key"] == key]
        start = segments["start_s"].to_numpy()
        for begin in start[segments["label"] == 1]:
            axes.axvspan(begin, begin + SEGMENT_S, color=RED, alpha=0.2, linewidth=0)
        axes.stairs(segments["score"], np.append(start, start[-1] + SEGMENT_S), color=BLUE, baseline=None)
        if np.isfinite(threshold):
            axes.axhline(threshold, color=GREY, linewidth=1, linestyle="--")
        finish(axes, "", "", "score")
        axes.set_title(key, fontsize=9, loc="left")
    panels[-1].set_xlabel("time (s); shaded: fake; dashed: threshold of equal errors on segments of dev")
    return figure
