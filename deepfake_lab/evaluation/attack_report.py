"""What an adversary leaves of a detector, budget by budget."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfake_lab.data.files import whole
from deepfake_lab.evaluation.bootstrap import resample
from deepfake_lab.evaluation.breakdown import Cluster, cells_of
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.pages.document import percent, picture, write_page
from deepfake_lab.evaluation.pages.html import Page, Section, Table
from deepfake_lab.evaluation.plots.robustness import Curve, against_budget
from deepfake_lab.evaluation.robustness import rate_of, to_frame
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import BONAFIDE, SPOOF

SPEAKS_OF = (
    "95 % intervals speak of other recordings of the same sources. Success: share of what was judged right that "
    "is judged wrong after the change, all at the same threshold."
)
_DRAWN = ("EER", "accuracy", "success")
MASKED = "Do not take what follows for robustness. "
"""Begins the warnings about gradients."""


class Level(NamedTuple):
    """What is left at one budget; shares, not per cent.

    Attributes:
        name: of the budget, or "clean".
        eer: equal error rate.
        accuracy: share of right decisions.
        success: share of the changed trials judged right before that are judged wrong.
        passed: the same among spoofs, which pass as bona fide.
        flagged: the same among bona fide trials, which are flagged as spoofs.
    """

    name: str
    eer: Estimate
    accuracy: Estimate
    success: Estimate
    passed: Estimate
    flagged: Estimate


@dataclass(frozen=True)
class AttackReport:
    """What is left of a detector.

    Attributes:
        title: who attacks whom, on what.
        threshold: of the decisions.
        levels: without an attack, then by budget, the smallest first.
        notes: what a reader must know before using any number.
        checked: number of recordings on which gradients were checked.
        suspicions: signs that they are masked: see `deepfake_lab.evaluation.masking`.
    """

    title: str
    threshold: float
    levels: Sequence[Level]
    notes: Sequence[str] = ()
    checked: int = 0
    suspicions: Sequence[str] = ()

    def metrics(self) -> dict[str, float]:
        """Figures by name, such as `adversary/snr_db_40/eer`."""
        return {
            f"adversary/{level.name.replace('=', '_')}/{name}": getattr(level, name).value
            for level in self.levels
            for name in Level._fields[1:]
        }


def measure(
    tables: Mapping[str, pd.DataFrame],
    threshold: float,
    *,
    targets: Collection[int] = (BONAFIDE, SPOOF),
    cluster: Cluster = "group",
    replicates: int = 1000,
    seed: int = 0,
) -> list[Level]:
    """Measures score tables of the same trials, in the same order; each replicate draws the same groups for all.

    Args:
        tables: by the name of the budget, the clean one first.
        threshold: score from which a trial is accepted as bona fide.
        targets: labels of the trials that were changed.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.
    """
    clean = next(iter(tables.values()))
    group, names = pd.factorize(clean[cluster], sort=True)
    label = clean["label"].to_numpy()
    right = ((clean["score"].to_numpy() >= threshold) == (label == BONAFIDE)) & np.isin(label, list(targets))
    kinds = (np.full(len(clean), True), right, right & (label == SPOOF), right & (label == BONAFIDE))
    cells = [cells_of(table[kind], (), group[kind], threshold)[0] for table in tables.values() for kind in kinds]
    drawn = iter(resample(cells, len(names), replicates=replicates, seed=seed))
    few, *changed = int(cells[0].groups.min()), *(len(np.unique(group[kind])) for kind in kinds[1:])
    levels = []
    for name in tables:
        everything, *sides = (next(drawn) for _ in kinds)
        rates = (rate_of(_column(everything, measure), few) for measure in ("eer", "accuracy"))
        lost = (rate_of(1 - _column(side, "accuracy"), groups) for side, groups in zip(sides, changed, strict=True))
        levels.append(Level(name, *rates, *lost))
    return levels


def _column(values: FloatArray, name: str) -> FloatArray:
    """A metric and its replicates ``(1 + R,)``; NaN where there are no trials."""
    return values[:, 0, MEASURES.index(name)] if values.shape[1] else np.full(len(values), np.nan)


def in_words(name: str) -> str:
    """A budget as people say it."""
    bound, _, size = name.partition("=")
    return {"snr_db": f"SNR {size} dB", "epsilon": f"epsilon {size}"}.get(bound, bound)


def attack_page(found: AttackReport) -> Page:
    """The verdict, a table and a picture."""
    verdict = _verdict(found)
    header = ("budget", "EER %", "accuracy %", "success %", "spoofs that pass %", "bona fide flagged %")
    rows = [(in_words(level.name), *(percent(one) for one in level[1:])) for level in found.levels]
    curves = [Curve(name, [getattr(level, name.lower()) for level in found.levels]) for name in _DRAWN]
    drawn = against_budget([in_words(level.name) for level in found.levels], curves, found.title)
    caption = "A detector that holds stays where it is; one that falls early falls to what nobody hears. Bands: 95 %."
    warnings = [*found.notes, *(MASKED + one for one in found.suspicions)]
    return Page(
        title=found.title,
        alarm="doubt" if warnings else "fine",
        verdict=verdict,
        reasons=_reasons(found),
        warnings=warnings,
        sections=[
            Section("What is left", [Table("", header, rows)], f"{SPEAKS_OF} Threshold: {found.threshold:.3f}."),
            Section("Against the budget", [picture(drawn, caption, verdict)]),
        ],
    )


def _verdict(found: AttackReport) -> str:
    (accuracy, eer), (accuracy_left, eer_left) = (
        (f"{100 * level.accuracy.value:.1f} %", f"{100 * level.eer.value:.1f} %")
        for level in (found.levels[0], found.levels[-1])
    )
    return (
        f"Clean, {accuracy} of decisions are right and the EER is {eer}; "
        f"at {in_words(found.levels[-1].name)}, {accuracy_left} and {eer_left}."
    )


def _reasons(found: AttackReport) -> list[str]:
    lost = next((level for level in found.levels[1:] if level.eer.interval.low > 0.5), None)
    reasons = [f"Worse than chance from {in_words(lost.name)} on."] if lost else []
    if found.checked and not found.suspicions:
        reasons.append(f"No sign of masked gradients on {found.checked} recordings.")
    return reasons


def write_attack(found: AttackReport, folder: Path) -> Page:
    """Leaves `robustness.md`, `.html`, `.png` and `.csv` in a folder; gives what they say."""
    page = attack_page(found)
    write_page(page, folder, "robustness")
    estimates = {name: [getattr(level, name) for level in found.levels] for name in Level._fields[1:]}
    with whole(folder / "robustness.csv") as partial:
        to_frame({"budget": [level.name for level in found.levels]}, estimates).to_csv(partial, index=False)
    return page
