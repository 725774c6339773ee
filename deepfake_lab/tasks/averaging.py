"""Averages of a detector's weights over training: what is evaluated on dev, calibrated there, and kept.

Lightning's own averaging callbacks do not serve here. They put the trained weights back before the task learns
calibration and threshold from dev, so that those kept with the average would be none of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import islice
from typing import Any, TypeAlias

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from deepfake_lab.models.detector import FROM_DEV, Detector
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import LabError

Weights: TypeAlias = dict[str, Tensor]

_PREFIX = "detector."
_KEY = "trained_weights"


class AveragedWeights(pl.Callback, ABC):
    """Averages a detector's trainable parameters and statistics of batch norm.

    The average takes the place of the trained weights in validation, in checkpoints and when training is over. What
    training needs to go on is kept in the checkpoint as well.
    """

    def __init__(self) -> None:
        self._updates = 0
        self._aside: Weights = {}  # those of the two that the detector does not hold
        self._average_inside = False
        self._step = 0  # steps of the optimizer up to the last batch

    @abstractmethod
    def share(self, trainer: pl.Trainer, updates: int) -> float | None:
        """Share of the present weights in the average, after so many updates; None leaves the average as it is."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Counts steps from where a resumed run stands."""
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Takes up the weights, if the optimizer has changed them."""
        changed, self._step = trainer.global_step != self._step, trainer.global_step
        share = self.share(trainer, self._updates) if changed else None
        if share is None:
            return
        weights = _weights(_detector(pl_module))
        if not self._aside:
            self._aside = {name: weight.clone() for name, weight in weights.items()}
        for name, weight in weights.items():
            self._aside[name].lerp_(weight, share)
        self._updates += 1

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Has the average evaluated."""
        if trainer.state.fn == TrainerFn.FITTING and self._updates:
            self._exchange(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Goes on with the trained weights, after the task has learned from dev."""
        if trainer.state.fn == TrainerFn.FITTING and self._updates:
            self._exchange(pl_module)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Goes on with the trained weights, where a checkpoint has brought the average.

        Raises:
            LabError: checkpoints are to hold less than it takes.
        """
        if any(getattr(callback, "save_weights_only", False) for callback in trainer.checkpoint_callbacks):
            raise LabError("save_weights_only=true saves weights before they are averaged: leave it out.")
        if self._average_inside:
            self._exchange(pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the average in the detector."""
        if self._updates:
            self._exchange(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Writes the average as the detector, and the trained weights beside it."""
        if not self._updates:
            return
        inside = _weights(_detector(pl_module))
        average, trained = (inside, self._aside) if self._average_inside else (self._aside, inside)
        checkpoint["state_dict"] |= {_PREFIX + name: weight for name, weight in average.items()}
        checkpoint[_KEY] = {"updates": self._updates, "weights": trained}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes up the trained weights; the task has taken up the average as its detector."""
        if _KEY in checkpoint:
            self._updates, self._aside = checkpoint[_KEY]["updates"], checkpoint[_KEY]["weights"]
            self._average_inside = True

    def _exchange(self, pl_module: pl.LightningModule) -> None:
        """Exchanges what the detector holds for what is kept aside."""
        inside = _weights(_detector(pl_module))
        held = {name: weight.clone() for name, weight in inside.items()}
        for name, weight in inside.items():
            weight.copy_(self._aside[name])
        self._aside = held
        self._average_inside = not self._average_inside


class ExponentialMovingAverage(AveragedWeights):
    """The exponential moving average of the weights after each step, batch norm's statistics likewise.

    After n updates the average keeps ``min(decay, (1 + n) / (10 + n))`` of itself, so that the first steps are soon
    forgotten.

    Args:
        decay: what the average keeps of itself in a step, in the end.

    Raises:
        LabError: the decay is not between 0 and 1.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 < decay < 1:
            raise LabError(f"callbacks.averaging.decay={decay}: give a number between 0 and 1, such as 0.999.")
        self.decay = decay

    def share(self, trainer: pl.Trainer, updates: int) -> float:
        """What a step adds."""
        return 1 - min(self.decay, (1 + updates) / (10 + updates))


class StochasticWeightAverage(AveragedWeights):
    """The mean of the weights at the ends of the last epochs; until these, it changes nothing.

    Statistics of batch norm are measured anew with the averaged weights, in training mode, on the epoch's first
    batches.

    Args:
        start: share of the epochs that go before.
        norm_batches: how many batches the statistics are measured on, at most.

    Raises:
        LabError: nothing is left of the epochs, or of the batches.

    Source:
        Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018.
    """

    def __init__(self, start: float = 0.75, norm_batches: int = 100) -> None:
        super().__init__()
        if not 0 <= start < 1 or norm_batches < 1:
            raise LabError(
                f"callbacks.averaging: start={start}, norm_batches={norm_batches}: give a share of the epochs below 1 "
                "and at least one batch."
            )
        self.start = start
        self.norm_batches = norm_batches

    def share(self, trainer: pl.Trainer, updates: int) -> float | None:
        """What the end of an epoch adds."""
        late = trainer.current_epoch >= self.start * (trainer.max_epochs or 0)
        return 1 / (1 + updates) if late and trainer.is_last_batch else None

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Takes up the weights at the end of an epoch."""
        before = self._updates
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if self._updates > before:
            self._exchange(pl_module)
            self._measure_norms(trainer, pl_module)
            self._exchange(pl_module)

    def _measure_norms(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Statistics of batch norm as means over batches, where they are not frozen."""
        assert isinstance(pl_module, DetectionTask)  # for the type checker
        detector = pl_module.detector
        norms = [
            module
            for module in detector.modules()
            if isinstance(module, _BatchNorm) and module.track_running_stats and module.training
        ]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a mean, not a moving one
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for number, batch in enumerate(islice(trainer.train_dataloader or (), self.norm_batches if norms else 0)):
                heard, mixture = pl_module.augmented(trainer.strategy.batch_to_device(batch), number)
                detector(heard.wave if mixture is None else mixture.wave)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            for statistic in (norm.running_mean, norm.running_var):
                assert statistic is not None  # for the type checker
                statistic.copy_(trainer.strategy.reduce(statistic, reduce_op="mean"))  # over processes, if several


def _detector(pl_module: pl.LightningModule) -> Detector:
    detector = pl_module.detector
    assert isinstance(detector, Detector)  # for the type checker
    return detector


def _weights(detector: Detector) -> Weights:
    """What training changes, as views: no constants, and nothing that dev decides."""
    constant = {*FROM_DEV, *(name for name, weight in detector.named_parameters() if not weight.requires_grad)}
    state: Weights = detector.state_dict()
    return {name: weight for name, weight in state.items() if weight.is_floating_point() and name not in constant}
