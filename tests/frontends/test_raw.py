import torch
import torchaudio

from deepfake_lab.frontends.raw import Raw


def test_is_the_waveform(wave):
    assert torch.equal(Raw()(wave), wave[:, None, None])


def test_pre_emphasis_equals_torchaudio(wave):
    expected = torchaudio.functional.preemphasis(wave, 0.97)[:, None, None]
    torch.testing.assert_close(Raw(pre_emphasis=0.97)(wave), expected)


def test_level_is_one_where_asked_for(wave):
    assert torch.isclose(Raw(normalise="level")(7 * wave).square().mean(), torch.tensor(1.0))
