import pytest
import torch
from make_detectors import hiss_and_tones, make_detectors

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.models.ensemble import Ensemble


@pytest.fixture(scope="session")
def detectors(tmp_path_factory):
    """A calibrated detector in training mode, and an ensemble of it and another."""
    paths = make_detectors(tmp_path_factory.mktemp("detectors"))
    first, second = map(load_detector, paths)
    return {"detector": first.train(), "ensemble": Ensemble([load_detector(paths[0]), second]).train()}


@pytest.fixture(scope="session")
def trials():
    """Waveforms ``(8, 8000)``, one of them nearly full scale, and labels ``(8,)``."""
    torch.manual_seed(5)
    wave, label = hiss_and_tones(8)
    wave[1] *= 10
    return wave, label
