"""Detectors to disk and back; files that are damaged or hostile."""

import os
import sys
import zipfile

import pytest
import torch

from deepfake_lab.checkpoint import build_detector, initialise, load_detector, read_checkpoint, save_detector
from deepfake_lab.serving.census import Census
from deepfake_lab.types import LabError

MEL = {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 16}
CRNN = {
    "_target_": "deepfake_lab.models.crnn.CRNN",
    "_partial_": True,
    "widths": [4, 4, 4, 4],
    "hidden": 4,
    "embedding_dim": 4,
}
CONFIG = {
    "_target_": "deepfake_lab.models.detector.Detector",
    "frontend": MEL,
    "encoder": CRNN,
    "window_s": 0.5,
}
WAVES = 0.1 * torch.randn(3, 9_000, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    made = build_detector(CONFIG)
    with torch.inference_mode():
        made(WAVES)  # batch norm takes note
    made.calibration_scale.fill_(1.7)
    made.calibration_offset.fill_(-0.3)
    made.eer_threshold.fill_(0.123)
    return made.eval()


@pytest.fixture
def saved(detector, tmp_path):
    save_detector(detector, tmp_path / "detector.ckpt")
    return tmp_path / "detector.ckpt"


@pytest.fixture
def write(detector, tmp_path):
    """Writes a checkpoint with changes."""

    def write(config=CONFIG, drop=(), **tensors):
        state = {f"detector.{name}": tensor for name, tensor in detector.state_dict().items() if name not in drop}
        state |= {f"detector.{name}": tensor for name, tensor in tensors.items()}
        torch.save({"detector": config, "state_dict": state}, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    return write


def refusal(path):
    with pytest.raises(LabError) as caught:
        load_detector(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


class TestRoundTrip:
    def test_gives_the_same_scores_bit_for_bit(self, detector, saved):
        loaded = load_detector(saved)
        assert not loaded.training
        assert loaded.config == CONFIG
        with torch.inference_mode():
            for one, other in zip(detector(WAVES), loaded(WAVES), strict=True):
                assert torch.equal(one, other)
        assert float(loaded.eer_threshold) == pytest.approx(0.123)

    def test_leaves_no_other_file_and_can_be_done_again(self, saved):
        save_detector(load_detector(saved), saved)
        assert os.listdir(saved.parent) == ["detector.ckpt"]
        load_detector(saved)

    def test_the_best_epoch_of_a_run_is_its_detector(self, toy_run):
        best, alone = (load_detector(toy_run / name) for name in ("checkpoints/best.ckpt", "detector.ckpt"))
        with torch.inference_mode():
            assert torch.equal(best(WAVES).score, alone(WAVES).score)
        assert torch.equal(best.eer_threshold, alone.eer_threshold)
        assert not alone.eer_threshold.isnan()
        assert best.config == alone.config
        assert (toy_run / "detector.ckpt").stat().st_size < (toy_run / "checkpoints/best.ckpt").stat().st_size

    def test_what_a_configuration_makes_must_be_a_detector(self):
        with pytest.raises(LabError, match="makes a Mel, not a Detector"):
            build_detector(MEL)


class TestStart:
    def test_takes_all_weights_and_nothing_that_dev_decides(self, detector, saved):
        torch.manual_seed(1)
        made = build_detector(CONFIG)
        assert "new: none; left behind: none" in initialise(made, saved)
        assert made.config == CONFIG
        assert made.eer_threshold.isnan()
        assert (float(made.calibration_scale), float(made.calibration_offset)) == (1, 0)
        with torch.inference_mode():
            assert torch.equal(made.eval()(WAVES).raw_score, detector(WAVES).raw_score)

    def test_another_head_is_new(self, detector, saved):
        cosine = {"_target_": "deepfake_lab.models.head.CosineHead", "_partial_": True}
        made = build_detector(CONFIG | {"head": cosine})
        before = made.head.weight.clone()
        assert "new: head.weight; left behind: head.weight, head.bias" in initialise(made, saved)
        assert torch.equal(made.head.weight, before)
        with torch.inference_mode():
            assert torch.equal(made.eval()(WAVES).embedding, detector(WAVES).embedding)

    @pytest.mark.parametrize(
        ("other", "complaint"),
        [
            ({"frontend": MEL | {"bins": 20}}, "encoder.convolutions.0.norm.running_mean (16,), here (20,)"),
            ({"encoder": CRNN | {"hidden": 8}}, "encoder.recurrent.weight_ih_l0 (16, 4), here (32, 4)"),
            ({"encoder": {"_target_": "deepfake_lab.models.linear.Linear", "_partial_": True}}, " none, here (32,)"),
        ],
        ids=["bins", "width", "encoder"],
    )
    def test_another_encoder_is_refused(self, saved, other, complaint):
        made = build_detector(CONFIG | other)
        before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
        with pytest.raises(LabError) as caught:
            initialise(made, saved)
        assert str(caught.value).startswith(f"model.init={saved}: ")
        assert complaint in str(caught.value)
        assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items() if "eer" not in name)

    def test_features_of_another_kind_are_pointed_out(self, saved):
        made = build_detector(CONFIG | {"frontend": MEL | {"hop_ms": 10.0}})
        assert "Set otherwise than there: frontend." in initialise(made, saved)
        assert "otherwise" not in initialise(build_detector(CONFIG), saved)

    def test_what_is_said_of_training_is_no_part_of_the_detector(self):
        said = {"init": "a.ckpt", "freeze": ["head.*"], "learning_rates": None, "domain": "codec", "domain_weight": 1.0}
        assert build_detector(CONFIG | said).config == CONFIG


class TestDamage:
    @pytest.mark.parametrize("name", ["nowhere.ckpt", "."])
    def test_no_file(self, tmp_path, name):
        assert "no such checkpoint" in refusal(tmp_path / name)

    @pytest.mark.parametrize("content", [b"", b"P", b"These are not weights.\n" * 50])
    def test_something_else(self, tmp_path, content):
        path = tmp_path / "other.ckpt"
        path.write_bytes(content)
        assert "not a readable checkpoint" in refusal(path)

    @pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
    def test_truncated(self, saved, share):
        content = saved.read_bytes()
        saved.write_bytes(content[: int(share * len(content))])
        assert "not a readable checkpoint" in refusal(saved)

    def test_flipped_bits_are_noticed_in_every_tensor(self, saved):
        content = saved.read_bytes()
        with zipfile.ZipFile(saved) as archive:
            members = [member for member in archive.infolist() if member.file_size > 0]
        for member in members:
            start = content.index(b"PK\x03\x04", member.header_offset)
            name, extra = (int.from_bytes(content[start + at : start + at + 2], "little") for at in (26, 28))
            place = start + 30 + name + extra + member.file_size // 2
            saved.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert "wrong checksum" in refusal(saved), member.filename

    @pytest.mark.parametrize(
        "content", [[1, 2], {}, {"state_dict": {}}, {"detector": None, "state_dict": {}}, {"detector": CONFIG}]
    )
    def test_other_content(self, tmp_path, content):
        torch.save(content, tmp_path / "a.ckpt")
        message = refusal(tmp_path / "a.ckpt")
        assert "holds a list" in message if isinstance(content, list) else "holds no detector" in message

    @pytest.mark.parametrize(
        "changes",
        [
            {"drop": ["head.weight"]},
            {"surplus": torch.zeros(2)},
            {"calibration_scale": torch.zeros(3)},
            {"calibration_scale": "text"},
        ],
        ids=["missing", "surplus", "other shape", "no tensor"],
    )
    def test_other_tensors(self, write, changes):
        assert "its tensors do not fit" in refusal(write(**changes))

    @pytest.mark.parametrize(
        "changes",
        [
            {"frontend": None},
            {"window": 3},
            {"encoder": {**CRNN, "widths": []}},
            {"encoder": {**CRNN, "_partial_": False}},
        ],
    )
    def test_a_configuration_that_builds_nothing(self, write, changes):
        assert "its detector cannot be built" in refusal(write({**CONFIG, **changes}))


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class TestHostility:
    def test_a_compressed_one_is_refused_before_it_is_unpacked(self, saved):
        with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("archive/data.pkl", bytes(1 << 24))
        assert saved.stat().st_size < 50_000
        assert "it is compressed" in refusal(saved)

    def test_tensors_that_claim_more_than_the_file_holds_are_refused(self, write):
        endless = torch.zeros(1).expand(1 << 40)
        assert "do not fit" in refusal(write(**{"head.weight": endless}))

    @pytest.mark.parametrize("size", [1 << 40, 1 << 62, -1, 0, 1e300, float("nan")])
    @pytest.mark.parametrize("key", ["hidden", "embedding_dim"])
    def test_absurd_sizes_are_refused(self, write, key, size):
        refusal(write(CONFIG | {"encoder": CRNN | {key: size}}))

    def test_a_configuration_without_end_is_refused(self, write, monkeypatch):
        deep = []
        for _ in range(5_000):
            deep = [deep]
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(50_000)  # of the one who writes it
        try:
            path = write(CONFIG | {"x": deep})
        finally:
            sys.setrecursionlimit(limit)
        assert "nested too deep" in refusal(path)

    @pytest.mark.parametrize("told", [5, "text", [1], {"score": [1]}, {"score": 5}, {1: 2}])
    def test_a_strange_census_is_refused_where_it_is_used(self, saved, told):
        detector = load_detector(saved)
        detector.trained_on = told
        save_detector(detector, saved)
        with pytest.raises(LabError, match="census"):
            Census(load_detector(saved).trained_on)

    @pytest.mark.parametrize("place", ["detector", "state_dict", "callbacks"])
    def test_nothing_is_unpickled_but_plain_data(self, tmp_path, place):
        content = {"detector": CONFIG, "state_dict": {}} | {place: Bomb(f"touch {tmp_path}/exploded")}
        torch.save(content, tmp_path / "bomb.ckpt")
        message = refusal(tmp_path / "bomb.ckpt")
        assert "it may run code" in message
        assert "weights_only" not in message  # torch advises to switch it off
        assert not (tmp_path / "exploded").exists()
        with pytest.raises(LabError):
            read_checkpoint(tmp_path / "bomb.ckpt")

    @pytest.mark.parametrize(
        "target",
        [
            "os.system",
            "builtins.exec",
            "torch.hub.load",
            "deepfake_lab.models.detector.torch.hub.load",
            "deepfake_lab.models.detector.nn.Identity",
            "deepfake_lab.models.detector._samples_for",
            "deepfake_lab.models.detector.math.exp",
            "deepfake_lab.models.detector.Encoder",
            "deepfake_lab.models.encoder.Tensor",
            "deepfake_lab.types.Batch",
            "deepfake_lab.models",
            "deepfake_lab.models.nothing.Detector",
            "deepfake_lab.models..detector.Detector",
            "deepfake_lab.modelsandmore.Detector",
            "Detector",
            "",
            None,
            ["os.system"],
        ],
    )
    @pytest.mark.parametrize("place", ["top", "frontend", "deep"])
    def test_targets_outside_the_lab_are_refused(self, write, target, place):
        node = {"_target_": target}
        config = {
            "top": CONFIG | node,
            "frontend": CONFIG | {"frontend": node},
            "deep": CONFIG | {"x": [{"y": [node]}]},
        }
        assert f"asks for '{target}'" in refusal(write(config[place]))

    def test_refusal_comes_before_any_import_or_call(self, write, tmp_path, monkeypatch):
        (tmp_path / "trap.py").write_text("from pathlib import Path\nPath(__file__).with_name('sprung').touch()\n")
        monkeypatch.syspath_prepend(tmp_path)
        for target in ("trap.Module", "deepfake_lab.models.detector.trap.Module"):
            refusal(write(CONFIG | {"frontend": {"_target_": target}}))
        assert "trap" not in sys.modules
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        "value",
        [
            ({"_target_": "builtins.print"},),  # Hydra takes a tuple for a list
            "${oc.decode:'{_target_: builtins.print}'}",
            "${oc.env:HOME}",
            "${.encoder}",
            {1, 2},
            torch.zeros(2),
            b"bytes",
        ],
    )
    @pytest.mark.parametrize("place", ["frontend", "window_s"])
    def test_values_that_could_turn_into_targets_are_refused(self, write, value, place, capfd):
        assert "not a plain value" in refusal(write(CONFIG | {place: value}))
        assert capfd.readouterr().out == ""
