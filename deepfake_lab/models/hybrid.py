"""Convolutional recurrent features joined with those of a transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from deepfake_lab.models.crnn import CRNN, TIME_STRIDE, embed
from deepfake_lab.models.encoder import SequenceEncoder, Standardise, require_bins
from deepfake_lab.types import LabError


class Hybrid(SequenceEncoder):
    """A CRNN and a small transformer side by side; the embedding is both of theirs, one after the other.

    The CRNN reads local patterns of frequency and time, the transformer relations between distant moments. Where a
    stack of front-ends appends the embeddings of a pretrained transformer to a spectrogram, along the bins,
    `transformer_bins` gives each its own: the transformer here then goes on where the pretrained one ended.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        transformer_bins: so many of the last bins go to the transformer and the others to the CRNN; None: both get all.
        widths: output channels of the four convolutional blocks.
        hidden: units of the LSTM.
        width: components of the transformer's frames.
        layers: layers of the transformer.
        heads: attention heads of each layer.
        embedding_dim: components of the embedding, half of them from each branch.
        dropout: probability of dropout before and after the fully connected layers.

    Raises:
        LabError: the CRNN gets fewer than 16 bins or the transformer none, or sizes do not divide.
    """

    stride = TIME_STRIDE

    def __init__(
        self,
        channels: int,
        bins: int,
        transformer_bins: int | None = None,
        widths: Sequence[int] = (16, 32, 64, 64),
        hidden: int = 128,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        embedding_dim: int = 128,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if embedding_dim % 2 or width % heads:
            raise LabError(
                f"Hybrid: embedding_dim={embedding_dim} must be even and width={width} a multiple of heads={heads}."
            )
        if transformer_bins is not None and not 0 < transformer_bins < bins:
            raise LabError(
                f"transformer_bins={transformer_bins}: of {bins} bins, give the transformer one at least and leave the "
                "CRNN some; null gives both of them all bins."
            )
        self.sizes = (bins, bins) if transformer_bins is None else (bins - transformer_bins, transformer_bins)
        require_bins("Hybrid's CRNN", self.sizes[0], 16)
        self.embedding_dim = embedding_dim
        self.hidden = hidden
        self.crnn = CRNN(channels, self.sizes[0], widths, hidden, embedding_dim // 2, dropout)
        self.transformer = _Transformer(channels, self.sizes[1], width, layers, heads)
        self.embed = embed(width, embedding_dim // 2, dropout)

    def sequence(self, features: Tensor) -> Tensor:
        """Steps ``(B, hidden + width, ceil(L / 4))`` of both branches of features ``(B, C, F, L)``."""
        first, last = self.sizes
        states = self.crnn.sequence(features[:, :, :first])
        return torch.cat([states, self.transformer(features[:, :, -last:]).transpose(1, 2)], dim=1)

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of steps ``(B, hidden + width, L')``."""
        recurrent = self.crnn.pool(sequence[:, : self.hidden])
        attended = self.embed(sequence[:, self.hidden :].mean(dim=-1))
        return torch.cat([recurrent, attended], dim=1)


class _Transformer(nn.Module):
    """Features ``(B, C, F, L)`` to frames ``(B, ceil(L / 4), width)``, each having seen all others.

    Order is told by a convolution over neighbouring frames rather than by a code for each position: nothing is bound
    to the lengths met in training.

    Source:
        Vaswani et al., "Attention is all you need", NeurIPS 2017, with normalisation first (Xiong et al., ICML 2020).
        Baevski et al., "wav2vec 2.0", NeurIPS 2020, section 2 (convolutional position embedding).
    """

    def __init__(self, channels: int, bins: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            Standardise(channels, bins),
            nn.Flatten(1, 2),
            nn.Conv1d(channels * bins, width, kernel_size=7, stride=TIME_STRIDE, padding=3),
        )
        self.position = nn.Sequential(nn.Conv1d(width, width, kernel_size=15, padding=7, groups=width), nn.GELU())
        # not nn.TransformerEncoder: it copies one layer, so that all of them would begin alike
        self.layers = nn.Sequential(*(_layer(width, heads) for _ in range(layers)), nn.LayerNorm(width))

    def forward(self, features: Tensor) -> Tensor:
        frames = self.project(features)
        attended: Tensor = self.layers((frames + self.position(frames)).transpose(1, 2))
        return attended


def _layer(width: int, heads: int) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
    )
