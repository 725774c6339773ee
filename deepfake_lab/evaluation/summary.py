"""What a score table says, as numbers for MLflow and as a table for people."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from deepfake_lab.evaluation.bootstrap import Interval, chance_eer_interval, clustered_interval
from deepfake_lab.metrics.functional import act_dcf, cllr, detection_metrics, eer
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, Split

MEASURES = (
    ("minDCF", "min_dcf"),
    ("actDCF", "act_dcf"),
    ("Cllr (bits)", "cllr"),
    ("ROC-AUC", "roc_auc"),
    ("accuracy", "accuracy"),
    ("balanced accuracy", "balanced_accuracy"),
    ("precision (fake)", "precision"),
    ("recall (fake)", "recall"),
    ("F1 (fake)", "f1"),
)
COUNTS = (
    ("fake called fake (tp)", "cm/tp"),
    ("real called fake (fp)", "cm/fp"),
    ("real called real (tn)", "cm/tn"),
    ("fake called real (fn)", "cm/fn"),
)
ABSENT = "-"


@dataclass(frozen=True)
class EqualError:
    """Equal error rate of some spoofs against all bona fide trials of their split.

    Attributes:
        bonafide: number of bona fide trials.
        spoof: number of spoofs.
        eer: equal error rate in [0, 1].
        interval: its confidence interval.
    """

    bonafide: int
    spoof: int
    eer: float
    interval: Interval

    def __str__(self) -> str:
        return f"{100 * self.eer:.2f} ({_percent(self.interval)})"


@dataclass(frozen=True)
class SplitSummary:
    """Numbers of one split.

    Attributes:
        overall: EER over all spoofs.
        attacks: EER of each synthesis system, by name.
        values: metrics by name: see `deepfake_lab.metrics.functional.detection_metrics`.
        raw: `act_dcf` and `cllr` of the scores before calibration.
        chance: where the EER of scores that know nothing lies; of a control only.
    """

    overall: EqualError
    attacks: dict[str, EqualError]
    values: dict[str, float]
    raw: dict[str, float]
    chance: Interval | None


@dataclass(frozen=True)
class Summary:
    """Numbers of a score table.

    Attributes:
        splits: numbers by split, in the order train, dev, test.
        threshold: score from which a trial counts as accepted: the dev EER threshold; NaN if none is known, as of
            weights that others trained.
        control: whether the labels were permuted on purpose.
        notes: remarks that belong beside the numbers, such as warnings about the corpus.
        skipped: number of utterances of the corpus, in all splits, that could not be used.
    """

    splits: dict[Split, SplitSummary]
    threshold: float
    control: bool = False
    notes: tuple[str, ...] = ()
    skipped: int = 0

    @property
    def decides(self) -> bool:
        """Whether there is a threshold, and so accuracy, precision and the like."""
        return not math.isnan(self.threshold)

    def metrics(self) -> dict[str, float]:
        """All numbers by their MLflow names, such as `test/eer`, `test/eer_ci_low` and `test/eer/attack/piper`."""
        flat: dict[str, float] = {}
        for split, summary in self.splits.items():
            flat |= {f"{split}/{name}": value for name, value in summary.values.items()}
            flat |= {f"{split}/raw/{name}": value for name, value in summary.raw.items()}
            flat |= _named_interval(f"{split}/eer", summary.overall.interval)
            if summary.chance:
                flat |= _named_interval(f"{split}/chance_eer", summary.chance)
            for name, attack in summary.attacks.items():
                flat[f"{split}/eer/attack/{name}"] = attack.eer
                flat |= _named_interval(f"{split}/eer", attack.interval, f"/attack/{name}")
        return flat

    def header(self) -> tuple[str, ...]:
        """First line of both tables: what is measured, then the splits."""
        return ("", *self.splits)

    def rows(self) -> list[tuple[str, ...]]:
        """Main table: a name and one cell a split in each row."""
        splits = list(self.splits.values())
        rows = [
            ("bona fide trials", *(f"{split.overall.bonafide:,}" for split in splits)),
            ("spoofed trials", *(f"{split.overall.spoof:,}" for split in splits)),
            ("EER % (95 % interval)", *(str(split.overall) for split in splits)),
        ]
        if self.skipped:
            rows.insert(2, ("skipped in the corpus", *(f"{self.skipped:,}" for _ in splits)))
        if self.control:
            rows.append(
                ("EER % of chance (95 %)", *(_percent(split.chance) if split.chance else ABSENT for split in splits))
            )
        rows += [(title, *(_cell(split.values[name], ".4f") for split in splits)) for title, name in MEASURES]
        rows += [(title, *(_cell(split.values[name], ",.0f") for split in splits)) for title, name in COUNTS]
        return rows

    def attack_rows(self) -> list[tuple[str, ...]]:
        """EER in % with its interval of each synthesis system (a row) in each split (a cell)."""
        splits = self.splits.values()
        names = sorted({name for split in splits for name in split.attacks})
        return [(name, *(str(split.attacks.get(name, ABSENT)) for split in splits)) for name in names]

    def to_markdown(self) -> str:
        """Both tables, the threshold and the notes."""
        parts = [f"> **Note:** {note}\n" for note in self.notes]
        if self.control:
            parts.append("> **Control:** labels were permuted on purpose; an honest pipeline lies within chance.\n")
        parts.append(_table(self.header(), self.rows()))
        decisions = "No decisions: the detector brings no threshold, and there is no dev split to take one from."
        if self.decides:
            decisions = f"Decisions: bona fide if score >= {self.threshold:.4f}, the threshold of equal errors on dev."
        parts.append(f"{decisions} Positive class: fake. Intervals: bootstrap over groups.\n")
        if rows := self.attack_rows():
            parts.append("EER % (95 % interval) of each synthesis system against all bona fide trials of the split:\n")
            parts.append(_table(("system", *self.splits), rows))
        return "\n".join(parts)


def summarize(
    table: pd.DataFrame, threshold: float, control: bool = False, replicates: int = 1000, seed: int = 0
) -> Summary:
    """Computes every reported number from a score table.

    Args:
        table: score table of one or more splits: see `deepfake_lab.evaluation.scores`.
        threshold: score from which a trial is accepted as bona fide: the dev EER threshold.
        control: whether the labels were permuted on purpose; chance is then given beside the EER.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        LabError: a score is NaN.
    """
    table = table.assign(attack=attack_names(table))
    splits = {}
    for split in SPLITS:
        trials = table[table["split"] == split]
        if len(trials):
            splits[split] = _summarize_split(trials, threshold, control, replicates, seed)
    return Summary(splits, threshold, control)


def _cell(value: float, form: str) -> str:
    return ABSENT if math.isnan(value) else format(value, form)


def attack_names(table: pd.DataFrame) -> pd.Series[str]:
    """Attack of each trial as it is called in metric names: without its corpus where the table has a single one."""
    corpora = table["corpus"].unique()
    return table["attack"].str.removeprefix(f"{corpora[0]}/") if len(corpora) == 1 else table["attack"]


def by_class(table: pd.DataFrame, column: str = "score") -> tuple[FloatArray, FloatArray]:
    """Scores of the bona fide trials ``(N,)`` and of the spoofs ``(M,)`` of a table."""
    scores, labels = table[column].to_numpy(dtype=float), table["label"].to_numpy()
    return scores[labels == BONAFIDE], scores[labels == SPOOF]


def _summarize_split(trials: pd.DataFrame, threshold: float, control: bool, replicates: int, seed: int) -> SplitSummary:
    bonafide = trials["label"] == BONAFIDE
    attacks = {}
    for name, spoofs in trials[~bonafide].groupby("attack"):
        attacks[str(name)] = _equal_error(pd.concat([trials[bonafide], spoofs]), replicates, seed)
    overall = _equal_error(trials, replicates, seed)
    raw = by_class(trials, "raw_score")
    return SplitSummary(
        overall=overall,
        attacks=attacks,
        values=detection_metrics(*by_class(trials), threshold),
        raw={"act_dcf": act_dcf(*raw), "cllr": cllr(*raw)},
        chance=chance_eer_interval(overall.bonafide, overall.spoof, seed=seed) if control else None,
    )


def _equal_error(trials: pd.DataFrame, replicates: int, seed: int) -> EqualError:
    real, fake = by_class(trials)
    score, label, group = (trials[name].to_numpy() for name in ("score", "label", "group"))
    interval = clustered_interval(score, label, group, replicates=replicates, seed=seed)
    return EqualError(len(real), len(fake), eer(real, fake), interval)


def _named_interval(name: str, interval: Interval, condition: str = "") -> dict[str, float]:
    return {f"{name}_ci_low{condition}": interval.low, f"{name}_ci_high{condition}": interval.high}


def _percent(interval: Interval) -> str:
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
