"""The report of a run as a page: what matters first, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import pandas as pd

from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.breakdown import CONDITIONS, FEW_GROUPS, interval_in
from deepfake_lab.evaluation.pages.html import Alarm, Listing, Page, Picture, Section, Table
from deepfake_lab.evaluation.pages.origin import Origin
from deepfake_lab.evaluation.sanity import CHANCE
from deepfake_lab.evaluation.summary import ABSENT, TITLES, Summary

LEARNED_NOTHING: Final = "LEARNED NOTHING"
"""How the note begins that forbids to use a detector."""
LONG: Final = 40
"""Rows from which a table is folded."""
PLAIN: Final = ("act_dcf", "cllr", "roc_auc", "recall")
"""Measures that breakdown tables show without intervals, which are in `cells.csv`."""
_GLOSSARY: Final = (
    (
        "EER",
        "Rate at which both errors are equal: real recordings called fake, fakes accepted as real. 50 %: chance",
    ),
    ("95 % interval", "Range of results with other recordings of the same kind; it says nothing of new attacks"),
    ("minDCF", "Cost of errors at the best threshold; fakes are rare (5 %) and missing one costs ten times as much"),
    ("actDCF", "The same cost at the threshold that theory gives: well above minDCF, scores are badly calibrated"),
    ("Cllr", "Cost of the scores as log-likelihood ratios, in bits. 1: as good as saying nothing; above: misleading"),
    ("ROC-AUC", "Probability that a fake scores below a real recording"),
    (
        "precision, recall, F1",
        "Of what is called fake, the share that is; of fakes, the share found; their mean",
    ),
    ("group", "Recordings that are not independent, as copies of one sentence: drawn together for intervals"),
)


def run_page(summary: Summary, pictures: Mapping[str, Picture], origin: Origin) -> Page:
    """What the report of a run says.

    Args:
        summary: numbers, notes.
        pictures: those of `deepfake_lab.evaluation.pages.pictures`, by name.
        origin: where the scores come from.
    """

    def drawn(*names: str) -> list[Picture]:
        return [pictures[name] for name in names if name in pictures]

    results = Table("All trials", summary.header(), summary.rows())
    glossary = Table("What the words mean", ("term", "meaning"), _GLOSSARY, folded=True)
    alarm, verdict = _verdict(summary)
    return Page(
        title=origin.name,
        alarm=alarm,
        verdict=verdict,
        reasons=list(_reasons(summary)),
        warnings=summary.notes,
        sections=[
            Section("Results", [results, *_points(summary), glossary], _decisions(summary)),
            Section("Where it fails", [*drawn("conditions", "attack_codec"), *_breakdown(summary)], _AGAINST),
            Section("Scores and errors", drawn("score_distributions", "det", "roc", "confusion_matrix")),
            Section("Where in a recording the fake is", drawn("score_over_time")),
            Section("What its probabilities are worth", drawn("reliability")),
            Section("How it was trained", drawn("learning_curves")),
            Section("Do it again", _recipe(origin)),
        ],
    )


def _points(summary: Summary) -> Iterator[Table]:
    if summary.points:
        note = "Errors in % with 95 % intervals. Thresholds come from dev, or from costs alone, never from test."
        yield Table("Thresholds for other purposes", summary.point_header(), summary.point_rows(), note=note)


_AGAINST: Final = "Each attack is measured against all real recordings of its split; other cells against their own."


def _verdict(summary: Summary) -> tuple[Alarm, str]:
    split = summary.splits[-1]
    whole, (low, high) = summary.whole(split), summary.eer_interval(split)
    sure = (
        f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
        if whole["eer"]
        else f"no error in {whole['groups']} groups"
    )
    said = f"EER {100 * whole['eer']:.1f} % on {split} ({sure})."
    if math.isnan(whole["eer"]):
        return "doubt", f"No EER: {split} has recordings of one class only."
    if summary.control:
        return "doubt", f"A control, its labels permuted on purpose: {said}"
    if not high < CHANCE or any(note.startswith(LEARNED_NOTHING) for note in summary.notes):
        return "bad", f"Do not use this detector. {said}"
    return ("doubt" if summary.notes or whole["groups"] < FEW_GROUPS else "fine"), said


def _reasons(summary: Summary) -> Iterator[str]:
    """Sentences that belong to the verdict."""
    split = summary.splits[-1]
    whole, counts = summary.whole(split), summary.counts[split]
    yield f"Measured on {whole['bonafide']:,} real and {whole['spoof']:,} fake recordings."
    if summary.decides and whole["bonafide"] and whole["spoof"]:
        called, passed = counts["cm/fp"] / whole["bonafide"], counts["cm/fn"] / whole["spoof"]
        yield f"As it decides, {called:.1%} of real recordings are called fake, and {passed:.1%} of fakes pass as real."
    if not math.isnan(whole["eer"]):
        nothing = any(note.startswith(LEARNED_NOTHING) for note in summary.notes)
        better = summary.eer_interval(split).high < CHANCE
        yield f"Better than chance: {'yes' if better else 'not shown'}.{' Learned nothing: yes.' if nothing else ''}"
    for remark in summary.remarks():
        yield f"{remark[0].upper()}{remark[1:]}."
    yield f"Warnings: {len(summary.notes) or 'none'}{', below.' if summary.notes else '.'}"


def _decisions(summary: Summary) -> str:
    if not summary.decides:
        return "No decisions: there is no threshold, and no dev split to take one from."
    return (
        f"Decisions: real if score >= {summary.threshold:.4f}, the threshold of equal errors on dev. "
        "Positive class: fake. Intervals (95 %): bootstrap over groups."
    )


def _breakdown(summary: Summary) -> list[Table]:
    """A table a condition, hardest cells first."""
    known = summary.cells.dropna(subset=["eer"])
    measures = [name for name in PLAIN if known[name].notna().any()]
    tables = []
    for condition in CONDITIONS:
        cells = known[known["condition"] == condition]
        cells = cells.assign(place=cells["split"].map(summary.splits.index))
        order = ["place"] if condition == "duration" else ["place", "eer"]
        cells = cells.sort_values(order, ascending=False, kind="stable")
        header = (condition, "split", "real", "fake", "groups", TITLES["eer"], TITLES["min_dcf"])
        rows = [_row(row, measures) for _, row in cells.iterrows()]
        if rows:
            title = f"By {condition} ({len(rows)} rows)" if len(rows) >= LONG else f"By {condition}"
            tables.append(Table(title, (*header, *map(TITLES.__getitem__, measures)), rows, folded=len(rows) >= LONG))
    return tables


def _row(row: pd.Series[float], measures: list[str]) -> tuple[str, ...]:
    return (
        str(row["cell"]),
        str(row["split"]),
        *(f"{row[name]:,}" for name in ("bonafide", "spoof", "groups")),
        _bounded(100 * row["eer"], interval_in(row, "eer"), 100, 1),
        _bounded(row["min_dcf"], interval_in(row, "min_dcf"), 1, 3),
        *(ABSENT if math.isnan(row[name]) else f"{row[name]:.3f}" for name in measures),
    )


def _bounded(value: float, interval: Interval, scale: float, digits: int) -> str:
    rounded = (round(number, digits) + 0.0 for number in (value, *(scale * bound for bound in interval)))  # no -0.0
    return "{} ({} to {})".format(*(f"{number:.{digits}f}" for number in rounded))


def _recipe(origin: Origin) -> list[Listing]:
    parts = [Listing("The command that repeats it:", origin.command)] if origin.command else []
    if origin.config:
        parts.append(Listing("Configuration", origin.config, folded=True))
    if origin.run_id:
        parts.append(Listing("MLflow run:", origin.run_id))
    return parts
