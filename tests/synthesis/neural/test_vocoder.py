"""Trained vocoders as synthesis systems and as files."""

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from make_openprompts import speech
from omegaconf import OmegaConf

from deepfake_lab.config import CONF, compose
from deepfake_lab.synthesis.neural import vocoder as module
from deepfake_lab.synthesis.neural.hifigan import HifiGan
from deepfake_lab.synthesis.neural.source_filter import SourceFilter
from deepfake_lab.synthesis.neural.vocoder import NeuralVocoder
from deepfake_lab.synthesis.neural.wavegrad import WaveGrad
from deepfake_lab.synthesis.neural.weights import load_generator, packed
from deepfake_lab.types import LabError

KINDS = {
    HifiGan: {"n_mels": 16, "n_fft": 256, "factors": [8, 8], "channels": 8, "residual_kernels": [3]},
    SourceFilter: {"n_mels": 16, "n_fft": 256, "hop": 64, "width": 16, "layers": 1},
    WaveGrad: {"n_mels": 16, "n_fft": 256, "hop": 64, "width": 16, "channels": 8, "layers": 1},
}


def saved(kind, path, rate=16_000):
    torch.manual_seed(0)
    settings = {**KINDS[kind], "rate": rate}
    config = {"_target_": f"{kind.__module__}.{kind.__name__}", **settings}
    torch.save(packed(kind(**settings), config, {}), path)
    return NeuralVocoder(str(path))


@pytest.fixture(params=list(KINDS))
def vocoder(request, tmp_path):
    """A tiny untrained vocoder, in a file."""
    return saved(request.param, tmp_path / "tiny-seed3.ckpt")


@pytest.fixture(scope="module")
def wave():
    return speech(0.7, 180, 3)[:-13].astype(np.float32)


def test_copies_depend_on_wave_and_seed_alone(vocoder, wave):
    first = vocoder.vocode(wave, 1)
    assert (first.shape, first.dtype) == (wave.shape, np.float32)
    assert np.sqrt(np.mean(first**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-4)
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    again = vocoder.vocode(wave, 1)
    assert torch.get_num_threads() != threads
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(again, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not np.array_equal(vocoder.vocode(wave, 2), first)
    louder = vocoder.vocode(2 * wave, 1)
    np.testing.assert_allclose(louder, 2 * first, atol=1e-5)


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_copies_are_aligned_wherever_the_grid_begins(tmp_path, rate):
    vocoder = saved(SourceFilter, tmp_path / "tiny.ckpt", rate)
    wave = 0.1 * np.random.default_rng(0).standard_normal(4000).astype(np.float32)
    other = wave.copy()
    other[1990:2011] = -wave[1990:2011]  # nothing else changes, not even the level
    changes = [np.square(vocoder.vocode(wave, seed) - vocoder.vocode(other, seed)) for seed in range(8)]
    centres = [np.average(np.arange(4000), weights=change) for change in changes]
    assert abs(np.mean(centres) - 2000) < 15  # grids begin 32 samples earlier on average


@pytest.mark.parametrize("length", [1, 63, 4801])
def test_any_length_and_silence_are_copied(vocoder, length):
    assert vocoder.vocode(np.full(length, 0.1, np.float32), 0).shape == (length,)
    assert not vocoder.vocode(np.zeros(length, np.float32), 0).any()


def test_long_recordings_are_copied_in_pieces_without_a_seam(tmp_path, wave, monkeypatch):
    vocoder = saved(HifiGan, tmp_path / "tiny.ckpt")
    at_once = vocoder.vocode(wave, 1)
    monkeypatch.setattr(module, "_PIECE", 64 * 70)
    monkeypatch.setattr(module, "_OVERLAP", 64 * 30)
    in_pieces = vocoder.vocode(wave, 1)
    assert np.corrcoef(at_once, in_pieces)[0, 1] > 0.999
    assert np.abs(at_once - in_pieces).max() < 0.05 * np.abs(at_once).max()


def test_missing_weights_name_the_command_that_trains_them(tmp_path):
    path = tmp_path / "vocos-seed2.ckpt"
    command = rf"stage=train vocoder=vocos seed=2 weights={path}"
    assert "vocoder=vocos seed=2" in NeuralVocoder(str(path)).missing()
    with pytest.raises(LabError, match=command):
        NeuralVocoder(str(path)).vocode(np.zeros(10, np.float32), 0)


def test_missing_published_weights_name_the_command_that_converts_them(tmp_path):
    path = tmp_path / "hifigan_universal.ckpt"
    missing = NeuralVocoder(str(path)).missing()
    assert "stage=train" not in missing
    assert missing.endswith(f"python -m deepfake_lab.convert source=NAME input=FILE output={path}")
    with pytest.raises(LabError, match=r"convert source=NAME .*universal\.ckpt\.$"):
        NeuralVocoder(str(path)).vocode(np.zeros(10, np.float32), 0)


def test_new_weights_under_an_old_name_are_heard_and_told(tmp_path, wave):
    path = tmp_path / "x.ckpt"
    absent = repr(NeuralVocoder(str(path)))
    first = saved(HifiGan, path)
    before, told = first.vocode(wave, 0), repr(first)
    second = saved(SourceFilter, path)
    assert not np.array_equal(second.vocode(wave, 0), before)
    assert len({absent, told, repr(second)}) == 3


class _Evil:
    def __reduce__(self):
        return print, ("ran",)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"vocoder": _Evil()}, "may run code"),
        ([1], "holds a list"),
        ({"vocoder": None}, "holds no vocoder"),
        ({"vocoder": {"_target_": "torch.nn.Linear"}, "state_dict": {}}, r"asks for 'torch\.nn\.Linear'"),
        ({"vocoder": {"_target_": f"{HifiGan.__module__}.torch"}, "state_dict": {}}, "which is no vocoder"),
        ({"vocoder": {"_target_": f"{HifiGan.__module__}.HifiGan", "hop": 1}, "state_dict": {}}, "do not fit"),
        ({"vocoder": {"_target_": f"{HifiGan.__module__}.HifiGan"}, "state_dict": {}}, "do not fit"),
    ],
)
def test_files_of_anything_else_are_refused(tmp_path, capsys, content, complaint):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(LabError, match=complaint):
        load_generator(tmp_path / "x.ckpt")
    assert "ran" not in capsys.readouterr().out
    (tmp_path / "x.ckpt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(LabError, match=r"x\.ckpt: cannot be read"):
        load_generator(tmp_path / "x.ckpt")


def test_every_vocoder_is_a_system_that_finds_what_training_leaves():
    for name in (path.stem for path in CONF.glob("vocoder/*.yaml")):
        composed = compose("synthesize", [f"vocoder={name}"], with_hydra=True)
        HydraConfig.instance().set_config(composed)
        assert OmegaConf.load(CONF / f"system/{name}.yaml").weights == composed.weights == f"vocoders/{name}-seed0.ckpt"
    HydraConfig.instance().cfg = None
