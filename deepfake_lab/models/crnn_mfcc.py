"""Convolutional recurrent network on cepstral coefficients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deepfake_lab.models.encoder import SequenceEncoder, Standardise, require_bins


class MfccCRNN(SequenceEncoder):
    """Conv1d(64), max-pool, Conv1d(128), max-pool, BiLSTM(64), fully connected; the bins are channels.

    The LSTM runs over every fourth frame of the features, each having seen 16 (0.3 s at 16 ms a frame). Its outputs
    are averaged over time, so that any length of audio gives an embedding of the same scale.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        hidden: units of the LSTM in each direction.
        embedding_dim: components of the embedding.
        dropout: probability of dropout before the fully connected layer.

    Raises:
        LabError: there is but one bin: a waveform.
    """

    min_frames = 4
    stride = 4
    centre = 1.5

    def __init__(
        self, channels: int, bins: int, hidden: int = 64, embedding_dim: int = 64, dropout: float = 0.3
    ) -> None:
        super().__init__()
        require_bins("MfccCRNN", bins, 2)
        self.embedding_dim = embedding_dim
        self.convolutions = nn.Sequential(
            Standardise(channels, bins),
            nn.Flatten(1, 2),
            *(nn.Conv1d(channels * bins, 64, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool1d(2)),
            *(nn.Conv1d(64, 128, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool1d(2)),
        )
        self.recurrent = nn.LSTM(128, hidden, batch_first=True, bidirectional=True)
        self.embed = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * hidden, embedding_dim), nn.ReLU())

    def sequence(self, features: Tensor) -> Tensor:
        """States ``(B, 2 hidden, L // 4)`` of features ``(B, C, F, L)``."""
        states, _ = self.recurrent(self.convolutions(features).transpose(1, 2))
        return torch.transpose(states, 1, 2)

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of states ``(B, 2 hidden, L')``."""
        embedding: Tensor = self.embed(sequence.mean(dim=-1))
        return embedding
