"""Model cards: what a detector weighs, what a second of audio costs it, and how far its convolutions hear."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deepfake_lab.models.detector import Detector
from deepfake_lab.models.ensemble import Ensemble
from deepfake_lab.types import SAMPLE_RATE

BATCHES = (1, 32)
"""Batch sizes at which the speed is measured."""
_REPEATS = 3
_LONG_S = 1.0


@dataclass(frozen=True)
class ModelCard:
    """Size and cost of a detector.

    Attributes:
        parameters: number of parameters.
        trainable: number of those that training changes.
        macs_per_second: multiply-accumulate operations for a second of audio, in convolutions, matrix products and
            recurrences; Fourier transforms and elementwise operations are not counted.
        real_time_factor: time to score a window over the window's length, by batch size.
        receptive_field_s: length of audio that one frame behind the last convolution depends on, in s; NaN without
            convolutions. Recurrences, attention and pooling hear all of a recording, whatever this says.
        device: where the speed was measured.
    """

    parameters: int
    trainable: int
    macs_per_second: float
    real_time_factor: dict[int, float]
    receptive_field_s: float
    device: str

    def metrics(self) -> dict[str, float]:
        """The card by MLflow names."""
        return {
            "model/parameters": self.parameters,
            "model/trainable_parameters": self.trainable,
            "model/macs_per_second": self.macs_per_second,
            "model/receptive_field_s": self.receptive_field_s,
        } | {f"model/real_time_factor/batch_{size}": factor for size, factor in self.real_time_factor.items()}


def card_of(detector: Detector) -> ModelCard:
    """Measures a detector on its own device, in a few forward passes of its window's length."""
    mode = detector.training
    detector.eval()
    try:
        return ModelCard(
            parameters=sum(parameter.numel() for parameter in detector.parameters()),
            trainable=sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad),
            macs_per_second=sum(map(_macs, _members(detector))) / detector.window_s,
            real_time_factor={size: _seconds(detector, size) / (size * detector.window_s) for size in BATCHES},
            receptive_field_s=max(filter(math.isfinite, map(_receptive_field, _members(detector))), default=math.nan),
            device=detector.eer_threshold.device.type,
        )
    finally:
        detector.train(mode)


def print_cards(cards: Sequence[tuple[str, str, ModelCard]]) -> None:
    """Prints model cards as a table.

    Args:
        cards: name of each model, its front-end, its card.
    """
    names = ("front-end", "parameters", "MMAC / s", *(f"RTF, batch {size}" for size in BATCHES), "reach (s)")
    table = Table("model", *names, title=f"Models on this {cards[0][2].device}", title_justify="left")
    for column in table.columns:
        column.no_wrap = True
    for model, frontend, card in cards:
        cells = [f"{card.macs_per_second / 1e6:,.1f}", *(f"{card.real_time_factor[size]:.4f}" for size in BATCHES)]
        reach = "-" if math.isnan(card.receptive_field_s) else f"{card.receptive_field_s:.2f}"
        table.add_row(model, frontend, f"{card.parameters:,}", *cells, reach)
    Console(width=max(100, Console().width)).print(table)
    print(
        "MMAC / s: million multiply-accumulates for a second of audio, without Fourier transforms.\n"
        "RTF: time to score a window over the window's length.\n"
        "Reach: what convolutions hear around a frame; recurrences, attention and pooling hear the whole recording."
    )


def _members(detector: Detector) -> list[Detector]:
    """The detectors that hear the waveform: those of an ensemble, or the detector itself."""
    if isinstance(detector, Ensemble):
        return [each for member in detector.members for each in _members(member)]
    return [detector]


def _macs(detector: Detector) -> float:
    """Multiply-accumulates of one window.

    The encoder's are counted where nothing is computed: a CPU's fused recurrences hide theirs from the counter.
    """
    wave = torch.zeros(1, detector.window_samples, device=detector.eer_threshold.device)
    with _without_fast_path(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        features = detector.features(wave)
        copy.deepcopy(detector.encoder).to("meta")(features.to("meta"))
    return float(counter.get_total_flops()) / 2 + detector.encoder.embedding_dim


@contextmanager
def _without_fast_path() -> Iterator[None]:
    """Keeps transformers from their fused kernel, which the counter does not know."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _seconds(detector: Detector, batch: int) -> float:
    """Median time to score a batch of windows, in s; of one pass alone, where that takes long."""
    device = detector.eer_threshold.device
    wave = 0.1 * torch.randn(batch, detector.window_samples, generator=torch.Generator().manual_seed(0)).to(device)
    times = []
    with torch.inference_mode():
        for _ in range(1 + _REPEATS):
            start = time.perf_counter()
            detector(wave).score.cpu()  # waits until a GPU is done
            times.append(time.perf_counter() - start)
            if times[0] > _LONG_S:
                return times[0]
    return statistics.median(times[1:])


def _receptive_field(detector: Detector) -> float:
    """Marks one frame by NaN and counts, behind the last convolution, the frames that it has reached.

    What one frame reaches in a layer that strides by s is 1 / s of what one frame of that layer hears.
    """
    frontend = detector.frontend
    frames = max(frontend.frames(detector.window_samples), 2 * detector.encoder.min_frames, 1)
    device = detector.eer_threshold.device
    features = torch.zeros(1, frontend.channels, frontend.bins, frames, device=device)
    features[..., frames // 2] = torch.nan
    reached: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output: reached.append(output))
        for module in detector.encoder.modules()
        if isinstance(module, nn.Conv1d | nn.Conv2d)
    ]
    try:
        with torch.inference_mode():
            detector.encoder(features)
    finally:
        for hook in hooks:
            hook.remove()
    if not reached:
        return float("nan")
    last = reached[-1].isnan().flatten(0, -2).any(dim=0)
    hop = detector.window_samples / frontend.frames(detector.window_samples) / SAMPLE_RATE
    return float(last.sum()) * frames / len(last) * hop
