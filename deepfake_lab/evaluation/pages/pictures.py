"""Which pictures the report of a run has, each with words: what it shows, and what to look for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from deepfake_lab.evaluation.pages.document import picture
from deepfake_lab.evaluation.pages.html import Picture
from deepfake_lab.evaluation.plots.conditions import crossed, forest, heat_map
from deepfake_lab.evaluation.plots.curves import det, roc
from deepfake_lab.evaluation.plots.decisions import confusion_matrix, reliability_diagram, score_distributions
from deepfake_lab.evaluation.plots.segments import score_over_time
from deepfake_lab.evaluation.plots.training import learning_curves
from deepfake_lab.evaluation.summary import Summary

CAPTIONS: Final = {
    "conditions": "The line is the EER of all trials, the band its interval. A bar that clears the band is harder or "
    "easier than the whole; a wide bar says that there are too few recordings to tell.",
    "attack_codec": "Dark cells are where the detector fails. A dark row is an attack that it does not know, a dark "
    "column a codec that hides what it listens for. Grey: no such recordings.",
    "score_distributions": "Fakes belong left of the line, real speech right of it. A system that overlaps with real "
    "speech is one that the detector misses. A shift between splits means that the threshold does not carry over.",
    "det": "Both kinds of error at every threshold: nearer to the lower left is better. Test far above dev means that "
    "the detector knows what it was tuned on, not what is new. Bands end where errors are too few to resample.",
    "roc": "The same errors on plain axes: share of fakes found against share of real speech called fake.",
    "confusion_matrix": "What it decides at the threshold at which both errors are equal on dev.",
    "reliability": "On the diagonal, p_fake means what it says: of recordings given 0.8, 80 % are fake. Below it the "
    "detector claims too much, above it too little. Bars: 95 % intervals; the strip counts trials.",
    "score_over_time": "Scores should fall where it is shaded, and nowhere else. Where they fall or return late, the "
    "detector remembers what it heard before.",
    "learning_curves": "A dev loss that rises while train loss falls is overfitting; a dev EER that still falls at the "
    "end asks for more epochs. The line marks the epoch whose detector was kept.",
}
"""What to look for in each picture."""


class _Drawn(NamedTuple):
    name: str
    figure: Figure
    alt: str


def pictures(table: pd.DataFrame, summary: Summary, curves: pd.DataFrame | None = None) -> dict[str, Picture]:
    """Every picture that the data supports, by its name in `CAPTIONS`.

    Args:
        table: score table.
        summary: what it says.
        curves: losses and errors by epoch, if they are known.
    """
    drawn = [*_of_conditions(summary), *_of_scores(table, summary)]
    if summary.segments and summary.segments.errors:
        figure = score_over_time(summary.segments.table, summary.segments.threshold)
        drawn.append(_Drawn("score_over_time", figure, "Scores of segments of some partial spoofs over time."))
    if curves is not None and len(curves):
        drawn.append(_Drawn("learning_curves", learning_curves(curves), f"Loss and dev EER in {len(curves)} epochs."))
    return {name: picture(figure, CAPTIONS[name], alt) for name, figure, alt in drawn}


def _of_conditions(summary: Summary) -> Iterator[_Drawn]:
    conditions, split = summary.conditions(), summary.splits[-1]
    if conditions:
        figure = forest(summary.cells, summary.splits, conditions)
        yield _Drawn("conditions", figure, f"EER by {', '.join(conditions)}: the same numbers as in the tables below.")
    if crossed(summary.cells, split):
        figure = heat_map(summary.cells, split)
        yield _Drawn("attack_codec", figure, f"EER on {split} by attack and codec: the same numbers as in the table.")


def _of_scores(table: pd.DataFrame, summary: Summary) -> Iterator[_Drawn]:
    rates = {split: float(summary.whole(split)["eer"]) for split in summary.splits}
    rates = {split: rate for split, rate in rates.items() if not math.isnan(rate)}
    said = ", ".join(f"{split} {100 * rate:.1f} %" for split, rate in rates.items())
    figure = score_distributions(table, summary.threshold)
    yield _Drawn("score_distributions", figure, "Densities of the scores of real speech and of each synthesis system.")
    if rates:
        figure = det(table, {split: summary.eer_interval(split) for split in rates})
        yield _Drawn("det", figure, f"Detection error trade-off curves. EER: {said}.")
        yield _Drawn("roc", roc(table), "Receiver operating characteristics.")
        figure = reliability_diagram(table)
        yield _Drawn("reliability", figure, "Share of fakes against claimed probability, before and after calibration.")
    if summary.decides:
        figure = confusion_matrix(table, summary.threshold)
        yield _Drawn("confusion_matrix", figure, "Counts of decisions: the same numbers as in the table of results.")
