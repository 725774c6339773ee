"""Embeddings of self-supervised transformers (wav2vec 2.0, XLS-R, HuBERT, WavLM) as features."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torchaudio.models import Wav2Vec2Model
    from torchaudio.pipelines import Wav2Vec2Bundle

_WHERE_FROM = "https://download.pytorch.org/torchaudio/models/"


class Wav2Vec2(Frontend):
    """Hidden states of a self-supervised transformer, ``(B, T) -> (B, 1, dimensions, about T / 320)``.

    The architectures and weights are torchaudio's. A new detector takes its weights from a file, by `load_pretrained`;
    ever after they are a part of the detector's checkpoint.

    Args:
        model: a bundle of `torchaudio.pipelines` in small letters: wav2vec2_base, wav2vec2_xlsr_300m, hubert_base,
            wavlm_base, ...
        layer: number of the transformer layer to take, from 1, or "all" for a weighted sum with learnt weights.
        weights: file of weights; None: the place where torchaudio keeps what it has downloaded.
        frozen: keep the transformer as it is, without dropout; else it is trained as well.
        learning_rate: of the transformer, when it is trained.
        sizes: arguments of `torchaudio.models.wav2vec2_model` to change, such as {encoder_num_layers: 2}; then no
            published weights fit.

    Attributes:
        cache: folder for embeddings of a frozen transformer, or None. What it holds is keyed by weights, layer and
            audio, and kept as 16-bit floats, to which embeddings are rounded as soon as there is a cache.

    Raises:
        LabError: there is no such model or layer.

    Source:
        Baevski et al., "wav2vec 2.0: A framework for self-supervised learning of speech representations", 2020.
    """

    def __init__(
        self,
        model: str = "wav2vec2_base",
        layer: int | Literal["all"] = "all",
        weights: str | None = None,
        frozen: bool = True,
        learning_rate: float = 1e-5,
        sizes: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.bundle = _bundle(model)
        parameters = {**self.bundle._params, "aux_num_out": None, "encoder_layer_drop": 0.0, **(sizes or {})}
        self.model, self.weights, self.frozen, self.learning_rate = model, weights, frozen, learning_rate
        self.layers = int(parameters["encoder_num_layers"])
        if layer != "all" and not 1 <= layer <= self.layers:
            raise LabError(f"frontend.layer={layer}: {model} has layers 1 to {self.layers}. Name one of them, or all.")
        self.layer = layer
        self.backbone = _build(self.bundle, parameters).requires_grad_(not frozen)
        self.mix = nn.Parameter(torch.zeros(self.layers)) if layer == "all" else None
        self.steps = [(kernel, stride) for _, kernel, stride in parameters["extractor_conv_layer_config"]]
        self.channels, self.bins = 1, int(parameters["encoder_embed_dim"])
        self.min_samples, self.hop = self._samples_of_a_frame(), math.prod(stride for _, stride in self.steps)
        self.cache: Path | None = None
        self._identity: str | None = None
        self.train(self.training)

    def load_pretrained(self) -> None:
        """Takes over the published weights.

        Raises:
            LabError: the file is missing or holds other weights; it says what to put where.
        """
        file = Path(self.weights) if self.weights else Path(torch.hub.get_dir(), "checkpoints", self.bundle._path)
        if not file.is_file():
            raise LabError(
                f"{file}: the weights of {self.model} are not there. Download {_WHERE_FROM}{self.bundle._path} to that "
                "place, or name another file with frontend.weights=FILE."
            )
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            known = {name: tensor for name, tensor in state.items() if not name.startswith("aux.")}
            self.backbone.load_state_dict(known)
        except Exception as error:  # damage shows as errors of many families
            reason = str(error).partition("\n")[0]
            raise LabError(
                f"{file}: holds no weights of {self.model} ({reason}). Download {_WHERE_FROM}{self.bundle._path}, "
                "or choose the model that they are of."
            ) from error
        self._identity = None

    def train(self, mode: bool = True) -> Wav2Vec2:
        """Sets the mode; a frozen transformer stays as it is in use."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples: what the convolutions leave."""
        for kernel, stride in self.steps:
            samples = (samples - kernel) // stride + 1
        return samples

    def features(self, wave: Tensor) -> Tensor:
        """Hidden states ``(B, 1, dimensions, L)`` of waveforms ``(B, T)``."""
        states = self._cached(wave) if self.frozen and self.cache is not None else self._states(wave)
        chosen = states[:, 0] if self.mix is None else torch.einsum("n,bnle->ble", self.mix.softmax(dim=0), states)
        return chosen.transpose(1, 2).unsqueeze(1)

    def _states(self, wave: Tensor) -> Tensor:
        """Outputs of the wanted layers ``(B, layers, L, dimensions)``."""
        if self.bundle._normalize_waveform:
            wave = nn.functional.layer_norm(wave, wave.shape[-1:])
        wanted = self.layers if self.layer == "all" else self.layer
        states, _ = self.backbone.extract_features(wave, num_layers=wanted)
        return torch.stack(states if self.layer == "all" else states[-1:], dim=1)

    def _cached(self, wave: Tensor) -> Tensor:
        """The same out of the cache, which gets what it lacks."""
        assert self.cache is not None
        home = self.cache / f"{self.model}-{self._weights_digest()}-{self.layer}"
        home.mkdir(parents=True, exist_ok=True)
        names = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in wave.cpu().numpy()]
        files = [home / f"{name}.npy" for name in names]
        new = [number for number, file in enumerate(files) if not file.is_file()]
        if new:
            with torch.no_grad():
                made = self._states(wave[new]).to(torch.float16).cpu().numpy()
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
        self._identity = None

    def _samples_of_a_frame(self) -> int:
        samples = 1
        for kernel, stride in reversed(self.steps):
            samples = (samples - 1) * stride + kernel
        return samples


def _bundle(model: str) -> Wav2Vec2Bundle:
    from torchaudio import pipelines  # takes a while to import, and few detectors need it

    known = [
        name.lower()
        for name, bundle in vars(pipelines).items()
        if isinstance(bundle, pipelines.Wav2Vec2Bundle) and "_ASR_" not in name
    ]
    if model not in known:
        raise LabError(f"frontend.model={model}: no such model. Choose from {', '.join(sorted(known))}.")
    bundle: Wav2Vec2Bundle = getattr(pipelines, model.upper())
    return bundle


def _build(bundle: Wav2Vec2Bundle, parameters: Mapping[str, object]) -> Wav2Vec2Model:
    from torchaudio.models import wav2vec2_model, wavlm_model

    make = wavlm_model if bundle._model_type == "WavLM" else wav2vec2_model
    made: Wav2Vec2Model = make(**parameters)
    return made


def _save(file: Path, states: np.ndarray) -> None:
    """Writes embeddings whole or not at all; other processes may be doing the same."""
    partial = file.with_name(f".{os.getpid()}-{file.name}")
    np.save(partial, states)
    partial.replace(file)
