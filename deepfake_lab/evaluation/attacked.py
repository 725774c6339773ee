"""Scores of a detector on waveforms that an adversary has changed, batch by batch, so that a kill loses one of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from deepfake_lab.adversaries.adversary import Adversary, in_use
from deepfake_lab.adversaries.budget import Budget
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.files import whole
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.data.workers import progress
from deepfake_lab.evaluation.scores import score_table
from deepfake_lab.evaluation.trials import CLEAN
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.models.detector import Detector
from deepfake_lab.types import Batch


class Trials:
    """Trials of a manifest, as a detector hears them: first windows, on its device."""

    def __init__(self, manifest: Manifest, detector: Detector) -> None:
        self.manifest = manifest
        self._dataset = UtteranceDataset(manifest, detector.window_s, trim=detector.treatment.trim)
        self._device = detector.eer_threshold.device

    def __len__(self) -> int:
        return len(self.manifest)

    def batch(self, start: int, size: int) -> Batch:
        """So many trials from one on, fewer at the end."""
        draws = [Draw(row, 0) for row in range(start, min(start + size, len(self)))]
        batch = self._dataset.__getitems__(draws)
        return batch._replace(wave=batch.wave.to(self._device), label=batch.label.to(self._device))


@dataclass(frozen=True)
class Attack:
    """Who attacks whom.

    Attributes:
        detector: whose scores count.
        source: whose gradients the adversary follows: the detector itself (white box), or another (transfer).
        adversary: changes the waveforms.
        targets: labels of the trials that it changes; the others stay as they are.
        seed: of its random choices.
    """

    detector: Detector
    source: Detector
    adversary: Adversary
    targets: Collection[int]
    seed: int = 0

    def scores(self, batch: Batch, budget: Budget | None) -> FloatArray:
        """Scores and raw scores ``(2, B)`` of a batch, changed within a budget, or as it is."""
        wave = batch.wave if budget is None else self._changed(batch, budget)
        with torch.inference_mode():
            output = self.detector(wave)
        return torch.stack([output.score, output.raw_score]).double().cpu().numpy()

    def _changed(self, batch: Batch, budget: Budget) -> Tensor:
        chosen = torch.isin(batch.label, batch.label.new_tensor(sorted(self.targets)))
        changed = batch.wave.clone()
        if chosen.any():
            torch.manual_seed(int(np.random.SeedSequence([self.seed, int(batch.row[0])]).generate_state(1)[0]))
            with in_use(self.source):
                changed[chosen] = self.adversary(
                    lambda wave: self.source(wave).score, batch.wave[chosen], batch.label[chosen], budget
                )
        return changed


def score_attacked(
    attack: Attack, trials: Trials, budgets: Mapping[str, Budget], parts: Path, batch_size: int
) -> dict[str, pd.DataFrame]:
    """Scores every trial as it is, and changed within each budget.

    Args:
        attack: who attacks whom.
        trials: what is changed.
        budgets: by names that can be those of files.
        parts: folder for the scores of each batch; what it holds already is taken from there.
        batch_size: trials of a batch.

    Returns:
        Score tables by the names of the budgets, `CLEAN` first.
    """
    parts.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, Budget | None] = {CLEAN: None, **budgets}
    starts = range(0, len(trials), batch_size)
    files = {(start, name): parts / f"{name}-{start:06d}.npy" for start in starts for name in wanted}
    left = {place for place, file in files.items() if not file.is_file()}
    with progress("attacked batches", len(files) - len(left), len(files)) as advance:
        for start in starts:
            names = [name for name in wanted if (start, name) in left]
            if names:
                batch = trials.batch(start, batch_size)
            for name in names:
                with whole(files[start, name]) as partial:
                    np.save(partial, attack.scores(batch, wanted[name]))
                advance(1)
    rows = np.arange(len(trials))
    scores = {name: np.concatenate([np.load(files[start, name]) for start in starts], axis=1) for name in wanted}
    return {name: score_table(trials.manifest, rows, *found) for name, found in scores.items()}
