"""Convolutional recurrent network that says when it heard what it decided by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepfake_lab.models.crnn import TIME_STRIDE, Convolutions, embed
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import SequenceEncoder, require_bins
from deepfake_lab.types import LabError


class AttentionCRNN(SequenceEncoder):
    """The convolutions of `CRNN`, a bidirectional LSTM, and attention over time where `CRNN` takes the mean.

    The weights of attention are not negative, add up to one, and are the share that each moment has in the embedding.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        widths: output channels of the four convolutional blocks.
        hidden: units of the LSTM in each direction.
        attention_dim: units of the layer that rates moments.
        embedding_dim: components of the embedding.
        dropout: probability of dropout before and after the fully connected layer.

    Raises:
        LabError: there are not four widths, or fewer than 16 bins.

    Source:
        Yang et al., "Hierarchical attention networks for document classification", NAACL 2016, equations 5 to 7.
    """

    stride = TIME_STRIDE

    def __init__(
        self,
        channels: int,
        bins: int,
        widths: Sequence[int] = (16, 32, 64, 64),
        hidden: int = 64,
        attention_dim: int = 64,
        embedding_dim: int = 64,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        require_bins("AttentionCRNN", bins, 16)
        self.embedding_dim = embedding_dim
        self.convolutions = Convolutions(channels, bins, widths)
        self.recurrent = nn.LSTM(self.convolutions.width, hidden, batch_first=True, bidirectional=True)
        self.rate = nn.Sequential(
            nn.Linear(2 * hidden, attention_dim), nn.Tanh(), nn.Linear(attention_dim, 1, bias=False)
        )
        self.embed = embed(2 * hidden, embedding_dim, dropout)

    def sequence(self, features: Tensor) -> Tensor:
        """States ``(B, 2 hidden, ceil(L / 4))`` of features ``(B, C, F, L)``."""
        states, _ = self.recurrent(self.convolutions(features))
        return torch.transpose(states, 1, 2)

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of states ``(B, 2 hidden, L')``, among which attention is shared out."""
        embedding: Tensor = self.embed((sequence @ self._weights(sequence).unsqueeze(2)).squeeze(2))
        return embedding

    def attention(self, features: Tensor) -> Tensor:
        """Weights ``(B, L)`` of the frames of features ``(B, C, F, L)``, not negative, each row adding up to one."""
        frames = self._weights(self.sequence(features)).repeat_interleave(TIME_STRIDE, dim=1)[:, : features.shape[-1]]
        return frames / frames.sum(dim=1, keepdim=True)

    def _weights(self, sequence: Tensor) -> Tensor:
        """Weights ``(B, L')`` of states ``(B, 2 hidden, L')``."""
        return torch.softmax(self.rate(sequence.transpose(1, 2)).squeeze(-1), dim=1)


def attention(detector: Detector, wave: Tensor) -> Tensor:
    """When a detector heard what it decided by.

    Args:
        detector: one whose encoder is an `AttentionCRNN`.
        wave: waveforms ``(B, T)``, 16 kHz.

    Returns:
        Weights ``(B, L)`` of the front-end's frames, not negative, each row adding up to one. Audio that is too short
        for a frame has those of its repetition, as it is scored.

    Raises:
        LabError: the detector has no attention over time.
    """
    encoder = detector.encoder
    if not isinstance(encoder, AttentionCRNN):
        raise LabError(
            f"{type(encoder).__name__} has no attention over time: take a detector trained with model=attention_crnn."
        )
    return encoder.attention(detector.features(wave))
