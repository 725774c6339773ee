"""Whisper's encoder: what a network knows of speech that was trained to write down 680,000 hours of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from deepfake_lab.frontends.spectrum import FilterBank, Spectrum, mel_filters, power
from deepfake_lab.frontends.transformer import Layer, Transformer
from deepfake_lab.frontends.whisper_weights import read_encoder
from deepfake_lab.types import SAMPLE_RATE, LabError

_MELS, _WINDOW, _HOP = 80, 400, 160
_FLOOR, _RANGE = 1e-10, 8.0  # power, and decades below the peak of a window


class _Size(NamedTuple):
    width: int
    heads: int
    layers: int


SIZES = {
    "tiny": _Size(384, 6, 4),
    "base": _Size(512, 8, 6),
    "small": _Size(768, 12, 12),
    "medium": _Size(1024, 16, 24),
}


class Whisper(Transformer):
    """Hidden states of Whisper's encoder, ``(B, T) -> (B, 1, width, about T / 320)``.

    Windows are taken as they are, not padded to the 30 s that Whisper was trained on.

    Args:
        size: tiny, base, small or medium; all languages or English alone, as the weights are.
        layers: how many of its layers there are; the first ones hear most of how a sound was made. None: all.
        layer: number of the layer to take, from 1, "all" or "each"; see `Transformer`.
        weights: file of weights: a checkpoint of OpenAI's (``base.pt``), or a ``model.bin`` of CTranslate2.
        frozen: keep the transformer as it is; else it is trained as well.
        learning_rate: of the transformer, when it is trained.

    Raises:
        LabError: there is no such size or layer.

    Source:
        Radford et al., "Robust speech recognition via large-scale weak supervision", ICML 2023; as a front-end
        against deepfakes: Kawa et al., "Improved deepfake detection using Whisper features", Interspeech 2023.
    """

    def __init__(
        self,
        size: str = "base",
        layers: int | None = None,
        layer: Layer = "all",
        weights: str | None = None,
        frozen: bool = True,
        learning_rate: float = 1e-5,
    ) -> None:
        if size not in SIZES:
            raise LabError(f"frontend.size={size}: no such Whisper. Choose from {', '.join(SIZES)}.")
        width, heads, most = SIZES[size]
        depth = most if layers is None else layers
        if not 1 <= depth <= most:
            raise LabError(f"frontend.layers={layers}: whisper_{size} has {most}. Keep 1 to {most}, or null for all.")
        backbone = _Encoder(width, heads, depth)
        super().__init__(
            f"whisper_{size}", backbone, layers=depth, layer=layer, frozen=frozen, learning_rate=learning_rate
        )
        self.weights = weights
        self.spectrum = Spectrum(_WINDOW, torch.hann_window(_WINDOW), _HOP)
        self.filters = FilterBank(mel_filters(_MELS, _WINDOW, SAMPLE_RATE, 0.0, SAMPLE_RATE / 2))
        self.bins, self.hop = width, 2 * _HOP
        self.min_samples = self.spectrum.min_samples

    def load_pretrained(self) -> None:
        """See `Transformer.load_pretrained`."""
        if self.weights is None or not Path(self.weights).is_file():
            where = "frontend.weights: not given" if self.weights is None else f"{self.weights}: no such file"
            raise LabError(
                f"{where}. Name the weights of {self.model} with frontend.weights=FILE: OpenAI's checkpoint, or a "
                "model.bin of CTranslate2, such as `make published` fetches."
            )
        state = read_encoder(Path(self.weights), self.layers)
        try:
            self.backbone.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise LabError(
                f"{self.weights}: holds no weights of {self.model} ({reason}). Choose their size."
            ) from error
        self.reloaded()

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples: one for two of the spectrogram."""
        return math.ceil(self.spectrum.frames(samples) / 2)

    def states(self, wave: Tensor) -> Tensor:
        """See `Transformer.states`."""
        level = torch.log10(self.filters(power(*self.spectrum(wave))).clamp(min=_FLOOR))
        level = torch.maximum(level, level.amax(dim=(1, 2), keepdim=True) - _RANGE)
        states: list[Tensor] = self.backbone((level + 4) / 4, self.wanted)
        return self.taken(states)


class _Encoder(nn.Module):
    """Two convolutions and transformer blocks, with the names of OpenAI's; query, key and value in one layer."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(_MELS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))

    def forward(self, mel: Tensor, layers: int) -> list[Tensor]:
        """Outputs ``(B, L, width)`` of the first layers, of a spectrogram ``(B, 80, 2 L)``."""
        hidden = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        hidden = hidden + _positions(hidden)
        states = []
        for block in list(self.blocks)[:layers]:
            hidden = block(hidden)
            states.append(hidden)
        return states


class _Block(nn.Module):
    """Attention, then two layers, each after normalisation and around a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attn_ln, self.mlp_ln = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor) -> Tensor:
        """``(B, L, width)`` to the same shape."""
        split = self.qkv(self.attn_ln(hidden)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heard = functional.scaled_dot_product_attention(*split.unbind()).transpose(1, 2).flatten(2)
        hidden = hidden + self.out(heard)
        deeper: Tensor = self.mlp(self.mlp_ln(hidden))
        return hidden + deeper


def _positions(hidden: Tensor) -> Tensor:
    """Sinusoids ``(L, width)`` of Whisper: sines, then cosines, with periods from 2 pi to 20,000 pi frames."""
    length, half = hidden.shape[1], hidden.shape[2] // 2
    rates = torch.exp(-math.log(10_000) / (half - 1) * torch.arange(half, device=hidden.device))
    angles = torch.arange(length, device=hidden.device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
