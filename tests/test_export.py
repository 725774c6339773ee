"""Exported detectors give the scores of the originals, at other lengths too."""

import numpy as np
import onnxruntime
import pytest
import torch
from make_detectors import make_detectors
from omegaconf import OmegaConf

from deepfake_lab import audio, export
from deepfake_lab.checkpoint import build_detector, load_detector, save_detector
from deepfake_lab.config import CONF, compose

MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
SMALL = ["frontend.sizes={encoder_num_layers: 2, encoder_embed_dim: 48, encoder_ff_interm_features: 64}"]


def detector_of(model, folder):
    """A model as shipped with its usual front-end, whose transformer is small, with windows of a second."""
    overrides = ["loader.window_s=1.0", *(SMALL if model == "linear" else [])]
    if model == "ensemble":
        overrides = [f"model.checkpoints=[{','.join(map(str, make_detectors(folder, (0.8, 1.0))))}]"]
    torch.manual_seed(0)
    config = OmegaConf.to_container(compose("run", [f"model={model}", *overrides]).model, resolve=True)
    return build_detector(config).eval()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_model_exports(model, tmp_path):
    detector = detector_of(model, tmp_path)
    export.write_onnx(detector, tmp_path / "d.onnx")
    assert export.compare(detector, tmp_path / "d.onnx") < export.TOLERANCE


@pytest.mark.slow
def test_the_command_writes_a_file_that_scores_a_recording(lab, toy_run):
    status, printed = lab("export", f"checkpoint={toy_run / 'detector.ckpt'}", "output=toy.onnx")
    assert status == 0, printed
    assert "any number of samples" in printed
    session = onnxruntime.InferenceSession("toy.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["sample_rate"] == "16000"
    detector = load_detector(toy_run / "detector.ckpt")
    wave = audio.load(next(toy_run.parents[1].glob("corpora/toy-*/test-*.flac")))
    (score,) = session.run(["score"], {"wave": wave[None]})
    np.testing.assert_allclose(score, detector(torch.from_numpy(wave[None])).score.detach(), atol=1e-4)


def test_what_cannot_be_written_is_refused_at_once(lab, toy_run):
    for output, why in (("toy.pt", "ends in .onnx"), ("nowhere/toy.onnx", "in a folder that exists")):
        status, printed = lab("export", f"checkpoint={toy_run / 'detector.ckpt'}", f"output={output}")
        assert (status, why in printed) == (2, True)


def test_other_scores_are_noticed(tmp_path, monkeypatch, lab):
    """A file whose model disagrees is not left behind."""
    detector = detector_of("crnn_mfcc", tmp_path)
    save_detector(detector, tmp_path / "d.ckpt")
    monkeypatch.setattr(export, "write_onnx", lambda detector, path: path.write_bytes(b"onnx"))
    monkeypatch.setattr(export, "compare", lambda detector, path: 0.5)
    status, printed = lab("export", f"checkpoint={tmp_path / 'd.ckpt'}", "output=d.onnx")
    assert (status, "off by 0.5" in printed) == (2, True)
    assert not list(lab.folder.glob("*.onnx"))
