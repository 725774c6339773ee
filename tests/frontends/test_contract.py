"""What every front-end under conf/frontend must do, whatever it computes."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from deepfake_lab.types import LabError

FILES = sorted((Path(__file__).parents[2] / "conf" / "frontend").glob("*.yaml"))


@pytest.fixture(params=FILES, ids=lambda file: file.stem, scope="module")
def file(request):
    return request.param


@pytest.fixture(scope="module")
def frontend(file):
    return instantiate(OmegaConf.load(file))


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_shape_is_what_its_arithmetic_says(frontend):
    @settings(max_examples=30, deadline=None)
    @given(samples=st.integers(frontend.min_samples, 20_000))
    def check(samples):
        features = frontend(noise(1, samples))
        assert features.shape == (1, frontend.channels, frontend.bins, frontend.frames(samples))
        assert features.dtype == torch.float32

    check()


def test_shortest_waveform_has_a_frame_and_a_shorter_one_is_refused(frontend):
    assert frontend.frames(frontend.min_samples) >= 1
    assert torch.isfinite(frontend(noise(2, frontend.min_samples))).all()
    with pytest.raises(LabError, match=rf"{frontend.min_samples - 1} samples.*at least {frontend.min_samples}"):
        frontend(noise(2, frontend.min_samples - 1))


def test_features_do_not_depend_on_the_batch(frontend):
    wave = noise(3, 16_000) * torch.tensor([[1.0], [1e-3], [5.0]])
    alone = torch.cat([frontend(row.unsqueeze(0)) for row in wave])
    torch.testing.assert_close(frontend(wave), alone, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("silent", [0, 8_000, 16_000])
def test_gradients_are_finite_at_digital_silence(frontend, silent):
    wave = noise(2, 16_000)
    wave[:, :silent] = 0
    wave.requires_grad_()
    features = frontend(wave)
    features.square().sum().backward()
    assert torch.isfinite(features).all()
    assert torch.isfinite(wave.grad).all()


def test_keeps_nothing_in_checkpoints(frontend):
    trainable = {name for name, parameter in frontend.named_parameters() if parameter.requires_grad}
    assert set(frontend.state_dict()) == trainable


def test_moves_between_devices_as_a_whole(file, frontend):
    """The meta device stands for any other: a tensor left behind on the CPU raises."""
    moved = instantiate(OmegaConf.load(file)).to("meta")
    features = moved(torch.empty(2, 16_000, device="meta"))
    assert (features.device.type, features.shape) == ("meta", frontend(noise(2, 16_000)).shape)
