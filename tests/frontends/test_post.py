"""Deltas and normalisation, alone and on every front-end."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from sklearn.preprocessing import StandardScaler

from deepfake_lab.frontends.post import Post

WITH_POST = sorted(
    file.stem
    for file in (Path(__file__).parents[2] / "conf" / "frontend").glob("*.yaml")
    if "post:" in file.read_text()
)


@pytest.fixture
def features():
    return torch.randn(2, 3, 5, 40, generator=torch.Generator().manual_seed(0)).cumsum(dim=-1)


def test_nothing_is_done_unless_asked_for(features):
    assert Post()(features) is features


def test_deltas_equal_torchaudio(features):
    slope = torchaudio.functional.compute_deltas(features, win_length=3)
    bend = torchaudio.functional.compute_deltas(slope, win_length=3)
    torch.testing.assert_close(Post(deltas=1)(features), torch.cat([features, slope], dim=2))
    torch.testing.assert_close(Post(deltas=2)(features), torch.cat([features, slope, bend], dim=2))


@pytest.mark.parametrize("cmvn", ["mean", "mean_variance"])
def test_normalisation_equals_scikit_learn(features, cmvn):
    scaler = StandardScaler(with_std=cmvn == "mean_variance")
    expected = np.stack(
        [[scaler.fit_transform(bins.T).T for bins in channels] for channels in features.double().numpy()]
    )
    np.testing.assert_allclose(Post(cmvn=cmvn)(features), expected, atol=1e-4)


def test_bins_that_never_change_are_zero():
    constant = torch.full((1, 1, 4, 30), 7.0, requires_grad=True)
    normalised = Post(deltas=2, cmvn="mean_variance")(constant)
    normalised.sum().backward()
    assert (normalised == 0).all()
    assert torch.isfinite(constant.grad).all()


@pytest.mark.parametrize("name", WITH_POST)
def test_every_front_end_takes_it(configured, wave, name):
    plain = configured(name, "post.deltas=0")
    frontend = configured(name, "post.deltas=1", "post.cmvn=mean_variance")
    assert frontend.bins == 2 * plain.bins
    expected = Post(deltas=1, cmvn="mean_variance")(plain(wave))
    assert torch.equal(frontend(wave), expected)
    assert expected.shape[2] == frontend.bins
    assert not torch.equal(expected[:, :, : plain.bins], plain(wave))


def test_every_front_end_but_stacks_was_tested():
    assert {"mel", "mfcc", "lfcc", "cqt", "spectral_flux", "phase", "stft", "raw"} <= set(WITH_POST)
