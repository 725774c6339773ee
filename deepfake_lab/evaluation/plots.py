"""Pictures of a score table. Each function returns a Matplotlib figure of its own and touches no global state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtri

from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.summary import attack_names, by_class
from deepfake_lab.metrics.functional import confusion, det_curve, eer, roc_auc
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, Split

FloatArray: TypeAlias = NDArray[np.float64]

# Okabe & Ito, "Color universal design" (2008): told apart by every kind of colour vision.
BLUE: Final = "#0072B2"
GREY: Final = "#7F7F7F"
SPLIT_STYLE: Final = {"train": ("#009E73", ":"), "dev": ("#E69F00", "--"), "test": (BLUE, "-")}
SPLIT_MARKER: Final = {"train": "D", "dev": "s", "test": "o"}
ATTACK_STYLES: Final = (
    ("#D55E00", "-"),
    ("#E69F00", "--"),
    ("#CC79A7", "-."),
    ("#009E73", ":"),
    ("#56B4E9", "-"),
    ("#000000", "--"),
)
DET_TICKS: Final = np.array([0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 99]) / 100


def confusion_matrix(table: pd.DataFrame, threshold: float) -> Figure:
    """Decisions of each split: counts, and their share of the true class.

    Args:
        table: score table of one or more splits.
        threshold: score from which a trial is accepted as bona fide.
    """
    splits = list(_splits(table))
    figure = Figure(figsize=(max(4.4, 0.6 + 3.1 * len(splits)), 3.9), layout="constrained")
    panels = figure.subplots(1, len(splits), squeeze=False, sharey=True)[0]
    for axes, (split, trials) in zip(panels, splits, strict=True):
        tp, fp, tn, fn = confusion(*by_class(trials), threshold)
        counts = np.array([[tn, fp], [fn, tp]])
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            share = shares[row, column]
            colour = "white" if share > 0.55 else "black"
            axes.text(column, row, f"{count:,}\n{share:.1%}", ha="center", va="center", color=colour, fontsize=12)
        axes.axhline(0.5, color="white", linewidth=3)
        axes.axvline(0.5, color="white", linewidth=3)
        axes.set_xticks([0, 1], ["real", "fake"])
        axes.set_yticks([0, 1], ["real", "fake"])
        axes.set_title(split, fontsize=12)
        axes.set_xlabel("called")
    panels[0].set_ylabel("truth")
    figure.suptitle(f"Decisions at the dev EER threshold ({threshold:.3g})", fontsize=12)
    return figure


def det(table: pd.DataFrame, intervals: Mapping[Split, Interval] | None = None) -> Figure:
    """Detection error trade-off on probit axes, with the point of equal errors.

    Args:
        table: score table of one or more splits.
        intervals: confidence intervals of the EER by split, for the legend.
    """
    figure = Figure(figsize=(6, 5.8), layout="constrained")
    axes = figure.subplots()
    splits = {split: by_class(trials) for split, trials in _both_classes(table)}
    rates = {split: eer(*scores) for split, scores in splits.items()}
    fewest = min((len(scores) for pair in splits.values() for scores in pair), default=0)
    lowest = float(np.clip(0.5 / max(fewest, 1), 0.0008, 0.02))
    highest = float(np.clip(2 * max(rates.values(), default=0), 0.4, 0.995))
    for split, scores in splits.items():
        colour, line = SPLIT_STYLE[split]
        label = f"{split}: EER {rates[split]:.1%}"
        if intervals and split in intervals:
            label += f" ({100 * intervals[split].low:.1f} to {100 * intervals[split].high:.1f})"
        curve = det_curve(*scores)
        alarm, miss = (ndtri(np.clip(rate, lowest, 0.99999)) for rate in (curve.false_alarm_rate, curve.miss_rate))
        axes.plot(*_thin(alarm, miss), color=colour, linestyle=line, linewidth=2)
        point = ndtri(np.clip(rates[split], lowest, highest))
        axes.plot(
            point,
            point,
            SPLIT_MARKER[split],
            color=colour,
            markersize=9,
            markerfacecolor="white",
            markeredgewidth=2.5,
            clip_on=False,
            zorder=3,
            label=label,
        )
    limits = ndtri([lowest, highest])
    ticks = DET_TICKS[(lowest <= DET_TICKS) & (highest >= DET_TICKS)]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(list(ndtri(ticks)), [f"{100 * tick:g}" for tick in ticks])
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.plot(limits, limits, color=GREY, linewidth=0.8, linestyle=":", zorder=0, label="equal errors")
    _finish(
        axes, "Detection error trade-off", "false alarms: fake accepted as real (%)", "misses: real called fake (%)"
    )
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def roc(table: pd.DataFrame) -> Figure:
    """Receiver operating characteristic of detecting fakes.

    Args:
        table: score table of one or more splits.
    """
    figure = Figure(figsize=(5.6, 5.4), layout="constrained")
    axes = figure.subplots()
    for split, trials in _both_classes(table):
        colour, line = SPLIT_STYLE[split]
        curve = det_curve(*by_class(trials))
        called, found = _thin(100 * curve.miss_rate, 100 * (1 - curve.false_alarm_rate))
        label = f"{split}: AUC {roc_auc(*by_class(trials)):.3f}"
        axes.plot(called, found, color=colour, linestyle=line, linewidth=2, label=label, clip_on=False)
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=":", label="chance: AUC 0.5", zorder=0)
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    _finish(axes, "Receiver operating characteristic", "real called fake (%)", "fake called fake (%)")
    axes.legend(loc="lower right", framealpha=0.95)
    return figure


def score_distributions(table: pd.DataFrame, threshold: float) -> Figure:
    """Densities of the scores of bona fide speech and of each synthesis system, a panel a split.

    The hardest systems (highest EER) are drawn apart where there are many, the others together.

    Args:
        table: score table of one or more splits.
        threshold: score from which a trial is accepted as bona fide; NaN if none is known.
    """
    splits = list(_splits(table))
    table = table.assign(attack=attack_names(table))
    names = sorted(table["attack"][table["label"] == SPOOF].unique())  # a system looks the same in all panels
    figure = Figure(figsize=(8.4, 0.9 + 2.5 * len(splits)), layout="constrained")
    panels = figure.subplots(len(splits), 1, squeeze=False, sharex=True)[:, 0]
    edges = _bin_edges(table["score"].to_numpy(dtype=float), threshold)
    for axes, (split, _) in zip(panels, splits, strict=True):
        trials = table[table["split"] == split]
        real, _ = by_class(trials)
        _histogram(axes, real, edges, f"bona fide ({len(real):,})", BLUE, "-", filled=True)
        for place, (name, scores) in enumerate(_spoof_curves(trials)):
            number = names.index(name) if len(names) <= len(ATTACK_STYLES) else place
            _histogram(axes, scores, edges, f"{name} ({len(scores):,})", *ATTACK_STYLES[number], filled=False)
        if np.isfinite(threshold):
            axes.axvline(threshold, color="black", linewidth=1.2)
        for text, side, shift in ((" real >", "left", 2), ("< fake ", "right", -2)) if np.isfinite(threshold) else ():
            axes.annotate(
                text,
                (threshold, 1),
                xytext=(shift, 0),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha=side,
                va="top",
            )
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for the words
        _finish(axes, split, "", "density")
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            borderaxespad=0,
            frameon=False,
            title="system (trials)",
            alignment="left",
        )
    panels[-1].set_xlabel("score (log-likelihood ratio, nats; higher = more bona fide)")
    figure.suptitle("Scores and the dev EER threshold" if np.isfinite(threshold) else "Scores", fontsize=12)
    return figure


def _splits(table: pd.DataFrame) -> Iterator[tuple[Split, pd.DataFrame]]:
    for split in SPLITS:
        trials = table[table["split"] == split]
        if len(trials):
            yield split, trials


def _both_classes(table: pd.DataFrame) -> Iterator[tuple[Split, pd.DataFrame]]:
    """Splits that have both classes, without which there is no curve."""
    return ((split, trials) for split, trials in _splits(table) if trials["label"].nunique() == 2)


def _spoof_curves(trials: pd.DataFrame) -> list[tuple[str, FloatArray]]:
    """Name and scores of each attack, the hardest first; attacks beyond the palette are pooled."""
    real, _ = by_class(trials)
    groups = trials[trials["label"] == SPOOF].groupby("attack")["score"]
    curves = [(str(name), scores.to_numpy(dtype=float)) for name, scores in groups]
    if (trials["label"] == BONAFIDE).any():
        curves.sort(key=lambda curve: -eer(real, curve[1]))
    if len(curves) <= len(ATTACK_STYLES):
        return curves
    shown, rest = curves[: len(ATTACK_STYLES) - 1], curves[len(ATTACK_STYLES) - 1 :]
    return [*shown, (f"{len(rest)} easier systems", np.concatenate([scores for _, scores in rest]))]


def _bin_edges(scores: FloatArray, threshold: float) -> FloatArray:
    low, high = np.quantile(scores, [0.001, 0.999])
    if np.isfinite(threshold):
        low, high = min(low, threshold), max(high, threshold)
    margin = 0.04 * (high - low) or 0.5
    bins = int(np.clip(2 * len(scores) ** (1 / 3), 12, 60))  # Rice's rule
    return np.linspace(low - margin, high + margin, bins + 1)


def _histogram(
    axes: Axes, scores: FloatArray, edges: FloatArray, label: str, colour: str, line: str, *, filled: bool
) -> None:
    counts, _ = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)  # what lies beyond counts in the last bin
    density = counts / max(len(scores), 1) / np.diff(edges)
    if filled:
        axes.stairs(density, edges, fill=True, color=colour, alpha=0.35, label=label)
        axes.stairs(density, edges, color=colour, linewidth=1)
    else:
        axes.stairs(density, edges, color=colour, linestyle=line, linewidth=1.8, label=label)


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Drops points that no eye can tell from the one before: a million trials need no million points."""
    cells = np.round(np.stack([x, y]) * 500)
    keep = np.append(True, (np.diff(cells) != 0).any(axis=0))
    keep[-1] = True
    return x[keep], y[keep]


def _finish(axes: Axes, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
