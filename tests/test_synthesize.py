"""`python -m deepfake_lab.synthesize`, for real, with vocoders of a few thousand parameters."""

import numpy as np
import pytest
import soundfile
import torch

from deepfake_lab.synthesis.neural.training import Training
from deepfake_lab.synthesize import _found
from deepfake_lab.types import LabError

TINY = (
    *("data=toy", "vocoder=vocos", "vocoder.width=8", "vocoder.layers=1", "vocoder.n_fft=256", "vocoder.hop=64"),
    *("vocoder.n_mels=16", "training.adversarial_from=2", "training.discriminator.channels=2"),
    *("batch_size=2", "segment_s=0.1", "checkpoint_every=4", "tracking.system_metrics=false"),
)


def state(path):
    return torch.load(path, weights_only=True)


def check_equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            check_equal(one[name], other[name])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            check_equal(*pair)
    else:
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_killed_training_goes_on_and_ends_as_if_nothing_had_happened(lab, monkeypatch):
    assert lab("prepare", "data=toy")[0] == 0
    for path in lab.folder.glob("corpora/toy-*/*.flac"):  # only real speech of the train split may be heard
        if not path.name.startswith("train-") or "bonafide" not in path.name:
            path.unlink()
    status, printed = lab("synthesize", *TINY, "steps=8", "weights=made/whole.ckpt")
    assert status == 0, printed
    assert "whole.ckpt: 8 steps in" in printed
    step = Training.step

    def interrupted(self, segments):
        if self.steps == 6:
            raise KeyboardInterrupt
        step(self, segments)

    broken = [*TINY, "steps=8", "weights=made/broken.ckpt"]
    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", interrupted)
        status, printed = lab("synthesize", *broken)
    assert (status, "the same command, called again, goes on" in printed) == (130, True)
    checkpoint = lab.folder / "made/broken.training.ckpt"
    assert state(checkpoint)["training"]["steps"] == 4
    assert not (lab.folder / "made/broken.ckpt").exists()
    status, printed = lab("synthesize", *broken)
    assert status == 0, printed
    check_equal(state(checkpoint)["training"], state(lab.folder / "made/whole.training.ckpt")["training"])
    vocoders = [state(lab.folder / f"made/{name}.ckpt") for name in ("whole", "broken")]
    check_equal(vocoders[0]["state_dict"], vocoders[1]["state_dict"])
    assert vocoders[0]["about"]["steps"] == 8

    runs = lab.mlflow_runs()
    assert runs["tags.mlflow.runName"].tolist() == ["whole", "broken"]
    assert set(runs["status"]) == {"FINISHED"}
    assert runs["params.vocoder"].tolist() == ["Vocos", "Vocos"]
    assert runs["metrics.train/stft"].gt(0).all()
    assert runs["metrics.train/discriminator"].nunique() == 1
    assert (lab.folder / "made/broken.png").read_bytes()[1:4] == b"PNG"

    status, printed = lab("synthesize", *broken)
    assert (status, "trained already, 8 steps" in printed) == (0, True)
    for settings, why in (
        (["vocoder.width=16"], "a training with other settings (vocoder)"),
        (["minutes=null", "steps=null"], "Give a limit above 0"),
        (["segment_s=0"], "segment_s=0.0: a number above 0"),
        (["stage=aply"], "choose train or apply"),
    ):
        status, printed = lab("synthesize", *broken, *settings)
        assert status == 2
        assert why in printed
    checkpoint.unlink()
    status, printed = lab("synthesize", *broken)
    assert (status, "cannot go on without" in printed) == (2, True)
    status, printed = lab("synthesize", *broken, "force=true", "steps=null", "minutes=0.0001")
    assert (status, "broken.ckpt: 1 steps" in printed) == (0, True)


def test_copies_of_a_corpus_stand_beside_their_originals(lab):
    assert lab("synthesize", *TINY, "data.utterances=3", "steps=1")[0] == 0
    apply = ["synthesize", "stage=apply", "vocoder=vocos", "data=toy", "data.utterances=3"]
    status, printed = lab(*apply, "output=copies", "workers=1", "splits=[train]")
    assert status == 0, printed
    assert "copies: 3 recordings and their copies by vocos-seed0" in printed
    files = {path.relative_to(lab.folder / "copies").as_posix() for path in lab.folder.glob("copies/**/*.flac")}
    names = [f"train-00{number}-bonafide.flac" for number in range(3)]
    assert files == {f"train/{place}/{name}" for place in ("bonafide", "spoof/vocos-seed0") for name in names}
    for name in names:
        original, copied = (
            soundfile.read(lab.folder / "copies/train" / place / name)[0] for place in ("bonafide", "spoof/vocos-seed0")
        )
        assert len(copied) == len(original) == 6400
        assert not np.allclose(copied, original, atol=0.01)
        assert np.sqrt(np.mean(copied**2)) == pytest.approx(np.sqrt(np.mean(original**2)), rel=0.05)
    status, printed = lab(*apply, "output=copies", "workers=1", "splits=[train]")
    assert (status, "learning" in printed) == (0, False)

    for settings, why in (
        (["output=null"], "output is needed"),
        (["output=copies", "seed=1"], "synthesize stage=train vocoder=vocos seed=1"),
        (["output=copies", "splits=[tran]"], "no split 'tran'"),
    ):
        status, printed = lab(*apply, *settings)
        assert status == 2
        assert why in printed


def test_recordings_of_ones_own_are_found(tmp_path):
    for path in ("in/a.wav", "in/deep/b.flac", "in/notes.txt", "twice/a.wav", "twice/a.flac", "none/notes.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    found = _found(tmp_path / "in", tmp_path / "out")
    assert [sentence.name for sentence in found] == ["a", "deep-b"]
    assert found[1].real == tmp_path / "in/deep/b.flac"
    assert [sentence.name for sentence in _found(tmp_path / "in/deep/b.flac", tmp_path / "in")] == ["b"]
    for source, output, why in (
        ("none", "out", "no audio there"),
        ("missing", "out", "no audio there"),
        ("in", "in/out", "lies in the input"),
        ("twice", "out", r"2 recordings would become a\.flac"),
    ):
        with pytest.raises(LabError, match=why):
            _found(tmp_path / source, tmp_path / output)
