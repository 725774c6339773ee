"""AttentionCRNN: its weights are shares of time, come out through a detector, and lie where the difference is."""

import pytest
import torch

from deepfake_lab.frontends.mel import Mel
from deepfake_lab.models.attention_crnn import AttentionCRNN, attention
from deepfake_lab.models.crnn import CRNN
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.treatment import Treatment
from deepfake_lab.types import LabError


def assert_shares(weights):
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 203])
def test_weights_are_shares_of_every_frame(frames):
    torch.manual_seed(0)
    encoder = AttentionCRNN(1, 32).eval()
    weights = encoder.attention(torch.randn(3, 1, 32, frames))
    assert weights.shape == (3, frames)
    assert_shares(weights)


def test_embedding_is_what_the_weights_make_of_the_states():
    torch.manual_seed(0)
    encoder = AttentionCRNN(1, 32).eval()
    with torch.no_grad():
        encoder.rate[0].weight.mul_(20)  # from nearly equal weights to decided ones
        encoder.rate[2].weight.mul_(20)
    features = torch.randn(2, 1, 32, 80)
    states, _ = encoder.recurrent(encoder.convolutions(features))
    weights = encoder.attention(features)[:, ::4] * 4
    assert weights.max() > 3 * weights.min()
    expected = encoder.embed(torch.einsum("bl,bld->bd", weights, states))
    torch.testing.assert_close(encoder(features), expected)


def test_learns_to_attend_to_the_moment_that_differs():
    """Both classes are noise but for 16 of 128 frames, anywhere, in which spoofs have a louder band."""
    torch.manual_seed(0)
    encoder = AttentionCRNN(1, 16, dropout=0.0)
    head = torch.nn.Linear(encoder.embedding_dim, 1)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], 3e-3)

    def batch(count):
        features = torch.randn(count, 1, 16, 128)
        begin = torch.randint(0, 112, (count, 1))
        inside = (torch.arange(128) >= begin) & (torch.arange(128) < begin + 16)
        spoof = torch.arange(count) % 2 == 1
        features[:, 0, 4:10] += 1.5 * (inside & spoof[:, None])[:, None]
        return features, spoof, inside

    for _ in range(60):
        features, spoof, _ = batch(16)
        optimizer.zero_grad()
        loss = torch.nn.functional.soft_margin_loss(head(encoder(features)).squeeze(1), 1.0 - 2.0 * spoof)
        loss.backward()
        optimizer.step()
    features, spoof, inside = batch(32)
    encoder.eval()
    weights = encoder.attention(features)
    share = (weights * inside).sum(1)[spoof]
    assert share.mean() > 3 * 16 / 128
    assert share.min() > 16 / 128


def test_comes_out_through_a_detector_for_the_frames_of_its_frontend():
    torch.manual_seed(0)
    detector = Detector(Mel(bins=32), AttentionCRNN, treatment=Treatment(band_hz=(0, 2_000))).eval()
    wave = torch.randn(2, 16_000)
    weights = attention(detector, wave)
    assert weights.shape == (2, detector.frontend.frames(16_000))
    assert_shares(weights)
    torch.testing.assert_close(weights, detector.encoder.attention(detector.frontend(detector.treatment(wave))))
    assert attention(detector, wave[:, :1]).shape[1] >= 1  # repeated, as it is scored
    assert not detector.frontend._forward_hooks


def test_other_encoders_have_none():
    with pytest.raises(LabError, match=r"CRNN has no attention.*model=attention_crnn"):
        attention(Detector(Mel(), CRNN), torch.randn(1, 16_000))
