import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.mfcc import Mfcc
from deepfake_lab.frontends.raw import Raw
from deepfake_lab.frontends.stack import Stack, interpolated
from deepfake_lab.types import LabError


def test_parts_of_equal_hops_are_joined_as_they_are(wave):
    parts = {"mfcc": Mfcc(), "mel": Mel(32, 16.0)}
    assert torch.equal(Stack(parts)(wave), torch.cat([part(wave) for part in parts.values()], dim=2))


def test_other_hops_are_interpolated_to_the_times_of_the_shortest(wave):
    """The frames of both stand for multiples of their hops, 256 and 320 samples."""
    mfcc, mel = Mfcc(), Mel(32, 20.0)
    stacked = Stack({"mel": mel, "mfcc": mfcc})(wave)[0, 0]
    assert torch.equal(stacked[32:], mfcc(wave)[0, 0])
    times, known = 256 * np.arange(125), 320 * np.arange(100)
    expected = np.stack([np.interp(times, known, row) for row in mel(wave)[0, 0].numpy()])
    np.testing.assert_allclose(stacked[:32], expected, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(known=st.integers(1, 30), frames=st.integers(1, 60), step=st.floats(0.125, 1.0))
def test_interpolation_equals_numpy(known, frames, step):
    values = torch.randn(1, 2, known, generator=torch.Generator().manual_seed(known))
    expected = [np.interp(step * np.arange(frames), np.arange(known), row) for row in values[0].numpy()]
    np.testing.assert_allclose(interpolated(values, step, frames)[0], expected, atol=1e-5)


def test_time_of_a_click_is_the_same_in_all_parts():
    wave = torch.zeros(1, 32_000)
    wave[:, 16_000] = 1.0
    stacked = Stack({"fine": Mel(32, 8.0, 16.0), "coarse": Mel(32, 20.0, 40.0)})(wave)[0, 0]
    level = stacked - stacked.amin(dim=1, keepdim=True)
    centre = [(part.sum(dim=0) * torch.arange(250)).sum() / part.sum() for part in (level[:32], level[32:])]
    assert centre[0] == pytest.approx(125, abs=1)
    assert centre[1] == pytest.approx(125, abs=1)


def test_usual_stack_is_that_of_its_name(configured, wave):
    stack = configured("mfcc_cqt_flux")
    assert list(stack.parts) == ["mfcc", "cqt", "flux"]
    alone = [configured(name)(wave) for name in ("mfcc", "cqt", "spectral_flux")]
    assert torch.equal(stack(wave), torch.cat(alone, dim=2))
    assert configured("mfcc_cqt_flux", "parts.cqt.bins=72", "parts.mfcc.post.deltas=1").bins == 80 + 72 + 40


def test_no_parts_are_refused():
    with pytest.raises(LabError, match="name its parts"):
        Stack({})


def test_samples_are_not_stacked_with_frames():
    with pytest.raises(LabError, match=r"'raw': 1.* 8 times"):
        Stack({"mel": Mel(), "raw": Raw()})
