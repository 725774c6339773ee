"""The detector: waveform to score, self-contained."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.frontends.wav2vec2 import Wav2Vec2
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.models.treatment import Treatment
from deepfake_lab.types import SAMPLE_RATE, LabError, Output


class Detector(nn.Module):
    """Front-end, encoder and a linear head whose one output is the score.

    The raw score is ``logit_bonafide - logit_spoof`` of a two-class head, written as the one logit it is. Trained
    with the prior in the loss (`deepfake_lab.losses`) it estimates ``ln p(audio | bona fide) - ln p(audio | spoof)``.
    The score is ``calibration_scale * raw_score + calibration_offset``.

    Args:
        frontend: waveforms to features.
        encoder: makes the encoder, given the front-end's channels and bins.
        treatment: what is done to windows first; None leaves them as they are.
        window_s: length of the windows that it is trained on, in s. It takes any other length as well.

    Attributes:
        calibration_scale: buffer, 1 unless calibrated.
        calibration_offset: buffer, 0 unless calibrated.
        eer_threshold: buffer, score at the EER of the development set; NaN until it is known.
        config: composed configuration that the detector was made from, as plain containers.
    """

    calibration_scale: Tensor
    calibration_offset: Tensor
    eer_threshold: Tensor

    def __init__(
        self,
        frontend: Frontend,
        encoder: Callable[[int, int], Encoder],
        *,
        treatment: Treatment | None = None,
        window_s: float = 4.0,
    ) -> None:
        super().__init__()
        self.treatment = treatment or Treatment()
        self.frontend = frontend
        self.encoder = encoder(frontend.channels, frontend.bins)
        self.head = nn.Linear(self.encoder.embedding_dim, 1)
        self.window_s = window_s
        self.min_samples = max(frontend.min_samples, _samples_for(self.encoder.min_frames, frontend))
        self.config: dict[str, object] | None = None
        self.register_buffer("calibration_scale", torch.tensor(1.0))
        self.register_buffer("calibration_offset", torch.tensor(0.0))
        self.register_buffer("eer_threshold", torch.tensor(math.nan))

    @property
    def window_samples(self) -> int:
        """Length of the windows that it is trained on, in samples."""
        return round(self.window_s * SAMPLE_RATE)

    def load_pretrained(self) -> None:
        """Takes over published weights where the front-end builds on some; only a new detector needs that.

        Raises:
            LabError: they are not there; the message says what to put where.
        """
        for transformer in self._transformers():
            transformer.load_pretrained()

    def cache_embeddings(self, folder: Path) -> None:
        """Has frozen transformers keep what they make of each window, and reuse it over epochs and runs."""
        for transformer in self._transformers():
            transformer.cache = folder

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters for an optimizer: those of transformers have a learning rate of their own."""
        groups: list[dict[str, Any]] = []
        own: set[nn.Parameter] = set()
        for transformer in self._transformers():
            tuned = [parameter for parameter in transformer.backbone.parameters() if parameter.requires_grad]
            own.update(tuned)
            groups += [{"params": tuned, "lr": transformer.learning_rate}] if tuned else []
        rest = [parameter for parameter in self.parameters() if parameter.requires_grad and parameter not in own]
        return [{"params": rest}, *groups]

    def calibrate(self, scale: float, offset: float) -> None:
        """Makes the score ``scale * raw_score + offset``, whatever it was before, and takes the threshold along.

        Args:
            scale: positive, so that the order of trials stays.
            offset: what is added.

        Raises:
            LabError: the scale is not positive, or one of the two is not finite.
        """
        if not (0 < scale < math.inf and math.isfinite(offset)):
            raise LabError(f"scale={scale}, offset={offset}: a calibration has a positive scale, and both are finite.")
        threshold = float((self.eer_threshold.double() - self.calibration_offset) / self.calibration_scale)
        self.calibration_scale.fill_(scale)
        self.calibration_offset.fill_(offset)
        self.eer_threshold.fill_(scale * threshold + offset)

    def calibrated(self, raw_score: Tensor) -> Tensor:
        """Scores ``(B,)`` of raw scores ``(B,)``."""
        return self.calibration_scale * raw_score + self.calibration_offset

    def _transformers(self) -> Iterator[Wav2Vec2]:
        return (module for module in self.modules() if isinstance(module, Wav2Vec2))

    def features(self, wave: Tensor) -> Tensor:
        """What the encoder hears, computed in float32, also under autocast.

        Args:
            wave: waveforms ``(B, T)``, 16 kHz, of any length: what is too short for a frame is repeated.

        Returns:
            Features ``(B, C, F, L)``, float32.

        Raises:
            LabError: the waveforms are not a non-empty rectangle.
        """
        if wave.dim() != 2 or wave.shape[-1] == 0:
            shape = tuple(wave.shape)
            raise LabError(
                f"A detector takes waveforms (B, T) with T > 0, not {shape}: add a dimension or skip empty audio."
            )
        if wave.shape[-1] < self.min_samples:
            wave = wave.repeat(1, math.ceil(self.min_samples / wave.shape[-1]))
        with torch.autocast(wave.device.type, enabled=False):
            features: Tensor = self.frontend(self.treatment(wave.float()))
        return features

    def forward(self, wave: Tensor) -> Output:
        """Scores a batch; front-end and head compute in float32, also under autocast.

        Args:
            wave: see `features`.

        Returns:
            Scores ``(B,)``, raw scores ``(B,)`` and embeddings ``(B, E)``, float32.

        Raises:
            LabError: see `features`.
        """
        encoded = self.encoder(self.features(wave))
        with torch.autocast(wave.device.type, enabled=False):
            embedding = encoded.float()
            raw_score = self.head(embedding).squeeze(-1)
        return Output(self.calibrated(raw_score), raw_score, embedding)


def _samples_for(frames: int, frontend: Frontend) -> int:
    """Smallest number of samples, up to a minute, of which the front-end makes so many frames."""
    return bisect_left(range(60 * SAMPLE_RATE), frames, key=frontend.frames)
