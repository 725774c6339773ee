"""Official weights become a checkpoint of the lab, through the real command."""

import os
from pathlib import Path

import numpy as np
import official_aasist
import official_vocoders
import pytest
import soundfile
import torch

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.synthesis.neural.vocoder import NeuralVocoder
from deepfake_lab.synthesis.neural.weights import load_generator, read_content

REFERENCE = Path(os.environ.get("DEEPFAKE_LAB_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))
"""Folder with `aasist/aasist_asvspoof5.pth`, the weights of the ASVspoof 5 baseline, and their published scores."""


@pytest.fixture(scope="module")
def weights():
    return official_aasist.random_weights(seed=1)


@pytest.fixture
def convert(lab, weights):
    """Runs the command on weights; returns its exit status and what it printed."""

    def convert(content=weights, *overrides):
        torch.save(content, lab.folder / "official.pth")
        return lab("convert", "source=aasist", "input=official.pth", "output=aasist.ckpt", *overrides)

    return convert


def test_converted_checkpoint_gives_the_official_score(lab, convert, weights):
    status, printed = convert()
    assert status == 0, printed
    wave = 0.1 * np.random.default_rng(0).standard_normal(16_000)
    detector = load_detector(lab.folder / "aasist.ckpt")
    assert detector.window_samples == 64_600
    assert not detector.training
    with torch.inference_mode():
        score = detector(torch.from_numpy(wave[None]).float()).score.item()
    assert score == pytest.approx(official_aasist.logits(weights, wave)[1], abs=1e-4)


def test_says_what_became_of_what(convert):
    _, printed = convert()
    for official, ours in (("pos_S", "encoder.spectral_position"), ("HtrgGAT_layer_ST21", "encoder.branches.1.first")):
        (line,) = [line for line in printed.splitlines() if f" {official} " in line]
        assert f" {ours} " in line
    assert f"{len(official_aasist.shapes())} tensors, 297,866 parameters" in printed
    assert "not calibrated" in printed


def test_predict_takes_the_checkpoint(lab, convert):
    convert()
    wave = 0.1 * np.random.default_rng(0).standard_normal(70_000)
    soundfile.write(lab.folder / "a.wav", wave, 16_000)
    status, _ = lab("predict", "checkpoint=aasist.ckpt", "input=a.wav", "output=scores.csv")
    assert status == 0
    row = (lab.folder / "scores.csv").read_text().splitlines()[1].split(",")
    assert np.isfinite(float(row[1]))
    assert row[-1] == "2"


class TestRefusals:
    def refused(self, convert, lab, *arguments):
        (lab.folder / "aasist.ckpt").write_text("of before")
        status, printed = convert(*arguments)
        assert status == 2
        assert (lab.folder / "aasist.ckpt").read_text() == "of before"
        assert len(list(lab.folder.glob(".*"))) == 0
        return printed

    def test_missing_unexpected_and_misshapen_tensors_are_named(self, lab, convert, weights):
        wrong = {name: tensor for name, tensor in weights.items() if name != "pool_T.proj.bias"}
        wrong |= {"LL.weight": torch.zeros(3), "out_layer.weight": torch.zeros(3, 160)}
        printed = self.refused(convert, lab, wrong)
        assert "official.pth" in printed
        assert "1 missing: pool_T.proj.bias" in printed
        assert "1 unexpected: LL.weight" in printed
        assert "1 of another shape: out_layer.weight (3, 160) instead of (2, 160)" in printed

    @pytest.mark.parametrize("content", [{}, {"state_dict": {}, "pos_S": "text"}, {1: torch.zeros(2)}])
    def test_other_contents(self, lab, convert, content):
        assert "not the weights of the official AASIST" in self.refused(convert, lab, content)

    def test_other_files(self, lab, convert):
        assert "holds a list" in self.refused(convert, lab, [torch.zeros(2)])
        (lab.folder / "text.pth").write_text("weights")
        assert "text.pth: not a readable checkpoint" in self.refused(convert, lab, {}, "input=text.pth")
        assert "none.pth: no such file" in self.refused(convert, lab, {}, "input=none.pth")

    def test_file_that_would_run_code_is_not_opened(self, lab, convert):
        assert "Do not use it" in self.refused(convert, lab, {"pos_S": Path("x")})

    def test_unknown_source(self, lab, convert, weights):
        assert "source=rawnet: unknown. Choose one of: aasist" in self.refused(convert, lab, weights, "source=rawnet")

    def test_other_models_and_sizes(self, lab, convert, weights):
        assert "a CRNN" in self.refused(convert, lab, weights, "model=crnn")
        assert "of another shape: master1" not in self.refused(convert, lab, weights, "model.encoder.graph_dim=16")
        assert "frontend=raw" in self.refused(convert, lab, weights, "frontend=mel")

    def test_places_that_cannot_be_written(self, lab, convert, weights):
        assert "is the input" in self.refused(convert, lab, weights, "output=official.pth")
        assert "is a folder" in self.refused(convert, lab, weights, "output=none/aasist.ckpt")
        assert "is a folder" in self.refused(convert, lab, weights, f"output={lab.folder}")


class TestVocoders:
    @pytest.fixture(params=["hifigan", "melgan", "cargan"])
    def kind(self, request):
        return request.param

    @pytest.fixture
    def convert(self, lab, kind):
        """Runs the command on a file of weights; returns its exit status and what it printed."""

        def convert(*overrides, content=None):
            weights = official_vocoders.random_weights(kind)
            torch.save({"generator": weights} if content is None else content, lab.folder / "g.pt")
            return lab("convert", f"source={kind}", "input=g.pt", f"output={kind}.ckpt", *overrides)

        return convert

    def test_converted_makes_the_waveforms_of_the_authors(self, lab, convert, kind):
        status, printed = convert()
        assert status == 0, printed
        generator = load_generator(lab.folder / f"{kind}.ckpt")
        features = official_vocoders.random_features(kind, 9)
        half = official_vocoders.HOPS[kind] // 2
        expected = official_vocoders.generate(kind, official_vocoders.random_weights(kind), features)[:, half:-half]
        torch.testing.assert_close(generator.generate(features), expected, rtol=0, atol=1e-4)
        count = sum(parameter.numel() for parameter in generator.parameters())
        assert f"g.pt: {count:,} parameters of {kind} -> {kind}.ckpt" in printed
        assert read_content(lab.folder / f"{kind}.ckpt")["about"] == {"converted": "g.pt"}

    def test_converted_is_a_system(self, lab, convert, kind):
        convert()
        system = NeuralVocoder(str(lab.folder / f"{kind}.ckpt"))
        wave = 0.1 * np.random.default_rng(0).standard_normal(3_001).astype(np.float32)
        copied = system.vocode(wave, 1)
        assert system.missing() == ""
        assert (copied.shape, copied.dtype) == (wave.shape, np.float32)
        assert np.sqrt(np.mean(copied**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-3)

    def test_other_contents_and_places_are_refused_and_nothing_is_left_behind(self, lab, convert, kind):
        (lab.folder / "of_before.ckpt").write_text("of before")
        for overrides, content, complaint in (
            ((), {}, f"input=g.pt: holds no generator of source={kind} (KeyError"),
            ((), [1], "input=g.pt: holds a list"),
            (("input=none.pt",), None, "input=none.pt: no such file"),
            (("output=g.pt",), None, "output=g.pt: is the input"),
            (("output=none/g.ckpt",), None, "output=none/g.ckpt: is a folder, or lies in none"),
            (("output=/proc/g.ckpt",), None, "output=/proc/g.ckpt: cannot be written ("),
        ):
            status, printed = convert("output=of_before.ckpt", *overrides, content=content)
            assert status == 2
            assert complaint in printed
            assert "Traceback" not in printed
        assert (lab.folder / "of_before.ckpt").read_text() == "of before"
        assert {path.name for path in lab.folder.iterdir()} <= {"g.pt", "of_before.ckpt", "mlflow.db"}

    def test_a_full_disk_leaves_the_old_file(self, disk, convert, kind):
        (disk.folder / "a.ckpt").write_text("of before")
        disk.fill(leave=8192)
        status, printed = convert(f"output={disk.folder}/a.ckpt")
        assert status == 2
        assert f"{disk.folder}/a.ckpt: cannot be written: no space is left on its disk" in printed
        assert disk.files() == {"a.ckpt": b"of before"}


def test_published_weights_give_the_published_scores(lab):
    folder = REFERENCE / "aasist"
    if not (folder / "aasist_asvspoof5.pth").is_file():
        pytest.skip("the published weights are not here: name their folder by DEEPFAKE_LAB_REFERENCE")
    import json

    expected = json.loads((folder / "expected.json").read_text())["models"]["aasist_asvspoof5"]
    wave = torch.from_numpy(np.load(folder / "inputs_int16.npy").astype(np.float32) / 32_768)
    status, printed = lab("convert", f"input={folder}/aasist_asvspoof5.pth", "output=aasist.ckpt")
    assert status == 0, printed
    with torch.inference_mode():
        output = load_detector("aasist.ckpt")(wave)
    published = torch.tensor(expected["logits"])[:, 1]
    torch.testing.assert_close(output.score, published, rtol=0, atol=1e-3)
    torch.testing.assert_close(output.embedding[:, :4], torch.tensor(expected["embedding_first4"]), rtol=0, atol=1e-4)
