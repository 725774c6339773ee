"""Hybrid: two branches, each with its share of the bins and of the embedding."""

import pytest
import torch

from deepfake_lab.models.hybrid import Hybrid
from deepfake_lab.types import LabError


def changed_halves(model, features, bins):
    """Which halves of the embedding change with some bins."""
    other = features.clone()
    other[:, :, bins] += torch.randn_like(other[:, :, bins])
    with torch.inference_mode():
        difference = (model(features) - model(other)).abs().unflatten(1, (2, -1)).amax((0, 2))
    return (difference > 0).tolist()


@pytest.mark.parametrize(
    ("transformer_bins", "first", "last"), [(None, [True, True], [True, True]), (24, [True, False], [False, True])]
)
def test_each_branch_sees_its_bins_and_makes_half_of_the_embedding(transformer_bins, first, last):
    torch.manual_seed(0)
    model = Hybrid(2, 44, transformer_bins).eval()
    features = torch.randn(2, 2, 44, 40)
    assert changed_halves(model, features, slice(20)) == first
    assert changed_halves(model, features, slice(20, None)) == last


def test_crnn_half_is_a_crnn():
    torch.manual_seed(0)
    model = Hybrid(1, 60, transformer_bins=28).eval()
    features = torch.randn(2, 1, 60, 40)
    torch.testing.assert_close(model(features)[:, :64], model.crnn(features[:, :, :32]))


def test_every_moment_of_the_transformer_hears_every_other():
    torch.manual_seed(0)
    transformer = Hybrid(1, 16).transformer.eval()
    features = torch.randn(1, 1, 16, 800)
    other = features.clone()
    other[..., -1] += 3
    frames, changed = transformer(features), transformer(other)
    assert frames.shape == (1, 200, 128)
    assert (frames - changed).abs().amax((0, 2)).min() > 0


def test_transformer_tells_order():
    """Attention alone would say the same of frames in any order."""
    torch.manual_seed(0)
    transformer = Hybrid(1, 16).transformer.eval()
    transformer.project = torch.nn.Identity()
    frames, order = torch.randn(1, 128, 40), torch.randperm(40)
    difference = transformer(frames).mean(1) - transformer(frames[..., order]).mean(1)
    assert difference.abs().max() > 1e-2


def test_layers_begin_unlike_each_other():
    first, second, _ = Hybrid(1, 16).transformer.layers
    assert not torch.equal(first.linear1.weight, second.linear1.weight)


@pytest.mark.parametrize("bins", [0, 128, 200, -1])
def test_shares_that_leave_a_branch_nothing_are_refused(bins):
    with pytest.raises(LabError, match=rf"transformer_bins={bins}: of 128 bins"):
        Hybrid(1, 128, transformer_bins=bins)


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ({"transformer_bins": 120}, "Hybrid's CRNN needs at least 16 bins a frame and its front-end gives 8"),
        ({"embedding_dim": 63}, "embedding_dim=63 must be even"),
        ({"width": 30}, "width=30 a multiple of heads=4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, complaint):
    with pytest.raises(LabError, match=complaint):
        Hybrid(1, 128, **sizes)
