"""Scores, what is decided by them, and whether the probabilities they claim hold."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deepfake_lab.evaluation.calibrate import expected_calibration_error, reliability
from deepfake_lab.evaluation.plots.style import ATTACK_STYLES, BLUE, GREY, RED, both_classes, finish, splits_of
from deepfake_lab.evaluation.scores import attack_names, by_class
from deepfake_lab.metrics.functional import confusion, eer
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import BONAFIDE, SPOOF

CALLED_FAKE_ABOVE: Final = 0.7


def score_distributions(table: pd.DataFrame, threshold: float) -> Figure:
    """Densities of the scores of bona fide speech and of each synthesis system, a panel a split.

    The hardest systems (highest EER) are drawn apart where there are many, the others together.

    Args:
        table: score table of one or more splits.
        threshold: score from which a trial is accepted as bona fide; NaN if none is known.
    """
    splits = list(splits_of(table))
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
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for the words
        if np.isfinite(threshold):
            _mark_threshold(axes, threshold)
        finish(axes, split, "", "density")
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


def confusion_matrix(table: pd.DataFrame, threshold: float) -> Figure:
    """Decisions of each split: counts, and their share of the true class.

    Args:
        table: score table of one or more splits.
        threshold: score from which a trial is accepted as bona fide.
    """
    splits = list(splits_of(table))
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


def reliability_diagram(table: pd.DataFrame) -> Figure:
    """What scores claim as probabilities against what is so, before and after calibration, a panel a split.

    Probabilities are those at a prior of 0.5. Bars are 95 % intervals (Wilson), where trials count as independent; the
    strip below counts the trials of each bin. ECE is the expected calibration error.

    Args:
        table: score table with at least one split of both classes; others are not drawn.
    """
    splits = list(both_classes(table))
    series = {"raw_score": ("before calibration", RED, "s", "--"), "score": ("calibrated", BLUE, "o", "-")}
    if np.allclose(table["score"], table["raw_score"]):
        series = {"score": ("not calibrated", RED, "s", "--")}
    figure = Figure(figsize=(0.9 + 4.3 * len(splits), 6.2), layout="constrained")
    panels = figure.subplots(2, len(splits), squeeze=False, sharex=True, sharey="row", height_ratios=[3.2, 1])
    for (axes, strip), (split, trials) in zip(panels.T, splits, strict=True):
        errors = []
        for place, (column, (name, colour, marker, line)) in enumerate(series.items()):
            bins = reliability(trials[column].to_numpy(dtype=float), trials["label"].to_numpy())
            errors.append(f"{expected_calibration_error(bins):.1%} {name}")
            _reliability_line(axes, bins.dropna(), name, colour, marker, line)
            width = 0.08 / len(series)
            strip.bar(bins["low"] + 0.01 + width * (place + 0.5), bins["bonafide"] + bins["spoof"], width, color=colour)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", zorder=0, label="as claimed")
        axes.axvline(CALLED_FAKE_ABOVE, color=GREY, linewidth=0.8)
        axes.annotate("called fake >", (CALLED_FAKE_ABOVE, 1.03), va="bottom", fontsize=8.5, annotation_clip=False)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03))
        finish(axes, f"{split}\nECE {', '.join(errors)}\n", "", "")
        axes.title.set_fontsize(10)
        strip.set_yscale("log")
        strip.set_ylim(bottom=0.7)
        finish(strip, "", "p_fake claimed", "")
    panels[0][0].set_ylabel("share that is fake, classes weighted alike")
    panels[1][0].set_ylabel("trials")
    figure.suptitle("Reliability of p_fake at prior 0.5", fontsize=12)
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _reliability_line(axes: Axes, bins: pd.DataFrame, label: str, colour: str, marker: str, line: str) -> None:
    reach = np.stack([bins["observed"] - bins["observed_low"], bins["observed_high"] - bins["observed"]])
    axes.errorbar(
        bins["predicted"],
        bins["observed"],
        np.maximum(reach, 0),  # rounding
        color=colour,
        marker=marker,
        markersize=6,
        markerfacecolor="white",
        markeredgewidth=1.6,
        linestyle=line,
        linewidth=1.2,
        elinewidth=1,
        capsize=2.5,
        clip_on=False,
        label=label,
    )


def _mark_threshold(axes: Axes, threshold: float) -> None:
    axes.axvline(threshold, color="black", linewidth=1.2)
    for text, side, shift in ((" real >", "left", 2), ("< fake ", "right", -2)):
        axes.annotate(
            text,
            (threshold, 1),
            xytext=(shift, 0),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha=side,
            va="top",
        )


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
