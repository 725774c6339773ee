"""Every model with its usual front-end, and every other front-end with one model: trained, evaluated, reloaded."""

import json
import re

import numpy as np
import official_whisper
import pytest
import torch
from make_detectors import make_detectors

from deepfake_lab import audio
from deepfake_lab.checkpoint import load_detector
from deepfake_lab.config import CONF
from deepfake_lab.frontends.wav2vec2 import Wav2Vec2
from deepfake_lab.metrics.functional import eer

MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
HEAVY = ("aasist", "attention_crnn", "crnn_mfcc", "hybrid", "lcnn", "resnet18")  # or like another
USUAL = {re.search(r"/frontend: (\w+)", (CONF / f"model/{model}.yaml").read_text())[1] for model in MODELS}
OTHERS = sorted({path.stem for path in (CONF / "frontend").glob("*.yaml")} - USUAL)
SIZES = {
    "extractor_conv_layer_config": [[32, 10, 5], *[[32, 3, 2]] * 4, *[[32, 2, 2]] * 2],
    "encoder_num_layers": 2,
    "encoder_embed_dim": 48,
    "encoder_ff_interm_features": 64,
}
ODD = ("mel_wav2vec2", "whisper")  # front-ends that need a file
QUICK = ("experiment=toy", "trainer.max_epochs=1", "tracking.system_metrics=false")


@pytest.fixture
def transformer(tmp_path):
    """Settings for a small transformer with random weights in a file, by the place of its node."""

    def settings(place, whisper=False):
        if whisper:
            weights = official_whisper.checkpoint(official_whisper.random_weights(384, 1))
            torch.save(weights, tmp_path / "weights.pt")
            return [f"{place}.weights={tmp_path / 'weights.pt'}", f"{place}.size=tiny", f"{place}.layers=1"]
        torch.manual_seed(0)
        torch.save(Wav2Vec2(sizes=SIZES).backbone.state_dict(), tmp_path / "weights.pth")
        sizes = ", ".join(f"{name}: {value}" for name, value in SIZES.items())
        return [f"{place}.weights={tmp_path / 'weights.pth'}", f"{place}.sizes={{{sizes}}}"]

    return settings


def check_run(lab, *overrides):
    """Runs, and finds the reported EER again with the checkpoint alone."""
    status, printed = lab("run", *QUICK, *overrides)
    assert status == 0, printed
    run = lab.runs[-1]
    detector = load_detector(run / "detector.ckpt")
    files = sorted(lab.folder.glob("corpora/toy-*/test-*.flac"))
    waves = np.stack([audio.fit_length(audio.load(file), detector.window_samples) for file in files])
    with torch.inference_mode():
        scores = detector(torch.from_numpy(waves)).score.numpy()
    real = np.array(["bonafide" in file.name for file in files])
    reported = json.loads((run / "report/metrics.json").read_text())["test/eer"]
    assert eer(scores[real], scores[~real]) == pytest.approx(reported, abs=1 / 12 + 1e-9)  # one trial may tie
    return printed


@pytest.mark.parametrize("model", [pytest.param(name, marks=[pytest.mark.slow] * (name in HEAVY)) for name in MODELS])
def test_model(lab, transformer, model):
    needed = []
    if model == "linear":
        needed = transformer("frontend")
    elif model == "ensemble":
        needed = [f"model.checkpoints=[{','.join(map(str, make_detectors(lab.folder)))}]"]
    check_run(lab, f"model={model}", *needed)


@pytest.mark.parametrize(
    "frontend", [pytest.param(name, marks=[pytest.mark.slow] * (name not in ODD)) for name in OTHERS]
)
def test_frontend(lab, transformer, frontend):
    places = {"mel_wav2vec2": "frontend.parts.wav2vec2", "whisper": "frontend"}
    needed = transformer(places[frontend], frontend == "whisper") if frontend in places else []
    check_run(lab, "model=crnn_mfcc", f"frontend={frontend}", *needed)


def test_embeddings_are_made_once_and_reused_by_the_next_run(lab, transformer):
    settings = ["model=linear", *transformer("frontend"), "embedding_cache=kept", "loader.train_crop=first"]
    check_run(lab, *settings)
    made = {path: path.stat().st_mtime_ns for path in lab.folder.glob("kept/*/*.npy")}
    assert len(made) == 72
    check_run(lab, *settings, "seed=1")
    assert {path: path.stat().st_mtime_ns for path in lab.folder.glob("kept/*/*.npy")} == made


def test_missing_weights_say_what_to_put_where(lab, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    status, printed = lab("run", *QUICK, "model=linear")
    assert status == 2
    assert "wav2vec2_fairseq_base_ls960.pth: the weights of wav2vec2_base are not there" in printed


def test_missing_weights_of_whisper_do_too(lab):
    status, printed = lab("run", *QUICK, "model=linear", "frontend=whisper", "frontend.layers=1")
    assert status == 2
    assert "published/whisper-base.bin: no such file. Name the weights of whisper_base" in printed


def test_a_pair_that_makes_no_sense_is_refused(lab):
    status, printed = lab("run", *QUICK, "model=crnn", "frontend=raw")
    assert status == 2
    assert "at least 16 bins" in printed
    assert "Traceback" not in printed


def test_a_transformer_learns_at_its_own_pace(lab, transformer):
    settings = ["model=linear", *transformer("frontend"), "frontend.frozen=false", "frontend.learning_rate=1e-9"]
    check_run(lab, *settings)
    trained = load_detector(lab.runs[-1] / "detector.ckpt").frontend.backbone.state_dict()
    before = torch.load(lab.folder / "weights.pth", weights_only=True)
    moved = max(float((trained[name] - before[name]).abs().max()) for name in before)
    assert 0 < moved < 1e-7
