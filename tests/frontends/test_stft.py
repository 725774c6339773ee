import librosa
import pytest
import torch
import torchaudio

from deepfake_lab.frontends.stft import Stft


def by_librosa(wave):
    return torch.from_numpy(
        librosa.stft(wave[0].numpy(), n_fft=512, hop_length=160, win_length=400, pad_mode="reflect")
    )


def by_torchaudio(wave):
    return torchaudio.transforms.Spectrogram(512, 400, 160, power=None)(wave)[0]


@pytest.mark.parametrize("reference", [by_librosa, by_torchaudio])
@pytest.mark.parametrize("engine", ["nnaudio", "fft"])
def test_equals(wave, engine, reference):
    features = Stft(10.0, 25.0, 512, normalise="none", engine=engine)(wave)
    expected = torch.log(reference(wave).abs().square() + 1e-5)[:, :-1]
    torch.testing.assert_close(features[0, 0], expected, rtol=0, atol=2e-3)


def test_four_seconds_have_257_bins_and_250_frames():
    assert Stft()(torch.zeros(2, 64_000)).shape == (2, 1, 257, 250)
