"""Colours, lines and habits that all pictures share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import SPLITS, Split

# Okabe & Ito, "Color universal design" (2008): told apart by every kind of colour vision.
BLUE: Final = "#0072B2"
RED: Final = "#D55E00"
ORANGE: Final = "#E69F00"
GREY: Final = "#7F7F7F"
SPLIT_STYLE: Final = {"train": ("#009E73", ":"), "dev": (ORANGE, "--"), "test": (BLUE, "-")}
SPLIT_MARKER: Final = {"train": "D", "dev": "s", "test": "o"}
ATTACK_STYLES: Final = (
    (RED, "-"),
    (ORANGE, "--"),
    ("#CC79A7", "-."),
    ("#009E73", ":"),
    ("#56B4E9", "-"),
    ("#000000", "--"),
)


def splits_of(table: pd.DataFrame) -> Iterator[tuple[Split, pd.DataFrame]]:
    """Trials of each split that has some."""
    for split in SPLITS:
        trials = table[table["split"] == split]
        if len(trials):
            yield split, trials


def both_classes(table: pd.DataFrame) -> Iterator[tuple[Split, pd.DataFrame]]:
    """Trials of each split that has both classes, without which there is no curve."""
    return ((split, trials) for split, trials in splits_of(table) if trials["label"].nunique() == 2)


def thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Drops points that no eye can tell from the one before: a million trials need no million points."""
    cells = np.round(np.stack([x, y]) * 500)
    keep = np.append(True, (np.diff(cells) != 0).any(axis=0))
    keep[-1] = True
    return x[keep], y[keep]


def finish(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    """Titles, and a grid that stays behind."""
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
