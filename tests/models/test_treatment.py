"""Treatments: the level is equal, the band is limited, and a detector carries them along."""

import math

import numpy as np
import pytest
import torch
from make_detectors import FRONTENDS, small_detector

from deepfake_lab.checkpoint import build_detector, load_detector, save_detector
from deepfake_lab.models.treatment import Treatment
from deepfake_lab.types import LabError


def tone(hz, samples=16_000, peak=0.5):
    return torch.from_numpy((peak * np.sin(2 * np.pi * hz * np.arange(samples) / 16_000)).astype(np.float32))


def level_db(wave):
    return 10 * torch.log10(wave.square().mean(-1))


def test_leaves_audio_alone_unless_asked():
    wave = torch.randn(3, 1_000)
    assert torch.equal(Treatment(trim=True)(wave), wave)


@pytest.mark.parametrize("samples", [1, 160, 64_000])
def test_equalises_the_level_of_every_window(samples):
    wave = torch.randn(4, samples) * torch.tensor([1e-2, 0.1, 1.0, 10.0])[:, None]
    torch.testing.assert_close(level_db(Treatment(level_db=-26.0)(wave)), torch.full((4,), -26.0))


def test_silence_stays_silence_and_hiss_is_not_blown_up_beyond_60_db():
    treated = Treatment(level_db=-20.0)(torch.stack([torch.zeros(100), torch.full((100,), 1e-8)]))
    assert torch.equal(treated[0], torch.zeros(100))
    assert treated[1].max() == pytest.approx(1e-5)


@pytest.mark.parametrize(("hz", "passes"), [(60, False), (100, True), (3_000, True), (6_900, True), (7_800, False)])
def test_limits_the_band(hz, passes):
    wave = tone(hz)[None]
    treated = Treatment(band_hz=(80.0, 7_000.0))(wave)
    if passes:
        torch.testing.assert_close(treated, wave, atol=1e-5, rtol=0)
    else:
        assert level_db(treated)[0] < level_db(wave)[0] - 60


def test_a_band_of_everything_passes_everything():
    wave = torch.randn(2, 501)
    torch.testing.assert_close(Treatment(band_hz=(0, 8_000))(wave), wave)


@pytest.mark.parametrize("band", [(3_000, 80), (80, 9_000), (-1, 80), (80,)])
def test_impossible_bands_are_refused(band):
    with pytest.raises(LabError, match=r"treatment\.band_hz"):
        Treatment(band_hz=band)


def test_a_detector_hears_treated_audio_and_its_checkpoint_knows(tmp_path):
    config = small_detector({"band_hz": [0.0, 1000.0], "trim": True}, FRONTENDS[0])
    detector = build_detector(config).eval()
    wave = torch.randn(1, 16_000)
    plain = build_detector({key: value for key, value in config.items() if key != "treatment"}).eval()
    plain.load_state_dict(detector.state_dict())
    assert detector(wave).score.item() == plain(detector.treatment(wave)).score.item()
    assert not math.isclose(detector(wave).score.item(), plain(wave).score.item(), abs_tol=1e-4)
    save_detector(detector, tmp_path / "d.ckpt")
    again = load_detector(tmp_path / "d.ckpt")
    assert again.treatment.trim
    assert again(wave).score.item() == detector(wave).score.item()
