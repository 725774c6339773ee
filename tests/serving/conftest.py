"""A detector that says something of every window, and somebody who speaks."""

import functools
import math

import numpy as np
import pytest
import torch

from deepfake_lab.checkpoint import build_detector, save_detector
from deepfake_lab.synthesis.espeak import Espeak

ENCODER = {"widths": [4, 4, 4, 4], "hidden": 4, "embedding_dim": 4, "_partial_": True}


@pytest.fixture(scope="session")
def detector():
    """An untrained CRNN of half-second windows whose scores are spread around 0 on speech."""
    torch.manual_seed(0)
    made = build_detector(
        {
            "_target_": "deepfake_lab.models.detector.Detector",
            "frontend": {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 16},
            "encoder": {"_target_": "deepfake_lab.models.crnn.CRNN", **ENCODER},
            "window_s": 0.5,
        }
    ).eval()
    with torch.inference_mode():
        scores = made(torch.from_numpy(talk(8.0)).view(-1, 8_000)).score
    scale = 3 / float(scores.std())
    made.calibrate(scale, -scale * float(scores.mean()))
    return made


@pytest.fixture(scope="session")
def checkpoint(detector, tmp_path_factory):
    """Its file."""
    path = tmp_path_factory.mktemp("detector") / "detector.ckpt"
    save_detector(detector, path)
    return path


@functools.cache
def sentence(seed):
    return Espeak().speak("We walked along the canal until it rained.", "en", seed, 2.5)


def talk(seconds, seed=0):
    """Somebody who speaks for so long: (T,) at 16 kHz."""
    return np.tile(sentence(seed), math.ceil(seconds / 2))[: round(seconds * 16_000)]


@pytest.fixture(scope="session")
def speech():
    """See `talk`."""
    return talk
