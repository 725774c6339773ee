"""What every adversary is: a function from waveforms to others near them, of which a detector thinks worse.

One number decides, the score, and so one objective does for all: to raise the score of spoofs and to lower that of bona
fide speech, as far as possible and not only across a threshold, since an EER looks at all of them. Cross-entropy rises
exactly where this margin does; the steps of every adversary would be the same, but for its gradient, which vanishes
where the detector is sure, and would make it look robust.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from deepfake_lab.adversaries.budget import Budget
from deepfake_lab.types import SPOOF, LabError

Score: TypeAlias = Callable[[Tensor], Tensor]
"""Differentiable scores ``(B,)``, higher = more bona fide, of waveforms ``(B, T)``, each by itself."""


class Adversary(ABC):
    """Makes waveforms that mislead; random choices are those of torch's default generator of the device."""

    @abstractmethod
    def __call__(self, score: Score, wave: Tensor, label: Tensor, budget: Budget) -> Tensor:
        """Finds misleading waveforms, and leaves no gradient in any parameter.

        Args:
            score: the detector, see `in_use`.
            wave: waveforms ``(B, T)``.
            label: labels ``(B,)``, 0 = bona fide, whose score is to fall, 1 = spoof, whose score is to rise.
            budget: how far from `wave` they may lie.

        Returns:
            Waveforms of the same shape.

        Raises:
            LabError: the score has no gradient.
        """


class Best:
    """The most misleading points so far.

    Attributes:
        point: waveforms ``(B, T)``.
        gain: how far their scores lie on the wrong side ``(B,)``.
        gradient: of the gain there ``(B, T)``.
    """

    def __init__(self, wave: Tensor) -> None:
        self.point, self.gradient = wave, torch.zeros_like(wave)
        self.gain = wave.new_full((len(wave),), -torch.inf)

    def update(self, point: Tensor, gain: Tensor, gradient: Tensor | None = None) -> None:
        """Takes over what is better; its gradient too, where it is given."""
        better = gain > self.gain
        self.gain = torch.where(better, gain, self.gain)
        self.point = torch.where(better.unsqueeze(1), point, self.point)
        if gradient is not None:
            self.gradient = torch.where(better.unsqueeze(1), gradient, self.gradient)


def gain_of(score: Score, point: Tensor, label: Tensor) -> Tensor:
    """How far scores lie on the wrong side ``(B,)``: the score of a spoof, less that of bona fide speech."""
    return torch.where(label == SPOOF, 1.0, -1.0) * score(point)


def climb(score: Score, point: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """The gain ``(B,)`` at points ``(B, T)``, and its gradient ``(B, T)``.

    Raises:
        LabError: it has none.
    """
    point = point.detach().requires_grad_()
    with torch.enable_grad():
        gain = gain_of(score, point, label)
        if not gain.requires_grad:
            raise LabError(
                "The score of this detector has no gradient at the waveform: cached embeddings (embedding_cache=) and "
                "probes (loss=contrastive_pretraining) have none. Attack it through another detector."
            )
        (gradient,) = torch.autograd.grad(gain.sum(), point)
    return gain.detach(), gradient


@contextmanager
def in_use(detector: nn.Module) -> Iterator[None]:
    """Sets a detector as it is in use for the length of the block: running statistics are used, and not changed.

    Recurrent layers are the exception: cuDNN has their gradients in training mode alone, which differs by dropout only.
    """
    modes = {module: module.training for module in detector.modules()}
    recurrent = {module: module.dropout for module in modes if isinstance(module, nn.RNNBase)}
    for module in modes:
        module.training = module in recurrent
    for layer in recurrent:
        layer.dropout = 0.0
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for layer, dropout in recurrent.items():
            layer.dropout = dropout
