"""Breakdowns: EER by attack, codec, duration and so on, with intervals, and by attack and codec together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from deepfake_lab.evaluation.breakdown import ALL
from deepfake_lab.evaluation.plots.style import SPLIT_MARKER, SPLIT_STYLE, finish
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import Split

MOST_CELLS: Final = 20
"""Cells of a condition that are drawn: the hardest."""
CROSSED: Final = "attack x codec"
LEAST_RANGE: Final = 5.0
"""Error rates in % that an axis spans at least: small ones must look small."""

Cell = tuple[str, str]
"""Condition and name of a cell."""


def forest(cells: pd.DataFrame, splits: Sequence[Split], conditions: Sequence[str]) -> Figure:
    """EER and its 95 % interval in every cell of some conditions, the hardest first, beside that of all trials.

    Args:
        cells: breakdown: see `deepfake_lab.evaluation.breakdown`.
        splits: those to draw; the last one orders the cells, and its figures are written out.
        conditions: names of conditions in which some cell has an EER; one that parts no split is left out.
    """
    rates = {split: _rates(cells, split) for split in splits}
    parts = {name: _hardest(rates, name) for name in conditions if _tells(rates, name)}
    rows = [(name, cell) for name, order in parts.items() for cell in ("", *order[:MOST_CELLS])]
    figure = Figure(figsize=(8.4, 1.6 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for number, split in enumerate(splits):
        shift = 0.32 * (number / (len(splits) - 1) - 0.5) if len(splits) > 1 else 0.0
        _intervals(axes, rates[split], split, {row: place - shift for place, row in enumerate(rows)})
    for place, row in enumerate(rows):
        if row in rates[splits[-1]]:
            written = "{:.1f} ({:.1f} to {:.1f})".format(*rates[splits[-1]][row])
            axes.annotate(written, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [_label(*row) if row[1] else _heading(row[0], parts) for row in rows])
    for label, (_, cell) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("normal" if cell else "bold")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, max(axes.get_xlim()[1], LEAST_RANGE))
    finish(axes, "EER by condition, with 95 % intervals", "EER (%)", "")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def heat_map(cells: pd.DataFrame, split: Split) -> Figure:
    """EER of each attack under each codec, the hardest first; grey where there is none.

    Numbers are the EER in %, and below it half the width of its 95 % interval. The first row and column hold the
    cells of all attacks and of all codecs.

    Args:
        cells: breakdown: see `deepfake_lab.evaluation.breakdown`.
        split: the one to draw, of which `crossed` holds.
    """
    rates = _rates(cells, split)
    attacks, codecs = (["", *_hardest({split: rates}, name)[:MOST_CELLS]] for name in ("attack", "codec"))
    grid = [[rates.get(_crossing(attack, codec), np.full(3, np.nan)) for codec in codecs] for attack in attacks]
    figure = Figure(figsize=(2.6 + 0.6 * len(codecs), 1.6 + 0.4 * len(attacks)), layout="constrained")
    axes = figure.subplots()
    _heat(axes, np.array(grid))
    labels = ["all codecs", *(_label("codec", codec) for codec in codecs[1:])]
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(len(attacks)), ["all attacks", *attacks[1:]])
    figure.suptitle(f"EER (%) on {split} and, below it, half the width of its 95 % interval", fontsize=12)
    return figure


def crossed(cells: pd.DataFrame, split: Split) -> bool:
    """Whether there is a heat map to draw: several attacks and several codecs."""
    rates = _rates(cells, split)
    return all(len(_cells(rates, name)) > 1 for name in ("attack", "codec", CROSSED))


def _rates(cells: pd.DataFrame, split: Split) -> dict[Cell, FloatArray]:
    """EER of each cell that has one, and the bounds of its interval ``(3,)``, in %."""
    known = cells[cells["split"] == split].dropna(subset=["eer"])
    values = 100 * known[["eer", "eer_low", "eer_high"]].to_numpy(dtype=float)
    return dict(zip(zip(known["condition"], known["cell"], strict=True), values, strict=True))


def _cells(rates: Mapping[Cell, FloatArray], condition: str) -> list[str]:
    return [cell for name, cell in rates if name == condition]


def _hardest(rates: Mapping[Split, Mapping[Cell, FloatArray]], condition: str) -> list[str]:
    """Cells of a condition, the highest EER in the last split first; durations in their own order."""
    order: list[str] = []
    for found in reversed(list(rates.values())):
        cells = _cells(found, condition)
        if condition != "duration":
            cells.sort(key=lambda cell: -found[condition, cell][0])
        order += [cell for cell in cells if cell not in order]
    return order


def _tells(rates: Mapping[Split, Mapping[Cell, FloatArray]], condition: str) -> bool:
    return condition == "attack" or any(len(_cells(found, condition)) > 1 for found in rates.values())


def _intervals(axes: Axes, rates: Mapping[Cell, FloatArray], split: Split, places: Mapping[Cell, float]) -> None:
    """A marker and a bar for each cell of a split that has a place; a line and a band for all its trials."""
    colour, line = SPLIT_STYLE[split]
    for rate, low, high in [rates[ALL, ALL]] if (ALL, ALL) in rates else []:
        axes.axvspan(low, high, color=colour, alpha=0.1, linewidth=0)
        axes.axvline(rate, color=colour, linestyle=line, linewidth=1)
    shown = [cell for cell in places if cell in rates]
    values = np.array([rates[cell] for cell in shown]).reshape(-1, 3)
    heights = [places[cell] for cell in shown]
    axes.hlines(heights, values[:, 1], values[:, 2], color=colour, linewidth=2)
    axes.plot(
        values[:, 0],
        heights,
        SPLIT_MARKER[split],
        color=colour,
        markersize=6,
        markeredgecolor="white",
        clip_on=False,
        zorder=3,
        label=f"{split} (line and band: all trials)",
    )


def _heat(axes: Axes, rates: FloatArray) -> None:
    """Draws EERs with the bounds of their intervals ``(rows, columns, 3)``, in %."""
    scale = Normalize(0, max(float(np.nanmax(rates[..., 0])), LEAST_RANGE))
    colours = colormaps["YlOrBr"]
    axes.set_facecolor("0.82")
    image = axes.imshow(rates[..., 0], cmap=colours, norm=scale, aspect="auto")
    for row, column in np.argwhere(~np.isnan(rates[..., 0])):
        rate, low, high = rates[row, column]
        luminance = np.dot(np.power(colours(scale(rate))[:3], 2.2), (0.2126, 0.7152, 0.0722))
        ink = "white" if luminance < 0.18 else "black"  # whichever has the better contrast
        axes.text(column, row + 0.06, f"{rate:.1f}", ha="center", va="bottom", fontsize=9.5, color=ink)
        axes.text(column, row + 0.1, f"±{(high - low) / 2:.1f}", ha="center", va="top", fontsize=6.5, color=ink)
    axes.set_xticks(np.arange(1, rates.shape[1]) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, rates.shape[0]) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.8)
    axes.axhline(0.5, color="white", linewidth=4)
    axes.axvline(0.5, color="white", linewidth=4)
    axes.tick_params(which="both", length=0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    axes.figure.colorbar(image, ax=axes, label="EER (%)", fraction=0.04, pad=0.02)


def _crossing(attack: str, codec: str) -> Cell:
    """Cell of a place in the heat map; no name stands for all."""
    if attack and codec:
        return CROSSED, f"{attack} x {codec}"
    return ("attack", attack) if attack else ("codec", codec) if codec else (ALL, ALL)


def _label(condition: str, cell: str) -> str:
    return "none" if (condition, cell) == ("codec", "-") else cell


def _heading(condition: str, parts: Mapping[str, Sequence[str]]) -> str:
    count = len(parts[condition])
    return f"{condition}, the hardest {MOST_CELLS} of {count}" if count > MOST_CELLS else condition
