import math

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.frontends.spectrum import FilterBank, Spectrum, linear_filters, mel_filters, power
from deepfake_lab.types import LabError

SIZES = [(1024, 640, 320), (512, 512, 256), (512, 400, 160)]  # the last one's window does not fill the FFT
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def speechlike(samples=32_000):
    """A quiet chirp with clicks over noise 60 dB below: bins differ by many orders of magnitude."""
    time = torch.arange(samples) / 16_000
    wave = 0.3 * torch.sin(2 * math.pi * (100 * time + 1500 * time**2))
    wave[::4000] += 0.5
    return torch.stack([wave, torch.zeros_like(wave)]) + 3e-4 * torch.randn(
        2, samples, generator=torch.Generator().manual_seed(0)
    )


def make(sizes, engine="auto"):
    fft_size, window, hop = sizes
    return Spectrum(fft_size, torch.hann_window(window), hop, engine)


def assert_same_power(actual, expected):
    assert actual.shape == expected.shape
    assert (actual.cpu() - expected.cpu()).abs().max() <= 1e-5 * expected.max().cpu()


@pytest.mark.parametrize("sizes", SIZES)
def test_engines_give_the_same_power(sizes):
    wave = speechlike()
    assert_same_power(power(*make(sizes, "nnaudio")(wave)), power(*make(sizes, "fft")(wave)))


@needs_cuda
@pytest.mark.parametrize("engine", ["auto", "nnaudio", "fft"])
@pytest.mark.parametrize("sizes", SIZES)
def test_engines_give_the_same_power_on_cuda(sizes, engine):
    wave = speechlike()
    expected = power(*make(sizes, "fft")(wave))
    assert_same_power(power(*make(sizes, engine).cuda()(wave.cuda())), expected)


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_phase_is_the_same_for_a_window_without_symmetry(engine):
    window = torch.hann_window(400) * torch.arange(400)
    real, imaginary = Spectrum(512, window, 160, engine)(speechlike())
    expected = torch.stft(speechlike(), 512, 160, 400, window, pad_mode="reflect", return_complex=True)[:, :, :-1]
    assert (torch.complex(real, imaginary) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_power_is_the_definition(engine):
    """One frame in the middle against NumPy's transform of the windowed samples, in double precision."""
    fft_size, window, hop = 512, 400, 160
    wave = speechlike()[:1]
    frame = 57
    start = frame * hop - window // 2
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    expected = np.abs(np.fft.rfft(wave[0, start : start + window].double().numpy() * taper, fft_size)) ** 2
    computed = power(*make((fft_size, window, hop), engine)(wave))[0, :, frame]
    np.testing.assert_allclose(computed, expected, atol=1e-5 * expected.max())


def test_auto_on_a_cpu_is_fft_and_builds_no_kernels():
    spectrum = make(SIZES[0])
    wave = speechlike()
    assert torch.equal(spectrum(wave)[0], make(SIZES[0], "fft")(wave)[0])
    assert spectrum.kernels is None


def test_nnaudio_kernels_follow_the_module_but_stay_out_of_checkpoints():
    spectrum = make(SIZES[1], "nnaudio")
    assert not spectrum.state_dict()
    assert {buffer.device.type for buffer in spectrum.to("meta").buffers()} == {"meta"}


def test_kernels_first_used_in_inference_serve_training_too():
    """As in a run whose sanity check of dev, in inference mode, is the first to see a CUDA device."""
    spectrum = make(SIZES[1])
    spectrum.engine = "nnaudio"
    with torch.inference_mode():
        spectrum(speechlike())
    wave = speechlike().requires_grad_()
    power(*spectrum(wave)).sum().backward()
    assert wave.grad.abs().sum() > 0


def test_convolution_is_exact_and_the_setting_is_restored():
    seen = []
    spectrum = make(SIZES[1], "nnaudio")
    conv = torch.backends.cudnn.conv
    before = conv.fp32_precision
    spectrum.kernels.register_forward_pre_hook(lambda *_: seen.append(conv.fp32_precision))
    spectrum(speechlike())
    assert (seen, conv.fp32_precision) == (["ieee"], before)


def test_nnaudio_prints_nothing(capsys):
    make(SIZES[1], "nnaudio")(speechlike())
    assert capsys.readouterr().out == ""


@settings(max_examples=30, deadline=None)
@given(samples=st.integers(257, 5_000), hop=st.integers(1, 256))
def test_frames_are_whole_hops(samples, hop):
    real, imaginary = make((512, 400, hop))(torch.ones(1, samples))
    assert real.shape == imaginary.shape == (1, 257, samples // hop)


def test_window_longer_than_the_transform_is_refused():
    with pytest.raises(LabError, match="fft_size=512"):
        make((512, 640, 320))


@pytest.mark.parametrize("filters", [mel_filters, linear_filters])
@pytest.mark.parametrize(
    ("bins", "f_min", "f_max", "message"),
    [(600, 0, 8000, "raise fft_size=512"), (80, 0, 9000, "f_max=9000"), (80, 4000, 300, "f_min=4000")],
)
def test_filters_that_cannot_be_are_refused(filters, bins, f_min, f_max, message):
    with pytest.raises(LabError, match=message):
        filters(bins, 512, 16_000, f_min, f_max)


@pytest.mark.parametrize(("bins", "f_min", "f_max"), [(20, 0, 4000), (70, 0, 8000), (30, 300, 3400)])
def test_linear_filters_equal_torchaudio(bins, f_min, f_max):
    expected = torchaudio.functional.linear_fbanks(513, f_min, f_max, bins, 16_000).T
    torch.testing.assert_close(linear_filters(bins, 1024, 16_000, f_min, f_max), expected, rtol=0, atol=1e-5)


def test_trained_filters_never_make_power_negative():
    filters = FilterBank(linear_filters(20, 512, 16_000, 0, 8000), trainable=True)
    optimizer = torch.optim.SGD(filters.parameters(), 1.0)
    before = filters.weights.detach().clone()
    filters(torch.ones(1, 257, 3)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(filters.weights, before - 3 * (before > 0))  # each filter learns within its triangle
    assert (filters.weights < 0).any()
    assert (filters(torch.ones(1, 257, 3)) > 0).all()
