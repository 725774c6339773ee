"""Recordings to disturb, and others to disturb them with."""

import math

import numpy as np
import pytest
import soundfile
import torch


@pytest.fixture(scope="session")
def voice():
    """Half a second of harmonics with vibrato over faint noise ``(8000,)``, float32."""
    time = torch.arange(8_000) / 16_000
    phase = 2 * math.pi * 140 * time + 3 * torch.sin(2 * math.pi * 5 * time)
    harmonics = sum(torch.sin(k * phase) / k for k in range(1, 40))
    wave = 0.1 * harmonics + 0.001 * torch.randn(8_000, generator=torch.Generator().manual_seed(1))
    return wave


@pytest.fixture(scope="session")
def noises(tmp_path_factory):
    """Folder of three stereo files at 48 kHz, of 0.2 to 2 s, whose right channel is louder, and of what is no audio."""
    folder = tmp_path_factory.mktemp("noises")
    draw = np.random.default_rng(2)
    for number, seconds in enumerate((0.2, 1.0, 2.0)):
        samples = draw.standard_normal((round(48_000 * seconds), 2)) * (0.01, 0.1)
        (folder / "deep").mkdir(exist_ok=True)
        soundfile.write(folder / "deep" / f"{number}.wav", samples, 48_000)
    (folder / "LICENSE").write_text("Public domain.\n")
    return folder
