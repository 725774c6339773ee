"""How a detector was trained: losses and dev EER by epoch."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deepfake_lab.evaluation.plots.style import GREY, SPLIT_MARKER, SPLIT_STYLE, finish


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Loss on train and dev, and the EER on dev, by epoch; the epoch that is kept is marked.

    Args:
        curves: a row an epoch: `epoch` from 1, `train/loss`, `dev/loss`, `dev/eer`, and `kept`, true in one row.
    """
    figure = Figure(figsize=(9.4, 3.9), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, names, scale in ((panels[0], ("train/loss", "dev/loss"), 1), (panels[1], ("dev/eer",), 100)):
        for name in names:
            split = name.split("/")[0]
            colour, line = SPLIT_STYLE[split]
            style = f"{line}{SPLIT_MARKER[split]}"
            axes.plot(curves["epoch"], scale * curves[name], style, color=colour, ms=4, label=split, clip_on=False)
        for epoch in curves["epoch"][curves["kept"]]:
            axes.axvline(epoch, color=GREY, linewidth=1, zorder=0, label=f"epoch {epoch}: kept")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(framealpha=0.95)
    panels[0].set_ylim(bottom=0)
    panels[1].set_ylim(0, max(panels[1].get_ylim()[1], 5))  # small rates must look small
    finish(panels[0], "Loss", "epoch", "mean of the epoch")
    finish(panels[1], "EER on dev", "epoch", "EER (%)")
    return figure
