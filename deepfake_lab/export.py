"""`python -m deepfake_lab.export`: a checkpoint as ONNX, from the waveform to the score, for use without PyTorch."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from deepfake_lab.config import launch, resolved
from deepfake_lab.types import SAMPLE_RATE, LabError

if TYPE_CHECKING:
    from torch import Tensor

    from deepfake_lab.models.detector import Detector

TOLERANCE = 1e-4
"""Largest difference of scores between the exported model and the detector that is let pass."""


def export(composed: DictConfig) -> None:
    """Exports a detector, and compares its scores with the detector's at another batch size and length.

    Raises:
        LabError: the checkpoint or the output cannot be used, or the exported model gives other scores.
    """
    config = resolved(composed)
    output = Path(config["output"])
    if output.suffix != ".onnx" or not output.parent.is_dir():
        raise LabError(f"output={output}: name a file that ends in .onnx, in a folder that exists.")
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if not importlib.util.find_spec(name)]:
        raise LabError(f"{', '.join(missing)} must be installed to export: pip install 'deepfake-lab[export]'.")
    from deepfake_lab.checkpoint import load_detector
    from deepfake_lab.data.files import whole

    detector = load_detector(config["checkpoint"])
    with whole(output) as partial:
        write_onnx(detector, partial)
        difference = compare(detector, partial)
        if not difference < TOLERANCE:
            raise LabError(
                f"{output}: not written, its scores would be off by {difference:g}. Use the checkpoint itself."
            )
    print(
        f"{output}: input wave (batch, samples), float32, {SAMPLE_RATE} Hz, any number of samples from "
        f"{detector.min_samples} on; output score (batch), higher = more bona fide. "
        f"Trained on windows of {detector.window_samples} samples. Scores differ by {difference:.1e} at most."
    )


def write_onnx(detector: Detector, path: Path) -> None:
    """Writes the way from a waveform to its score, for any batch size and length."""
    import torch
    from torch import nn
    from torch.export import Dim

    class Score(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, wave: Tensor) -> Tensor:
            score: Tensor = self.detector(wave).score
            return score

    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations within the exporter
        program = torch.onnx.export(
            Score().eval(),
            (_noise(2, detector.window_samples),),
            dynamo=True,
            dynamic_shapes={"wave": {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}},
            input_names=["wave"],
            output_names=["score"],
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(
        sample_rate=str(SAMPLE_RATE),
        window_samples=str(detector.window_samples),
        eer_threshold=str(float(detector.eer_threshold)),
    )
    program.save(str(path))


def compare(detector: Detector, path: Path) -> float:
    """Largest difference of scores between an exported model and the detector, over several shapes of input."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    differences = []
    samples = detector.window_samples
    shorter = max(samples // 2, detector.min_samples)
    for batch, length in ((2, samples), (1, samples), (3, samples * 3 // 2 + 7), (1, shorter)):
        wave = _noise(batch, length)
        (found,) = session.run(["score"], {"wave": wave.numpy()})
        with torch.inference_mode():
            differences.append(float((torch.from_numpy(found) - detector(wave).score).abs().max()))
    return max(differences)


def _noise(batch: int, samples: int) -> Tensor:
    import torch

    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))


def main() -> None:
    """Entry point."""
    launch("export", export)


if __name__ == "__main__":
    main()
