"""Writes checkpoints of small detectors that tell hiss from tones: members for ensembles."""

from pathlib import Path

import torch

from deepfake_lab.checkpoint import build_detector, save_detector
from deepfake_lab.models.detector import Detector

FRONTENDS = (
    {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 16},
    {"_target_": "deepfake_lab.frontends.lfcc.Lfcc"},
)


def small_detector(treatment: dict, frontend: dict, window_s: float = 4.0) -> dict:
    """Configuration of a CRNN of a few hundred parameters."""
    return {
        "_target_": "deepfake_lab.models.detector.Detector",
        "treatment": {"_target_": "deepfake_lab.models.treatment.Treatment", **treatment},
        "frontend": frontend,
        "encoder": {
            "_target_": "deepfake_lab.models.crnn.CRNN",
            "_partial_": True,
            "widths": [4, 4, 4, 4],
            "hidden": 4,
            "embedding_dim": 4,
        },
        "window_s": window_s,
    }


def hiss_and_tones(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """So many waveforms of half a second, by turns hiss and tones, and their labels 0 and 1."""
    label = torch.arange(number) % 2
    tones = torch.sin(torch.arange(8_000) * torch.linspace(0.1, 1.0, number).unsqueeze(1))
    return 0.1 * torch.where(label.bool().unsqueeze(1), tones, torch.randn(number, 8_000)), label


def train(detector: Detector) -> None:
    """A few steps, so that scores differ."""
    optimizer = torch.optim.Adam(detector.parameters(), 1e-2)
    for _ in range(15):
        wave, label = hiss_and_tones(8)
        optimizer.zero_grad()
        torch.nn.functional.soft_margin_loss(detector(wave).raw_score, 1.0 - 2.0 * label).backward()
        optimizer.step()


def make_detectors(folder: Path, windows_s=(0.4, 0.4), trims=(False, False)) -> list[Path]:
    """Two detectors with different front-ends, and the windows and treatments asked for."""
    paths = []
    for number, (frontend, window_s, trim) in enumerate(zip(FRONTENDS, windows_s, trims, strict=True)):
        torch.manual_seed(number)
        detector = build_detector(small_detector({"trim": trim, "level_db": -20.0}, frontend, window_s))
        train(detector)
        detector.calibrate(2.0 + number, 0.5 - number)
        paths.append(folder / f"{number}.ckpt")
        save_detector(detector, paths[-1])
    return paths
