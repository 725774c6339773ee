"""Masks cover whole bins and whole frames, as wide as was drawn."""

import pytest
import torch

from deepfake_lab.augment.spec_augment import SpecAugment
from deepfake_lab.types import LabError


def covered(augmentation, rows=400, bins=40, frames=100):
    """Which bins ``(rows, F)`` and frames ``(rows, L)`` are covered throughout."""
    torch.manual_seed(0)
    features = torch.randn(rows, 2, bins, frames)
    after = augmentation(features)
    changed = after != features
    mean = features.mean(dim=(2, 3), keepdim=True).expand_as(features)
    torch.testing.assert_close(after[changed], mean[changed])
    changed = changed.all(dim=1)
    return changed.all(dim=2), changed.all(dim=1)


def test_one_mask_each_has_any_width_up_to_the_largest_and_any_place():
    for share, other in ((0.2, 0.0), (0.0, 0.1)):
        bins, frames = covered(SpecAugment(1, share, 1, other, p=1))
        masked, clear, widest = (bins, frames, 8) if share else (frames, bins, 10)
        assert not clear.any()
        width = masked.sum(dim=1)
        assert torch.bincount(width, minlength=widest + 1).min() > 15  # of 400 over 9 or 11 widths
        assert width.max() == widest
        edges = masked.int().diff(dim=1).abs().sum(dim=1)
        assert edges.max() <= 2
        share_of_rows = masked.float().mean(dim=0)
        assert share_of_rows.min() > 0
        assert share_of_rows.max() < 0.25


def test_bins_and_frames_together_and_several_masks():
    bins, frames = covered(SpecAugment(2, 0.2, 2, 0.1, p=1))
    assert bins.any(dim=1).float().mean() > 0.9
    assert frames.any(dim=1).float().mean() > 0.9
    assert bins.sum(dim=1).max() > 8


def test_what_has_one_bin_keeps_it():
    bins, frames = covered(SpecAugment(p=1), bins=1)
    assert not bins.any()
    assert frames.any()


@pytest.mark.parametrize("setting", [{"time_share": 1.2}, {"frequency_masks": -1}])
def test_senseless_settings_are_refused(setting):
    with pytest.raises(LabError, match="masks of a share"):
        SpecAugment(**setting)
