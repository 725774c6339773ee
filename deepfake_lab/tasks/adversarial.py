"""Adversarial training: the detector learns on waveforms that were just changed to mislead it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from deepfake_lab.adversaries.adversary import Adversary, in_use
from deepfake_lab.adversaries.budget import SnrBudget
from deepfake_lab.augment.augmentation import Augmentation
from deepfake_lab.augment.mixup import Mixup
from deepfake_lab.losses.loss import DetectionLoss
from deepfake_lab.models.detector import Detector
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import LabError


class AdversarialTask(DetectionTask):
    """Trains on some utterances of each batch as an adversary leaves them, and on the others as they are.

    The adversary works on the detector as it is in use, on the waveforms that augmentation has made, and on both
    classes alike. Dev and test stay clean: they show the price in clean accuracy.

    Args:
        detector: see `DetectionTask`.
        loss: see `DetectionTask`.
        optimizer: see `DetectionTask`.
        scheduler: see `DetectionTask`.
        adversary: changes the waveforms.
        share: probability that an utterance is changed.
        snr_db: lowest and highest budget, in dB; each utterance draws its own.
        calibrate: see `DetectionTask`.
        augment: see `DetectionTask`.
        augment_features: see `DetectionTask`.
        mixup: see `DetectionTask`.
        views: see `DetectionTask`.
        seed: see `DetectionTask`.

    Raises:
        LabError: the share is no probability, or the budgets are not in order.

    Source:
        Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018; mixed with clean
        examples as by Kurakin, Goodfellow and Bengio, "Adversarial machine learning at scale", ICLR 2017.
    """

    def __init__(
        self,
        detector: Detector,
        loss: DetectionLoss,
        optimizer: Callable[[list[dict[str, Any]]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        *,
        adversary: Adversary,
        share: float = 0.5,
        snr_db: tuple[float, float] = (20.0, 50.0),
        calibrate: bool = True,
        augment: Mapping[str, Augmentation] | None = None,
        augment_features: nn.Module | None = None,
        mixup: Mixup | None = None,
        views: int = 1,
        seed: int = 0,
    ) -> None:
        if not 0 <= share <= 1:
            raise LabError(f"task.share={share}: a probability between 0 and 1 is needed.")
        if not snr_db[0] <= snr_db[1]:
            raise LabError(f"task.snr_db={list(snr_db)}: name the lowest first.")
        super().__init__(
            detector,
            loss,
            optimizer,
            scheduler,
            calibrate=calibrate,
            augment=augment,
            augment_features=augment_features,
            mixup=mixup,
            views=views,
            seed=seed,
        )
        self.adversary = adversary
        self.share = share
        self.snr_db = snr_db

    def _trained_on(self, wave: Tensor, label: Tensor) -> Tensor:
        """Waveforms of which some are changed."""
        chosen = torch.rand(len(wave), device=wave.device) < self.share
        if not chosen.any():
            return wave
        low, high = self.snr_db
        budget = SnrBudget(low + (high - low) * torch.rand(int(chosen.sum()), 1, device=wave.device))
        changed = wave.clone()
        with in_use(self.detector):
            changed[chosen] = self.adversary(self._raw_score, wave[chosen], label[chosen], budget)
        return changed

    def _raw_score(self, wave: Tensor) -> Tensor:
        raw_score: Tensor = self.detector(wave).raw_score
        return raw_score
