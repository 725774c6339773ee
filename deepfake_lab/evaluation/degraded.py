"""Scores of a detector on recordings that a condition has harmed."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from deepfake_lab.audio import Wave
from deepfake_lab.data.dataset import Augment, UtteranceDataset
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.evaluation.scores import score_table
from deepfake_lab.models.detector import Detector


class Degraded(Dataset[Wave]):
    """First windows of trials, as a detector cuts them, after a condition.

    What happens to a trial depends on the seed and on its key alone: it hears the same noise at every level, for every
    detector with windows as long, and in every selection of trials.

    Args:
        manifest: the trials.
        detector: says how long windows are, and whether quiet edges are cut off.
        condition: what is done to each window; None leaves them as they are.
        seed: of its draws.
    """

    def __init__(self, manifest: Manifest, detector: Detector, condition: Augment | None, seed: int) -> None:
        self._clean = UtteranceDataset(manifest, detector.window_s, trim=detector.treatment.trim)
        self._condition = condition
        self._seed = seed

    def __len__(self) -> int:
        return len(self._clean)

    def __getitem__(self, row: int) -> Wave:
        trial = self._clean[Draw(row, 0)]
        if self._condition is None:
            return trial.wave
        name = int.from_bytes(hashlib.sha256(trial.key.encode()).digest()[:8], "little")
        return self._condition(trial.wave, np.random.default_rng([self._seed, name]))


def score_degraded(
    detector: Detector,
    manifest: Manifest,
    condition: Augment | None,
    *,
    seed: int = 0,
    batch_size: int = 32,
    num_workers: int = 0,
) -> pd.DataFrame:
    """Scores every trial after a condition.

    Args:
        detector: in eval mode, on its device.
        manifest: see `Degraded`.
        condition: see `Degraded`.
        seed: see `Degraded`.
        batch_size: trials of a batch.
        num_workers: processes that read and degrade.

    Returns:
        A score table.
    """
    windows = Degraded(manifest, detector, condition, seed)
    scores = []
    with torch.inference_mode():
        for wave in DataLoader(windows, batch_size, num_workers=num_workers):
            output = detector(wave.to(detector.eer_threshold.device))
            scores.append(torch.stack([output.score, output.raw_score]).cpu())
    return score_table(manifest, np.arange(len(manifest)), *torch.cat(scores, dim=1))
