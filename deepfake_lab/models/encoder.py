"""What every encoder is: a layer from features of any length to one embedding an utterance."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.types import LabError


class Encoder(nn.Module, ABC):
    """Maps features ``(B, C, F, L)`` to embeddings ``(B, E)``; built with the channels and bins of the front-end.

    For scores over time, an embedding of a short stretch is pooled of a part of a sequence. One that does not make a
    sequence of steps before it pools (`SequenceEncoder` does) encodes the features of every stretch anew.

    Attributes:
        embedding_dim: number E of components of an embedding.
        min_frames: smallest number L of frames that it takes.
        stride: frames of the features from one step of the sequence to the next.
        centre: frame of the features in the middle of what the first step stands for.
        local_s: length in s of the stretches behind scores over time, long enough for pooling to mean something.
    """

    embedding_dim: int
    min_frames: int = 1
    stride: int = 1
    centre: float = 0.0
    local_s: float = 1.0

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of features ``(B, C, F, L)``."""

    def sequence(self, features: Tensor) -> Tensor:
        """What is pooled over time, ``(B, ..., L')``: the features as they are."""
        return features

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of a sequence, or of a stretch of one, ``(B, ..., L')``."""
        embedding: Tensor = self(sequence)
        return embedding


class SequenceEncoder(Encoder):
    """An encoder whose embedding is pooled over the steps of a sequence."""

    local_s = 0.16

    @abstractmethod
    def sequence(self, features: Tensor) -> Tensor:
        """Steps ``(B, D, L')`` of features ``(B, C, F, L)``."""

    @abstractmethod
    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of steps ``(B, D, L')``, of any number of them."""

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of features ``(B, C, F, L)``."""
        return self.pool(self.sequence(features))


def require_bins(encoder: str, bins: int, least: int) -> None:
    """Refuses a front-end that gives an encoder too few bins a frame, such as raw waveforms.

    Args:
        encoder: name of the encoder, for the message.
        bins: number of bins of the front-end.
        least: smallest number of bins that the encoder takes.

    Raises:
        LabError: there are fewer bins.
    """
    if bins < least:
        raise LabError(
            f"{encoder} needs at least {least} bins a frame and its front-end gives {bins}. "
            "Choose frontend=mel, mfcc, lfcc, cqt, stft, phase or wav2vec2; model=aasist is for raw waveforms."
        )


class Standardise(nn.Module):
    """Brings each bin of each channel to zero mean and unit variance over the training set.

    The statistics are running ones (batch normalisation without trainable scale), fixed in evaluation: what is said of
    an utterance does not depend on its neighbours, and differences between utterances stay. A single value a bin has no
    variance: in training, too, it is brought to the statistics so far.
    """

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels * bins, affine=False)

    def forward(self, features: Tensor) -> Tensor:
        """Standardised features ``(B, C, F, L)``."""
        flat = features.flatten(1, 2)
        if self.training and flat.shape[0] * flat.shape[2] == 1:
            standard = functional.batch_norm(flat, self.norm.running_mean, self.norm.running_var, eps=self.norm.eps)
        else:
            standard = self.norm(flat)
        return standard.view_as(features)


def mean_and_deviation(sequence: Tensor) -> Tensor:
    """Mean and standard deviation over time, ``(B, D, L) -> (B, 2 D)``; their scale does not depend on the length.

    Source:
        Snyder et al., "X-vectors: robust DNN embeddings for speaker recognition", ICASSP 2018 (statistics pooling).
    """
    mean = sequence.mean(dim=-1, keepdim=True)
    variance = (sequence - mean).square().mean(dim=-1)
    return torch.cat([mean.squeeze(-1), (variance + 1e-5).sqrt()], dim=1)  # the gradient of a root at 0 is infinite
