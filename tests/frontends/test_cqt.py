import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nnAudio.features.cqt import CQT1992v2
from scipy.signal.windows import hann

from deepfake_lab.frontends.cqt import Cqt
from deepfake_lab.types import LabError

FLOOR = 1e-7


def logarithm(magnitude):
    return torch.log(torch.as_tensor(magnitude).square() + FLOOR)


@pytest.mark.parametrize("sizes", [(84, 12, 62.5, 16.0), (30, 12, 400.0, 10.0), (100, 24, 300.0, 9.9375)])
def test_engines_equal_nnaudio(wave, sizes):
    """The last hop, 159 samples, is odd; the second number of bins is no whole number of octaves."""
    bins, per_octave, f_min, hop_ms = sizes
    public = CQT1992v2(
        16_000,
        round(16 * hop_ms),
        f_min,
        n_bins=bins,
        bins_per_octave=per_octave,
        pad_mode="constant",
        verbose=False,
    )
    expected = logarithm(public(wave))[None, ..., : 32_000 // round(16 * hop_ms)]
    for engine in ("blocks", "nnaudio", "auto"):
        features = Cqt(*sizes, normalise="none", engine=engine)(wave)
        torch.testing.assert_close(features, expected, rtol=0, atol=2e-3)


def test_power_is_the_definition(wave):
    """One frame of three filters, in double precision: Hann-windowed oscillations of Q periods around it."""
    samples, frame, hop = wave[0].double().numpy(), 40, 256
    quality = 1 / (2 ** (1 / 12) - 1)
    for number in (0, 40, 83):
        frequency = 62.5 * 2 ** (number / 12)
        length = int(np.ceil(quality * 16_000 / frequency))
        offsets = np.arange(length) - (length + 1) // 2
        window = hann(length, sym=False)
        kernel = window / window.sum() * np.exp(-2j * np.pi * frequency * offsets / 16_000)
        expected = logarithm(np.sqrt(length) * abs(np.sum(samples[frame * hop + offsets] * kernel)))
        assert Cqt(normalise="none")(wave)[0, 0, number, frame] == pytest.approx(expected.item(), abs=1e-3)


def test_tones_equal_librosa():
    """librosa rounds the lengths of filters otherwise and resamples, so only what is loud can be the same.

    Its Q is another for the same number of bins an octave, which filter_scale mends.
    """
    tones = torch.arange(5, 84, 12)
    time = torch.arange(32_000) / 16_000
    wave = 0.1 * torch.sin(2 * torch.pi * 62.5 * 2 ** (tones.unsqueeze(1) / 12) * time + tones.unsqueeze(1)).sum(dim=0)
    ratio = 2 ** (1 / 12)
    transform = librosa.cqt(
        wave.numpy(),
        sr=16_000,
        hop_length=256,
        fmin=62.5,
        n_bins=84,
        bins_per_octave=12,
        tuning=0.0,
        filter_scale=(ratio**2 - 1) / (ratio**2 + 1) / (ratio - 1),
        sparsity=0.0,
        res_type="soxr_vhq",
    )
    difference = (Cqt(normalise="none")(wave.unsqueeze(0))[0, 0] - logarithm(abs(transform))[:, :-1])[:, 10:-10].abs()
    assert difference[tones].max() < 0.02
    assert difference[torch.cat([tones - 1, tones + 1])].max() < 0.06


def test_a_tone_lies_in_its_bin_and_white_noise_in_all_alike():
    tone = torch.sin(2 * torch.pi * 62.5 * 2 ** (50 / 12) * torch.arange(32_000) / 16_000).unsqueeze(0)
    assert (Cqt()(tone)[0, 0].argmax(dim=0) == 50).all()
    noise = torch.randn(8, 64_000, generator=torch.Generator().manual_seed(0))
    power = Cqt()(noise)[:, 0, :, 10:-10].exp().mean(dim=(0, 2))
    assert (power > 1.2).all()
    assert (power < 1.8).all()


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(1, 3_000), hop=st.integers(1, 200))
def test_any_length_and_hop_equals_nnaudio(samples, hop):
    if samples < hop:
        return
    wave = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    sizes = (24, 12, 1000.0, hop / 16)
    torch.testing.assert_close(
        Cqt(*sizes, engine="blocks")(wave), Cqt(*sizes, engine="nnaudio")(wave), rtol=0, atol=1e-3
    )


def test_kernels_stay_out_of_checkpoints_and_print_nothing(capsys):
    cqt = Cqt(24, 12, 1000.0, engine="nnaudio")
    assert not cqt.state_dict()
    assert {buffer.device.type for buffer in cqt.to("meta").buffers()} == {"meta"}
    assert capsys.readouterr().out == ""


def test_kernels_first_used_in_inference_serve_training_too():
    cqt = Cqt(24, 12, 1000.0)
    cqt.engine = "nnaudio"
    wave = torch.randn(1, 4_000)
    with torch.inference_mode():
        cqt(wave)
    cqt(wave.requires_grad_()).sum().backward()
    assert wave.grad.abs().sum() > 0


@pytest.mark.parametrize(("bins", "f_min"), [(85, 62.5), (84, 65.0), (84, -1.0), (84, 0.0)])
def test_filters_beyond_the_range_are_refused(bins, f_min):
    with pytest.raises(LabError, match=rf"{bins} filters.*f_min={f_min:g}"):
        Cqt(bins, f_min=f_min)
