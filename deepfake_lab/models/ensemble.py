"""Several trained detectors as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.raw import Raw
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.models.head import LinearHead
from deepfake_lab.models.treatment import Treatment
from deepfake_lab.types import LabError

Fusion: TypeAlias = Literal["mean", "logistic_regression"]
"""How members are weighed: see `deepfake_lab.evaluation.fuse.fit_weights`."""


class Ensemble(Detector):
    """A detector that hears the waveform through other detectors: its embedding is what they say.

    The front-end passes the waveform on, the encoder is the members, and the head weighs their calibrated scores:
    ``raw_score = scores @ weights + offset``. Gradients change nothing in it. What is to be learnt, the weights, are
    fitted on dev (`deepfake_lab.evaluation.fuse.fit_ensemble`); until then, they make the mean.

    Its windows are as long as the longest among its members'. A member whose windows are shorter hears the beginning,
    so that it says of first windows what it says alone.

    Args:
        members: two or more trained detectors, of any kind; each keeps its treatment.
        fusion: how the members are weighed.

    Raises:
        LabError: there are fewer than two members, or they disagree on quiet edges, which are cut off for all or none.
    """

    encoder: Members
    head: LinearHead

    def __init__(self, members: Sequence[Detector], *, fusion: Fusion = "mean") -> None:
        if len(members) < 2:
            raise LabError(f"An ensemble of {len(members)} detectors: it takes two or more.")
        trims = {member.treatment.trim for member in members}
        if len(trims) > 1:
            raise LabError(
                "An ensemble's members have treatment.trim=true and false, and all hear the same windows. "
                "Put together those that were trained alike."
            )
        super().__init__(
            Raw(),
            lambda channels, bins: Members(members),
            treatment=Treatment(trim=trims.pop()),
            window_s=max(member.window_s for member in members),
        )
        self.fusion: Fusion = fusion
        self.requires_grad_(False)
        self.set_weights([1 / len(members)] * len(members))

    @property
    def members(self) -> list[Detector]:
        """The detectors, in the order of their weights."""
        return [member for member in self.encoder.detectors if isinstance(member, Detector)]

    def set_weights(self, weights: Sequence[float], offset: float = 0.0) -> None:
        """Weighs the members, and forgets calibration and threshold, which were those of other raw scores.

        Args:
            weights: one for each member.
            offset: what is added.

        Raises:
            LabError: there are fewer or more weights than members, or they are not finite.
        """
        members = self.encoder.embedding_dim
        if len(weights) != members or not all(map(math.isfinite, [*weights, offset])):
            raise LabError(f"weights={list(weights)}, offset={offset}: {members} finite weights are needed.")
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor(list(weights)).unsqueeze(0))
            self.head.bias.fill_(offset)
        self.calibrate(1.0, 0.0)
        self.eer_threshold.fill_(math.nan)

    def _local_embeddings(self, sequence: Tensor) -> Tensor:
        """Members' scores over time ``(B, S, M)``, each as it tells them by itself, at the times of the ensemble's.

        To score every stretch as a recording of its own, members would hear each sample a dozen times.
        """
        width, hop = self._frame_grid
        times = self.frame_times(1 + max(sequence.shape[-1] - width, 0) // hop)
        wave = sequence.flatten(1)
        told = []
        for member, end in zip(self.members, self.encoder.heard, strict=True):
            scores = member(wave[:, :end], frames=True).frame_scores
            told.append(_interpolated(scores, member.frame_times(scores.shape[1]), times))
        return torch.stack(told, dim=-1)

    def load_pretrained(self) -> None:
        """Leaves transformers within the members as they were trained."""


class Members(Encoder):
    """Calibrated scores ``(B, M)`` of M detectors, from waveforms as `Raw` gives them; never in training mode."""

    def __init__(self, members: Sequence[Detector]) -> None:
        super().__init__()
        self.detectors = nn.ModuleList(members)
        self.embedding_dim = len(members)
        self.min_frames = max(member.min_samples for member in members)
        longest = max(member.window_samples for member in members)
        self.heard = [None if member.window_samples == longest else member.window_samples for member in members]
        self.eval()

    def train(self, mode: bool = True) -> Members:
        """Stays as it is: dropout and running statistics belong to the training of each member."""
        super().train(False)
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Scores ``(B, M)`` of samples ``(B, 1, 1, T)``."""
        wave = features.flatten(1)
        scores = [detector(wave[:, :end]).score for detector, end in zip(self.detectors, self.heard, strict=True)]
        return torch.stack(scores, dim=1)


def _interpolated(values: Tensor, own: Tensor, times: Tensor) -> Tensor:
    """Values ``(B, S)`` of rising times ``(S,)`` at others ``(W,)``; beyond the first and last, these."""
    right = torch.searchsorted(own, times).clamp(0, len(own) - 1)
    left = (right - 1).clamp_min(0)
    share = ((times - own[left]) / (own[right] - own[left]).clamp_min(1e-9)).clamp(0, 1).to(values)
    return torch.lerp(values[:, left], values[:, right], share)
