"""How recordings that a service judged differ from those that its detector was trained on."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure

from deepfake_lab.evaluation.plots.style import BLUE, ORANGE, finish
from deepfake_lab.serving.census import Census

TITLES: Final = {
    "duration_s": "length (s)",
    "level_db": "level (dB of full scale)",
    "band_hz": "highest frequency (Hz)",
    "clipped": "share of samples at the limit",
    "speech_share": "share of speech",
    "score": "score (dev, and judged)",
}


def drift(before: Census, later: Census) -> Figure:
    """Shares of recordings in each bin of each measure: those of training, and those that were judged."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    shift = before.shift(later)
    for axes, (name, title) in zip(figure.subplots(2, 3).flat, TITLES.items(), strict=True):
        places = np.arange(len(before.counts[name]))
        for census, label, colour, side in ((before, "trained on", BLUE, -0.2), (later, "judged", ORANGE, 0.2)):
            counts = census.counts[name]
            axes.bar(places + side, counts / max(counts.sum(), 1), width=0.4, color=colour, label=label)
        edges = Census.EDGES[name]
        shown = places[:: max(len(places) // 4, 1)]
        axes.set_xticks(shown, [f"{edges[place]:g}" for place in shown])
        finish(axes, f"{title}: PSI {shift[name]:.2f}", "from", "share of recordings")
    figure.axes[0].legend(frameon=False)
    return figure
