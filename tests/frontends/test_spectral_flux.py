import librosa
import numpy as np
import pytest
import torch

from deepfake_lab.frontends.mel import Mel
from deepfake_lab.frontends.spectral_flux import SpectralFlux
from deepfake_lab.types import LabError


@pytest.fixture(scope="module")
def log_mel(wave):
    power = librosa.feature.melspectrogram(
        y=wave[0].numpy(), sr=16_000, n_fft=512, hop_length=256, n_mels=80, pad_mode="reflect"
    )
    return np.log(power + 1e-6)[:, :-1]


@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_one_band_is_librosas_onset_strength(wave, log_mel, engine):
    expected = librosa.onset.onset_strength(S=log_mel, sr=16_000, center=False)
    flux = SpectralFlux(bands=1, normalise="none", engine=engine)(wave)
    np.testing.assert_allclose(flux[0, 0, 0], expected, atol=2e-3)


@pytest.mark.parametrize("bands", [20, 80])
def test_bands_are_librosas_onset_strength_of_sub_bands(wave, log_mel, bands):
    edges = list(range(0, 81, 80 // bands))
    expected = librosa.onset.onset_strength_multi(S=log_mel, sr=16_000, center=False, channels=edges)
    np.testing.assert_allclose(SpectralFlux(bands=bands, normalise="none")(wave)[0, 0], expected, atol=5e-3)


def test_unrectified_flux_adds_up_to_the_log_mel_spectrum(wave):
    flux = SpectralFlux(bands=80, rectify=False)(wave)
    mel = Mel(80, 16.0, 32.0, 512)(wave)
    torch.testing.assert_close(flux.cumsum(dim=-1) + mel[..., :1], mel, rtol=0, atol=1e-3)
    assert (flux < 0).any()


def test_trainable_filters_learn(wave):
    flux = SpectralFlux(trainable=True)
    flux(wave).sum().backward()
    (weights,) = flux.parameters()
    assert weights.grad.abs().sum() > 0


@pytest.mark.parametrize("bands", [0, 3, 81])
def test_bands_that_do_not_share_out_the_filters_are_refused(bands):
    with pytest.raises(LabError, match=f"bands={bands}: mels=80"):
        SpectralFlux(bands=bands)
