"""Model cards: sizes and costs that can be worked out by hand."""

import math

import pytest
import torch
from torch import nn

from deepfake_lab.evaluation.cards import card_of
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import Encoder

BINS, WIDTH, SECONDS = 16, 8, 2.0
FRAMES = 100  # 20 ms


class Convolutions(Encoder):
    """Two convolutions over time, the first with a stride, and maybe a recurrence."""

    def __init__(self, channels, bins, recurrent):
        super().__init__()
        self.embedding_dim = WIDTH
        self.first = nn.Conv1d(bins, WIDTH, 5, stride=2, padding=2)
        self.second = nn.Conv1d(WIDTH, WIDTH, 3, padding=1)
        self.rnn = nn.LSTM(WIDTH, WIDTH, batch_first=True) if recurrent else None
        self.first.bias.requires_grad_(False)

    def forward(self, features):
        x = self.second(self.first(features[:, 0]))
        if self.rnn is not None:
            x = self.rnn(x.transpose(1, 2))[0].transpose(1, 2)
        return x.mean(dim=-1)


def card(recurrent=False):
    detector = Detector(Mel(bins=BINS, fft_size=640), lambda c, f: Convolutions(c, f, recurrent), window_s=SECONDS)
    return card_of(detector), detector


@pytest.mark.parametrize("recurrent", [False, True])
def test_parameters_and_multiply_accumulates_are_those_counted_by_hand(recurrent):
    found, _ = card(recurrent)
    rnn = 4 * WIDTH * (2 * WIDTH + 2) if recurrent else 0
    convolutions = BINS * WIDTH * 5 + WIDTH + WIDTH * WIDTH * 3 + WIDTH
    assert found.parameters == convolutions + rnn + WIDTH + 1
    assert found.trainable == found.parameters - WIDTH
    filters = BINS * 321 * FRAMES
    steps = FRAMES // 2
    macs = (
        filters + steps * (BINS * WIDTH * 5 + WIDTH * WIDTH * 3 + (4 * WIDTH * 2 * WIDTH if recurrent else 0)) + WIDTH
    )
    assert found.macs_per_second == pytest.approx(macs / SECONDS)


def test_receptive_field_of_strided_convolutions():
    assert card()[0].receptive_field_s == pytest.approx(9 * 0.02, abs=0.021)  # 5 + 2 x 2 frames


def test_no_convolutions_no_receptive_field():
    class Mean(Encoder):
        embedding_dim = BINS

        def forward(self, features):
            return features[:, 0].mean(dim=-1)

    found = card_of(Detector(Mel(bins=BINS), lambda c, f: Mean(), window_s=0.2))
    assert math.isnan(found.receptive_field_s)


def test_speed_is_measured_and_the_mode_is_left_as_it_was():
    found, detector = card()
    assert set(found.real_time_factor) == {1, 32}
    assert all(0 < factor < 10 for factor in found.real_time_factor.values())
    assert detector.training
    card_of(detector.eval())
    assert not detector.training
    names = {"model/parameters", "model/macs_per_second", "model/real_time_factor/batch_32"}
    assert names <= set(found.metrics())
    assert torch.backends.mha.get_fastpath_enabled()


def test_the_report_lists_every_model(lab):
    status, printed = lab("report", "what=models", "models=[crnn,crnn_mfcc]")
    assert status == 0, printed
    for word in ("crnn", "Mel", "crnn_mfcc", "Mfcc", "RTF, batch 32"):
        assert word in printed
    assert "did you mean crnn" in lab("report", "what=models", "models=[crn]")[1].lower()
    assert "what=model: no such report" in lab("report", "what=model")[1]
