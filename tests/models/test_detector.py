import math

import pytest
import torch

from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.models.crnn import CRNN
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.types import LabError


class Frames(Frontend):
    """Means and maxima of frames of 10 samples."""

    def __init__(self):
        super().__init__()
        self.channels, self.bins, self.min_samples = 1, 2, 10

    def frames(self, samples):
        return samples // 10

    def features(self, wave):
        frames = wave[:, : wave.shape[-1] // 10 * 10].unflatten(-1, (-1, 10))
        return torch.stack([frames.mean(-1), frames.amax(-1)], dim=1).unsqueeze(1)


class Mean(Encoder):
    """Means over time of the features; needs three frames."""

    min_frames = 3

    def __init__(self, channels, bins):
        super().__init__()
        self.embedding_dim = channels * bins

    def forward(self, features):
        assert features.shape[-1] >= self.min_frames
        return features.flatten(1, 2).mean(-1)


@pytest.fixture
def detector():
    torch.manual_seed(0)
    return Detector(Frames(), Mean, window_s=1.5).eval()


def test_raw_score_is_the_head_of_the_embedding(detector):
    output = detector(torch.randn(3, 50))
    expected = output.embedding @ detector.head.weight[0] + detector.head.bias
    torch.testing.assert_close(output.raw_score, expected)
    torch.testing.assert_close(output.score, expected)


def test_calibration_is_applied_to_the_score_alone(detector):
    wave = torch.randn(3, 50)
    raw = detector(wave).raw_score
    detector.calibration_scale.fill_(2.0)
    detector.calibration_offset.fill_(-1.0)
    output = detector(wave)
    assert torch.equal(output.raw_score, raw)
    torch.testing.assert_close(output.score, 2 * raw - 1)


def test_what_it_knows_besides_weights_travels_in_the_state_dict(detector):
    extra = {name: value.item() for name, value in detector.state_dict().items() if not name.startswith("head")}
    assert math.isnan(extra.pop("eer_threshold"))
    assert extra == {"calibration_scale": 1.0, "calibration_offset": 0.0}


def test_window_and_shortest_input_in_samples(detector):
    assert detector.window_samples == 24_000
    assert detector.min_samples == 30  # three frames


@pytest.mark.parametrize("samples", [1, 7, 10, 29])
def test_too_short_audio_is_repeated_as_a_whole(detector, samples):
    wave = torch.randn(2, samples)
    repeated = wave.repeat(1, math.ceil(30 / samples))
    assert torch.equal(detector(wave).score, detector(repeated).score)


@pytest.mark.parametrize("shape", [(50,), (2, 0), (1, 2, 50)])
def test_anything_but_a_rectangle_of_samples_is_refused(detector, shape):
    with pytest.raises(LabError, match="waveforms"):
        detector(torch.zeros(shape))


def test_half_precision_waveforms_are_scored_in_single(detector):
    wave = torch.randn(2, 50)
    assert torch.equal(detector(wave.half()).score, detector(wave.half().float()).score)


def test_crnn_wants_a_width_a_block():
    with pytest.raises(LabError, match=r"widths=\[8, 8\].*4 blocks"):
        CRNN(1, 128, widths=[8, 8])


def test_calibrating_again_replaces_and_takes_the_threshold_along(detector):
    wave = torch.randn(3, 50)
    raw = detector(wave).raw_score
    detector.eer_threshold.fill_(raw.median().item())
    for scale, offset in ((2.0, -1.0), (0.5, 3.0), (0.5, 3.0)):
        detector.calibrate(scale, offset)
        output = detector(wave)
        assert torch.equal(output.raw_score, raw)
        torch.testing.assert_close(output.score, scale * raw + offset)
        torch.testing.assert_close(detector.eer_threshold, output.score.median())


def test_calibrating_before_there_is_a_threshold_makes_none(detector):
    detector.calibrate(2.0, 1.0)
    assert detector.eer_threshold.isnan()


@pytest.mark.parametrize(("scale", "offset"), [(0.0, 0.0), (-1.0, 0.0), (math.inf, 0.0), (1.0, math.nan)])
def test_a_calibration_that_would_turn_or_break_scores_is_refused(detector, scale, offset):
    with pytest.raises(LabError, match="positive scale"):
        detector.calibrate(scale, offset)
