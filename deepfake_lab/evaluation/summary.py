"""What a score table says, as numbers for MLflow and as tables for people."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd

from deepfake_lab.evaluation.bootstrap import Interval, bound_without_errors, chance_eer_interval
from deepfake_lab.evaluation.breakdown import ALL, FEW_GROUPS, Cluster, breakdown, interval_in
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.operating import OperatingPoint, operating_points
from deepfake_lab.evaluation.pages.document import markdown_table, percent
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.evaluation.segments import SegmentSummary
from deepfake_lab.metrics.functional import act_dcf, cllr, detection_metrics
from deepfake_lab.types import SPLITS, Split

TITLES = {
    "eer": "EER %",
    "min_dcf": "minDCF",
    "act_dcf": "actDCF",
    "cllr": "Cllr (bits)",
    "roc_auc": "ROC-AUC",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "precision": "precision (fake)",
    "recall": "recall (fake)",
    "f1": "F1 (fake)",
}
COUNTS = {
    "cm/tp": "fake called fake (tp)",
    "cm/fp": "real called fake (fp)",
    "cm/tn": "real called real (tn)",
    "cm/fn": "fake called real (fn)",
}
RAW = {"act_dcf": "actDCF before calibration", "cllr": "Cllr before calibration"}
SHOWN = ("attack", "codec", "gender", "language", "duration", "corpus")
"""Conditions whose cells are few enough to be logged and printed; the others are in the table of all cells."""
ABSENT = "-"


@dataclass(frozen=True)
class Summary:
    """Numbers of a score table.

    Attributes:
        cells: metrics of every cell: see `deepfake_lab.evaluation.breakdown`.
        threshold: score from which a trial counts as accepted: the dev EER threshold; NaN if none is known, as of
            weights that others trained.
        counts: confusion matrix of each split, by the names of `COUNTS`.
        raw: `act_dcf` and `cllr` of the scores before calibration, of each split.
        points: operating points: see `deepfake_lab.evaluation.operating`.
        chance: where the EER of scores that know nothing lies, in each split; of a control only.
        control: whether the labels were permuted on purpose.
        notes: remarks that belong beside the numbers, such as warnings about the corpus.
        skipped: number of utterances of the corpus, in all splits, that could not be used.
        segments: where fakes are within utterances; None where nothing is known of that.
    """

    cells: pd.DataFrame
    threshold: float
    counts: dict[Split, dict[str, float]]
    raw: dict[Split, dict[str, float]]
    points: tuple[OperatingPoint, ...] = ()
    chance: dict[Split, Interval] = field(default_factory=dict)
    control: bool = False
    notes: tuple[str, ...] = ()
    skipped: int = 0
    segments: SegmentSummary | None = None

    @property
    def splits(self) -> list[Split]:
        """Splits that have trials, in the order train, dev, test."""
        return list(self.counts)

    @property
    def decides(self) -> bool:
        """Whether there is a threshold, and so accuracy, precision and the like."""
        return not math.isnan(self.threshold)

    def whole(self, split: Split) -> pd.Series[float]:
        """Row of all trials of a split."""
        return self._rows(split, ALL).iloc[0]

    def eer_interval(self, split: Split) -> Interval:
        """Interval of the EER over all trials of a split."""
        return interval_in(self.whole(split), "eer")

    def conditions(self) -> list[str]:
        """Conditions to show: those by which some split has an EER."""
        known = set(self.cells.dropna(subset=["eer"])["condition"])
        return [condition for condition in SHOWN if condition in known]

    def metrics(self) -> dict[str, float]:
        """All numbers by their MLflow names, such as `test/eer`, `test/eer_ci_low` and `test/eer/attack/piper`."""
        flat: dict[str, float] = {}
        for split in self.splits:
            for measure in MEASURES:
                flat |= _named(split, measure, self.whole(split))
            flat |= {f"{split}/{name}": count for name, count in self.counts[split].items()}
            flat |= {f"{split}/raw/{name}": value for name, value in self.raw[split].items()}
            if split in self.chance:
                flat[f"{split}/chance_eer_ci_low"], flat[f"{split}/chance_eer_ci_high"] = self.chance[split]
            for condition in self.conditions():
                rows = self._rows(split, condition).dropna(subset=["eer"])
                for _, row in rows.iterrows():
                    flat |= _named(split, "eer", row, f"/{condition}/{row['cell']}")
                if len(rows) > 1:
                    flat[f"{split}/worst_eer/{condition}"] = float(rows["eer"].max())
        return flat | (self.segments.metrics() if self.segments else {})

    def header(self) -> tuple[str, ...]:
        """First line of the tables: what is measured, then the splits."""
        return ("", *self.splits)

    def rows(self) -> list[tuple[str, ...]]:
        """Main table: a name and one cell a split in each row."""
        wholes = [self.whole(split) for split in self.splits]
        rows = [
            ("bona fide trials", *(f"{whole['bonafide']:,}" for whole in wholes)),
            ("spoofed trials", *(f"{whole['spoof']:,}" for whole in wholes)),
        ]
        if self.skipped:
            rows.append(("skipped in the corpus", *(f"{self.skipped:,}" for _ in wholes)))
        rows.append((f"{TITLES['eer']} (95 % interval)", *(_eer(whole) for whole in wholes)))
        if self.control:
            chance = (self.chance.get(split) for split in self.splits)
            rows.append(("EER % of chance (95 %)", *(_percent(one) if one else ABSENT for one in chance)))
        rows += [(TITLES[name], *(_with_interval(whole, name) for whole in wholes)) for name in MEASURES[1:]]
        for name, title in RAW.items():
            rows.append((title, *(_cell(self.raw[split][name], ".4f") for split in self.splits)))
        for name, title in COUNTS.items():
            rows.append((title, *(_cell(self.counts[split][name], ",.0f") for split in self.splits)))
        return [*rows, *self._segment_rows()]

    def _segment_rows(self) -> list[tuple[str, ...]]:
        """Rows of the main table about scores over time."""
        if self.segments is None:
            return []
        found = [self.segments.errors.get(split) for split in self.splits]
        rates = (percent(Estimate(one.eer, one.interval)) if one else ABSENT for one in found)
        late = (_cell(one.onset_error_s, ".2f") if one else ABSENT for one in found)
        return [
            ("segment EER % (95 % interval)", *rates),
            ("onset, median error (s)", *late),
        ]

    def condition_rows(self, condition: str) -> list[tuple[str, ...]]:
        """EER in % with its interval of each cell of a condition (a row) in each split (a cell)."""
        found: dict[str, dict[str, str]] = {}
        for split in self.splits:
            for _, row in self._rows(split, condition).dropna(subset=["eer"]).iterrows():
                found.setdefault(str(row["cell"]), {})[split] = _eer(row)
        return [(name, *(cells.get(split, ABSENT) for split in self.splits)) for name, cells in found.items()]

    def point_header(self) -> tuple[str, ...]:
        """First line of the table of operating points."""
        errors = (f"{error}, {split}" for split in self.splits for error in ("real called fake", "fakes accepted"))
        return ("threshold for", "score", *errors)

    def point_rows(self) -> list[tuple[str, ...]]:
        """Errors in % with intervals (cells) at each operating point (a row)."""
        return [
            (
                point.name,
                f"{point.threshold:.3f}",
                *(_rate(errors.get(split)) for split in self.splits for errors in (point.misses, point.false_alarms)),
            )
            for point in self.points
        ]

    def remarks(self) -> list[str]:
        """What a reader must know of the intervals and of the hardest cells."""
        few = [split for split in self.splits if self.whole(split)["groups"] < FEW_GROUPS]
        said = []
        if few:
            said.append(f"fewer than {FEW_GROUPS} groups of a class in {' and '.join(few)}: intervals are too narrow")
        for split in self.splits:
            whole = self.whole(split)
            if whole["eer"] == 0:
                bound = 100 * bound_without_errors(int(whole["groups"]))
                said.append(f"no error in {split}: of {whole['groups']} groups that says EER < {bound:.1f} % (95 %)")
        for condition in self.conditions():
            rows = self._rows(self.splits[-1], condition).dropna(subset=["eer"]).sort_values("eer")
            if len(rows) > 1 and rows["eer"].iloc[-1] > 0:
                worst = rows.iloc[-1]
                said.append(f"hardest {condition} in {self.splits[-1]}: {worst['cell']}, EER {_eer(worst)} %")
        return said

    def to_markdown(self) -> str:
        """The tables, the threshold and the notes."""
        parts = [f"> **Note:** {note}\n" for note in self.notes]
        if self.control:
            parts.append("> **Control:** labels were permuted on purpose; an honest pipeline lies within chance.\n")
        parts.append(markdown_table(self.header(), self.rows()) + "\n")
        decisions = "No decisions: the detector brings no threshold, and there is no dev split to take one from."
        if self.decides:
            decisions = f"Decisions: bona fide if score >= {self.threshold:.4f}, the threshold of equal errors on dev."
        parts.append(f"{decisions} Positive class: fake. Intervals (95 %): bootstrap over groups.\n")
        if self.points:
            parts.append("Errors in % (95 % interval) at thresholds for other purposes:\n")
            parts.append(markdown_table(self.point_header(), self.point_rows()) + "\n")
        for condition in self.conditions():
            parts.append(f"EER % (95 % interval) by {condition}{_AGAINST.get(condition, '')}:\n")
            parts.append(markdown_table((condition, *self.splits), self.condition_rows(condition)) + "\n")
        parts += [f"- {remark}\n" for remark in self.remarks()]
        return "\n".join(parts)

    def _rows(self, split: Split, condition: str) -> pd.DataFrame:
        return self.cells[(self.cells["split"] == split) & (self.cells["condition"] == condition)]


_AGAINST = {"attack": ", each system against all bona fide trials of the split"}


def summarize(
    table: pd.DataFrame,
    threshold: float,
    control: bool = False,
    cluster: Cluster = "group",
    replicates: int = 1000,
    seed: int = 0,
) -> Summary:
    """Computes every reported number from a score table.

    Args:
        table: score table of one or more splits: see `deepfake_lab.evaluation.scores`.
        threshold: score from which a trial is accepted as bona fide: the dev EER threshold; NaN if none is known.
        control: whether the labels were permuted on purpose; chance is then given beside the EER.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        LabError: a score is NaN.
    """
    counts: dict[Split, dict[str, float]] = {}
    raw: dict[Split, dict[str, float]] = {}
    chance: dict[Split, Interval] = {}
    for split in SPLITS:
        trials = table[table["split"] == split]
        if len(trials):
            measured = detection_metrics(*by_class(trials), threshold)
            counts[split] = {name: measured[name] for name in COUNTS}
            before = by_class(trials, "raw_score")
            raw[split] = {"act_dcf": act_dcf(*before), "cllr": cllr(*before)}
            if control:
                real, fake = by_class(trials)
                chance[split] = chance_eer_interval(len(real), len(fake), replicates=replicates, seed=seed)
    cells = breakdown(table, threshold, cluster=cluster, replicates=replicates, seed=seed)
    points = operating_points(table, threshold, cluster=cluster, replicates=replicates, seed=seed)
    return Summary(cells, threshold, counts, raw, tuple(points), chance, control)


def _named(split: Split, measure: str, row: pd.Series[float], condition: str = "") -> dict[str, float]:
    low, high = interval_in(row, measure)
    return {
        f"{split}/{measure}{condition}": float(row[measure]),
        f"{split}/{measure}_ci_low{condition}": low,
        f"{split}/{measure}_ci_high{condition}": high,
    }


def _cell(value: float, form: str) -> str:
    return ABSENT if math.isnan(value) else format(value, form)


def _with_interval(row: pd.Series[float], measure: str) -> str:
    low, high = (round(bound, 3) + 0.0 for bound in interval_in(row, measure))  # never "-0.000"
    return ABSENT if math.isnan(row[measure]) else f"{row[measure]:.4f} ({low:.3f} to {high:.3f})"


def _eer(row: pd.Series[float]) -> str:
    return percent(Estimate(float(row["eer"]), interval_in(row, "eer")))


def _rate(rate: Estimate | None) -> str:
    return ABSENT if rate is None else percent(rate, digits=1)


def _percent(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"
