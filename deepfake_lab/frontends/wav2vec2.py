"""Embeddings of self-supervised transformers (wav2vec 2.0, XLS-R, HuBERT, WavLM) as features."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.transformer import Layer, Transformer
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torchaudio.models import Wav2Vec2Model
    from torchaudio.pipelines import Wav2Vec2Bundle

_WHERE_FROM = "https://download.pytorch.org/torchaudio/models/"


class Wav2Vec2(Transformer):
    """Hidden states of a self-supervised transformer, ``(B, T) -> (B, 1, dimensions, about T / 320)``.

    The architectures and weights are torchaudio's.

    Args:
        model: a bundle of `torchaudio.pipelines` in small letters: wav2vec2_base, wav2vec2_xlsr_300m, hubert_base,
            wavlm_base, ...
        layer: number of the layer to take, from 1, "all" or "each"; see `Transformer`.
        weights: file of weights; None: the place where torchaudio keeps what it has downloaded.
        frozen: keep the transformer as it is, without dropout; else it is trained as well.
        learning_rate: of the transformer, when it is trained.
        sizes: arguments of `torchaudio.models.wav2vec2_model` to change, such as {encoder_num_layers: 2}; then no
            published weights fit.

    Raises:
        LabError: there is no such model or layer.

    Source:
        Baevski et al., "wav2vec 2.0: A framework for self-supervised learning of speech representations", 2020.
    """

    def __init__(
        self,
        model: str = "wav2vec2_base",
        layer: Layer = "all",
        weights: str | None = None,
        frozen: bool = True,
        learning_rate: float = 1e-5,
        sizes: Mapping[str, Any] | None = None,
    ) -> None:
        bundle = _bundle(model)
        parameters = {**bundle._params, "aux_num_out": None, "encoder_layer_drop": 0.0, **(sizes or {})}
        backbone, layers = _build(bundle, parameters), int(parameters["encoder_num_layers"])
        super().__init__(model, backbone, layers=layers, layer=layer, frozen=frozen, learning_rate=learning_rate)
        self.bundle, self.weights = bundle, weights
        self.steps = [(kernel, stride) for _, kernel, stride in parameters["extractor_conv_layer_config"]]
        self.bins = int(parameters["encoder_embed_dim"])
        self.min_samples, self.hop = self._samples_of_a_frame(), math.prod(stride for _, stride in self.steps)

    def load_pretrained(self) -> None:
        """See `Transformer.load_pretrained`."""
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
        self.reloaded()

    def frames(self, samples: int) -> int:
        """Number of frames of a waveform of `samples` samples: what the convolutions leave."""
        for kernel, stride in self.steps:
            samples = (samples - kernel) // stride + 1
        return samples

    def states(self, wave: Tensor) -> Tensor:
        """See `Transformer.states`."""
        if self.bundle._normalize_waveform:
            wave = nn.functional.layer_norm(wave, wave.shape[-1:])
        states, _ = self.backbone.extract_features(wave, num_layers=self.wanted)  # type: ignore[operator]  # torchaudio's
        return self.taken(states)

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
