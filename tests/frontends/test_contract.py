"""What every front-end under conf/frontend must do, whatever it computes."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.types import LabError

NAMES = sorted(file.stem for file in (Path(__file__).parents[2] / "conf" / "frontend").glob("*.yaml"))
WITH_FREQUENCIES = {"cqt", "mel", "phase", "spectral_flux", "stft"}
"""Those whose bins are bands of frequency: the others' are cepstra, embeddings, samples, or of several kinds."""


@pytest.fixture(params=NAMES, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def frontend(name, configured):
    return configured(name)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_shape_is_what_its_arithmetic_says(frontend):
    @settings(max_examples=20, deadline=None)
    @given(samples=st.integers(frontend.min_samples, 20_000))
    def check(samples):
        features = frontend(noise(1, samples))
        assert features.shape == (1, frontend.channels, frontend.bins, frontend.frames(samples))
        assert features.dtype == torch.float32

    check()


def without_transformer(name):
    if "wav2vec2" in name or "whisper" in name:
        pytest.skip("a transformer hears the whole recording and is a part of the checkpoint")


def test_frame_i_is_about_the_time_of_i_hops(name, frontend):
    """Noise between two silences: what differs from silence lies where the noise is."""
    without_transformer(name)
    wave = torch.zeros(1, 24_000)
    wave[:, 10_000:12_000] = noise(2_000)
    changes = frontend(wave).diff(dim=-1).abs().amax(dim=(0, 1, 2))
    active = torch.nonzero(changes > 0.05 * changes.max()) * frontend.hop
    margin = max(frontend.min_samples, 2_500)
    assert 10_000 - margin < active.min() < active.max() < 12_000 + margin
    assert 24_000 // frontend.hop - frontend.frames(24_000) in (0, 1)  # one less where windows are not padded


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


def test_gradients_are_true(name, configured):
    """An adversary follows them: finite differences agree, in float64."""
    without_transformer(name)
    frontend = configured(name).double()
    wave = noise(1, 2_400).double().requires_grad_()
    assert torch.autograd.gradcheck(frontend, wave, eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True)


def test_keeps_nothing_in_checkpoints(name, frontend):
    without_transformer(name)
    trainable = {name for name, parameter in frontend.named_parameters() if parameter.requires_grad}
    assert set(frontend.state_dict()) == trainable


def test_moves_between_devices_as_a_whole(name, configured, frontend):
    """The meta device stands for any other: a tensor left behind on the CPU raises."""
    moved = configured(name).to("meta")
    features = moved(torch.empty(2, 16_000, device="meta"))
    assert (features.device.type, features.shape) == ("meta", frontend(noise(2, 16_000)).shape)


@pytest.mark.parametrize("hertz", [500, 1_500, 3_500])
def test_frequencies_are_where_tones_are_heard(name, frontend, hertz):
    centres = frontend.frequencies
    assert (centres is not None) == (name in WITH_FREQUENCIES)
    if centres is None:
        pytest.skip("its bins are no bands")
    assert centres.shape == (frontend.bins // (1 + frontend.post.deltas),)
    assert (centres.diff() > 0).all()
    assert 0 <= centres[0] < centres[-1] <= 8_000
    hiss = noise(1, 16_000)
    tone = 0.05 * torch.sin(2 * math.pi * hertz * torch.arange(16_000) / 16_000)
    tone[:8_000] = 0
    heard = (frontend(hiss + tone) - frontend(hiss)).square().sum(dim=(0, 1, 3))[: len(centres)]
    assert abs(int(heard.argmax()) - int((centres - hertz).abs().argmin())) <= 2
