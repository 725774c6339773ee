"""The detector: waveform to score, self-contained."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.frontends.transformer import Transformer
from deepfake_lab.models import finetuning
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.models.head import Head, LinearHead
from deepfake_lab.models.treatment import Treatment
from deepfake_lab.types import SAMPLE_RATE, LabError, Output

FRAME_HOP_S: Final = 0.08
"""Distance of scores over time, as near as a detector's own steps allow, in s."""
FROM_DEV: Final = ("calibration_scale", "calibration_offset", "eer_threshold")
"""Buffers of a detector that dev decides, not training."""


class Detector(nn.Module):
    """Front-end, encoder and a head whose one output is the score.

    The raw score of the usual, linear head is ``logit_bonafide - logit_spoof`` of two classes. Trained with the prior
    in the loss (`deepfake_lab.losses`) it estimates ``ln p(audio | bona fide) - ln p(audio | spoof)``.
    The score is ``calibration_scale * raw_score + calibration_offset``.

    Args:
        frontend: waveforms to features.
        encoder: makes the encoder, given the front-end's channels and bins.
        head: makes the head, given the components of an embedding; some losses want one of their own.
        treatment: what is done to windows first; None leaves them as they are.
        window_s: length of the windows that it is trained on, in s. It takes any other length as well.

    Attributes:
        calibration_scale: buffer, 1 unless calibrated.
        calibration_offset: buffer, 0 unless calibrated.
        eer_threshold: buffer, score at the EER of the development set; NaN until it is known.
        config: composed configuration that the detector was made from, as plain containers.
        trained_on: how the utterances were that it was trained on, counted: see `deepfake_lab.serving.quality.Census`.
        augment_features: what training does to features ``(B, C, F, L)``; no part of the detector's checkpoint.
    """

    calibration_scale: Tensor
    calibration_offset: Tensor
    eer_threshold: Tensor

    def __init__(
        self,
        frontend: Frontend,
        encoder: Callable[[int, int], Encoder],
        *,
        head: Callable[[int], Head] = LinearHead,
        treatment: Treatment | None = None,
        window_s: float = 4.0,
    ) -> None:
        super().__init__()
        self.treatment = treatment or Treatment()
        self.frontend = frontend
        self.augment_features: nn.Module = nn.Identity()
        self.encoder = encoder(frontend.channels, frontend.bins)
        self.head = head(self.encoder.embedding_dim)
        self.window_s = window_s
        self.min_samples = max(frontend.min_samples, _samples_for(self.encoder.min_frames, frontend))
        self.config: dict[str, object] | None = None
        self.trained_on: dict[str, list[int]] | None = None
        self._still: list[nn.Module] = []  # what is frozen
        self._learning_rates: dict[str, float] = {}  # of parameters by name
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

    def fine_tune(self, freeze: Sequence[str] = (), learning_rates: Mapping[str, float] | None = None) -> None:
        """Says what of it training changes, and how fast.

        Args:
            freeze: patterns over names of weights, such as ``encoder.*``. They stay as they are; so do statistics of
                batch norm where nothing else is left to train, and there is no dropout.
            learning_rates: by pattern over names of parameters. The first that fits counts, and comes before what the
                front-end says of its transformer.

        Raises:
            LabError: a pattern fits nothing, a rate is not positive, or nothing is left to train.
        """
        self._still = finetuning.freeze(self, freeze, apart=FROM_DEV)
        self._learning_rates = finetuning.learning_rates(self, learning_rates or {})

    def train(self, mode: bool = True) -> Detector:
        """Sets the mode; what is frozen stays as it is in use."""
        super().train(mode)
        finetuning.keep_still(self._still if mode else [])
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Trainable parameters for an optimizer, those without a learning rate of their own first."""
        rates: dict[str, float] = {}
        for name, module in self.named_modules():
            if isinstance(module, Transformer):
                tuned = (weight for weight, _ in module.backbone.named_parameters(prefix=f"{name}.backbone"))
                rates |= dict.fromkeys(tuned, module.learning_rate)
        rates |= self._learning_rates
        groups: dict[float | None, list[nn.Parameter]] = {None: []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                groups.setdefault(rates.get(name), []).append(parameter)
        return [{"params": groups.pop(None)}, *({"params": group, "lr": rate} for rate, group in groups.items())]

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

    def _transformers(self) -> Iterator[Transformer]:
        return (module for module in self.modules() if isinstance(module, Transformer))

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

    def forward(self, wave: Tensor, *, frames: bool = False) -> Output:
        """Scores a batch; front-end and head compute in float32, also under autocast.

        Args:
            wave: see `features`.
            frames: give scores over time too: the head's, of embeddings pooled over short stretches. Their times are
                those of `frame_times`.

        Returns:
            Scores ``(B,)``, raw scores ``(B,)``, embeddings ``(B, E)``, projections ``(B, P)`` and scores over time
            ``(B, S)``, float32.

        Raises:
            LabError: see `features`.
        """
        return self.of_features(self.features(wave), frames=frames)

    def of_features(self, features: Tensor, *, frames: bool = False) -> Output:
        """Scores features ``(B, C, F, L)`` as `features` gives them; see `forward`."""
        heard = self.augment_features(features) if self.training else features
        sequence = self.encoder.sequence(heard) if frames else None
        encoded = self.encoder(heard) if sequence is None else self.encoder.pool(sequence)
        local = None if sequence is None else self._local_embeddings(sequence)
        with torch.autocast(features.device.type, enabled=False):
            embedding = encoded.float()
            raw_score = self.head(embedding).squeeze(-1)
            projection = self.head.projection(embedding)
            frame_scores = embedding[:, :0]
            if local is not None:
                frame_scores = self.calibrated(self.head(local.float().flatten(0, 1)).view(local.shape[:2]))
        return Output(self.calibrated(raw_score), raw_score, embedding, projection, frame_scores)

    def frame_times(self, count: int) -> Tensor:
        """Middles of what scores over time stand for, in s from the beginning of the waveform ``(S,)``.

        Args:
            count: number S of scores.
        """
        width, hop = self._frame_grid
        steps = (width - 1) / 2 + hop * torch.arange(count)
        return (self.encoder.centre + steps * self.encoder.stride) * self.frontend.hop / SAMPLE_RATE

    @property
    def _frame_grid(self) -> tuple[int, int]:
        """Steps of the encoder's sequence that one score over time is of, and from one to the next."""
        step_s = self.encoder.stride * self.frontend.hop / SAMPLE_RATE
        return max(1, round(self.encoder.local_s / step_s)), max(1, round(FRAME_HOP_S / step_s))

    def _local_embeddings(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, S, E)`` of stretches of a sequence ``(B, ..., L')``; of all of it, where it is shorter."""
        width, hop = self._frame_grid
        last = max(sequence.shape[-1] - width, 0)
        stretches = (sequence[..., start : start + width] for start in range(0, last + 1, hop))
        return torch.stack([self.encoder.pool(stretch) for stretch in stretches], dim=1)


def _samples_for(frames: int, frontend: Frontend) -> int:
    """Smallest number of samples, up to a minute, of which the front-end makes so many frames."""
    return bisect_left(range(60 * SAMPLE_RATE), frames, key=frontend.frames)
