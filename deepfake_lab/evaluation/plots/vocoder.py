"""How a vocoder was trained."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from deepfake_lab.evaluation.plots.style import BLUE, GREY, finish


def loss_curves(history: Sequence[Mapping[str, float]]) -> Figure:
    """Each term of the loss by step, and its moving average.

    Args:
        history: the terms of each step; some may begin late.
    """
    names = list(dict.fromkeys(itertools.chain.from_iterable(history)))
    figure = Figure(figsize=(4.2 * len(names), 3.6), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        steps = np.array([step for step, terms in enumerate(history, start=1) if name in terms])
        values = np.array([terms[name] for terms in history if name in terms])
        width = max(len(values) // 40, 1)
        axes.plot(steps, values, color=GREY, alpha=0.4, linewidth=0.6)
        axes.plot(steps[width - 1 :], np.convolve(values, np.full(width, 1 / width), mode="valid"), color=BLUE)
        finish(axes, name, "step", f"loss, and the mean of {width} steps" if width > 1 else "loss")
    return figure
