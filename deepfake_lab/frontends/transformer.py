"""Hidden states of a pretrained transformer as features: what wav2vec 2.0 and Whisper have in common here."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from pathlib import Path
from typing import Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.types import LabError

Layer: TypeAlias = int | Literal["all", "each"]
"""Which hidden states are taken: those of one layer, a weighted sum of all layers, or each layer as a channel."""


class Transformer(Frontend):
    """Hidden states of one layer or of all, ``(B, T) -> (B, 1 or layers, dimensions, L)``.

    A new detector takes the weights from a file, by `load_pretrained`; ever after they are a part of the detector's
    checkpoint.

    Args:
        name: of the model, for messages and the cache.
        backbone: the transformer.
        layers: number of layers that it has.
        layer: number of the layer to take, from 1; "all" for a weighted sum with learnt weights; or "each" for all of
            them side by side, as channels.
        frozen: keep the transformer as it is, without dropout; else it is trained as well.
        learning_rate: of the transformer, when it is trained.

    Attributes:
        wanted: number of layers that need be computed.
        cache: folder for embeddings of a frozen transformer, or None. What it holds is keyed by weights, layer and
            audio, and kept as 16-bit floats, to which embeddings are rounded as soon as there is a cache.

    Raises:
        LabError: there is no such layer.
    """

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        *,
        layers: int,
        layer: Layer,
        frozen: bool,
        learning_rate: float,
    ) -> None:
        super().__init__()
        if not isinstance(layer, str) and not 1 <= layer <= layers:
            raise LabError(f"frontend.layer={layer}: {name} has layers 1 to {layers}. Name one, all or each.")
        self.channels = layers if layer == "each" else 1
        self.wanted = layers if isinstance(layer, str) else layer
        self.model, self.layers, self.layer = name, layers, layer
        self.frozen, self.learning_rate = frozen, learning_rate
        self.backbone = backbone.requires_grad_(not frozen)
        self.mix = nn.Parameter(torch.zeros(layers)) if layer == "all" else None
        self.cache: Path | None = None
        self._identity: str | None = None
        self.train(self.training)

    @abstractmethod
    def load_pretrained(self) -> None:
        """Takes over published weights.

        Raises:
            LabError: the file is missing or holds other weights; it says what to put where.
        """

    @abstractmethod
    def states(self, wave: Tensor) -> Tensor:
        """Outputs of the layer, or of all, of waveforms ``(B, T)``: ``(B, 1 or layers, L, dimensions)``."""

    def train(self, mode: bool = True) -> Self:
        """Sets the mode; a frozen transformer stays as it is in use."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def features(self, wave: Tensor) -> Tensor:
        """Hidden states ``(B, channels, dimensions, L)`` of waveforms ``(B, T)``."""
        states = self._cached(wave) if self.frozen and self.cache is not None else self.states(wave)
        if self.mix is not None:
            states = torch.einsum("n,bnle->ble", self.mix.softmax(dim=0), states).unsqueeze(1)
        return states.transpose(2, 3)

    def taken(self, states: list[Tensor]) -> Tensor:
        """What `states` is to give, of the outputs ``(B, L, dimensions)`` of the first `wanted` layers."""
        return torch.stack(states if isinstance(self.layer, str) else states[-1:], dim=1)

    def reloaded(self) -> None:
        """Is to be called whenever weights have changed: entries of the cache are of others now."""
        self._identity = None

    def _cached(self, wave: Tensor) -> Tensor:
        """The states out of the cache, which gets what it lacks."""
        assert self.cache is not None
        home = self.cache / f"{self.model}-{self._weights_digest()}-{self.layer}"
        home.mkdir(parents=True, exist_ok=True)
        names = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in wave.cpu().numpy()]
        files = [home / f"{name}.npy" for name in names]
        new = [number for number, file in enumerate(files) if not file.is_file()]
        if new:
            with torch.no_grad():
                made = self.states(wave[new]).to(torch.float16).cpu().numpy()
            for number, states in zip(new, made, strict=True):
                _save(files[number], states)
        return torch.from_numpy(np.stack([np.load(file) for file in files])).to(wave.device, torch.float32)

    def _weights_digest(self) -> str:
        if self._identity is None:
            content = hashlib.sha256()
            for name, tensor in sorted(self.backbone.state_dict().items()):
                content.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
            self._identity = content.hexdigest()[:16]
        return self._identity

    def _load_from_state_dict(self, *arguments: object) -> None:
        super()._load_from_state_dict(*arguments)
        self.reloaded()


def _save(file: Path, states: np.ndarray) -> None:
    """Writes embeddings whole or not at all; other processes may be doing the same."""
    partial = file.with_name(f".{os.getpid()}-{file.name}")
    np.save(partial, states)
    partial.replace(file)
