"""Trials to a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from deepfake_lab.data.dataset import Trial
from deepfake_lab.types import Batch


def collate(trials: Sequence[Trial]) -> Batch:
    """Stacks equally long trials into a `Batch` with `wave` ``(B, T)``."""
    waves, labels, rows, keys = zip(*trials, strict=True)
    return Batch(
        wave=torch.from_numpy(np.stack(waves)),
        label=torch.tensor(labels, dtype=torch.int64),
        row=torch.tensor(rows, dtype=torch.int64),
        key=keys,
    )
