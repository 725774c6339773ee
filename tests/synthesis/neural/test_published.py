"""Published generators, read from random weights of the authors' layout, against plain arithmetic."""

import importlib
import os
import sys

import official_vocoders
import pytest
import torch

from deepfake_lab.synthesis.neural.published.reading import VOCODERS, read_published
from deepfake_lab.types import LabError


def read(kind, content, folder, **how):
    torch.save(content, folder / "g.pt", **how)
    return read_published(kind, folder / "g.pt")


@pytest.fixture(params=VOCODERS)
def kind(request):
    return request.param


@pytest.fixture
def weights(kind):
    return official_vocoders.random_weights(kind)


@pytest.fixture
def generator(kind, weights, tmp_path):
    return read(kind, weights, tmp_path)[0]


@pytest.mark.parametrize("frames", [4, 16, 21])
def test_waveforms_are_those_of_the_authors(kind, weights, generator, frames):
    features = official_vocoders.random_features(kind, frames)
    half = official_vocoders.HOPS[kind] // 2
    expected = official_vocoders.generate(kind, weights, features)
    assert expected.shape == (2, 2 * half * frames)
    assert 0.05 < expected.std() < 0.9
    torch.testing.assert_close(generator.generate(features), expected[:, half:-half], rtol=0, atol=1e-4)


def test_settings_are_read_from_the_tensors(kind, weights, generator, tmp_path):
    _, settings = read(kind, weights, tmp_path)
    expected = official_vocoders.SETTINGS[kind]
    assert {name: settings[name] for name in expected} == expected
    assert settings["_target_"].startswith(f"deepfake_lab.synthesis.neural.published.{kind}.")
    assert generator.mel.filters.shape == (official_vocoders.MELS[kind], 513)
    assert generator.mel.filters[-1].any()
    assert generator.mel.filters[:, 400].any() == (kind == "cargan")  # 8.6 kHz
    assert (generator.hop, generator.mel.rate) == (official_vocoders.HOPS[kind], 22_050)
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_any_length_is_copied_and_each_copy_alone(generator):
    for length in (1, generator.hop - 1, generator.hop, 3 * generator.hop + 1, 5000):
        wave = 0.1 * torch.randn(2, length, generator=torch.Generator().manual_seed(0))
        copied = generator(wave)
        assert copied.shape == (2, length)
        assert copied.isfinite().all()
        torch.testing.assert_close(generator(wave[1:])[0], copied[1], rtol=0, atol=1e-4)


def test_what_a_frame_says_is_heard_around_its_centre(kind, weights, tmp_path):
    """Without what neighbours say, which the middle of every kernel does not hear."""
    for name, tensor in weights.items():
        if name.endswith("weight_v") and tensor.shape[-1] % 2:
            tensor[..., : tensor.shape[-1] // 2] = tensor[..., tensor.shape[-1] // 2 + 1 :] = 0
        elif name.startswith("ar_model"):
            tensor.zero_()
    generator, _ = read(kind, weights, tmp_path)
    features, frame = official_vocoders.random_features(kind, 41), 20
    other = features.clone()
    other[:, :, frame] += 1
    change = (generator.generate(other) - generator.generate(features)).double().square().sum(dim=0)
    heard = change.nonzero()
    centre = (change * torch.arange(len(change))).sum() / change.sum()
    assert abs(centre - frame * generator.hop) < generator.hop / 4
    assert heard.min() > (frame - 2) * generator.hop
    assert heard.max() < (frame + 2) * generator.hop


class TestFiles:
    def same(self, kind, generator, weights):
        features = official_vocoders.random_features(kind, 9)
        half = official_vocoders.HOPS[kind] // 2
        expected = official_vocoders.generate(kind, weights, features)[:, half:-half]
        torch.testing.assert_close(generator.generate(features), expected, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("place", ["generator", "model_g"])
    @pytest.mark.parametrize("new", [True, False])
    def test_are_checkpoints_in_either_format(self, kind, weights, tmp_path, place, new):
        content = {"mpd": {"w": torch.zeros(2)}, place: weights, "optim_g": {"state": {}}, "step": 7}
        generator, _ = read(kind, content, tmp_path, _use_new_zipfile_serialization=new)
        self.same(kind, generator, weights)

    def test_are_weights_without_normalisation(self, kind, weights, tmp_path):
        plain = {name.removesuffix("_v"): tensor for name, tensor in weights.items() if not name.endswith("_g")}
        for name in plain.keys() - weights.keys():
            plain[name] = torch._weight_norm(weights[f"{name}_v"], weights[f"{name}_g"], 0)
        self.same(kind, read(kind, plain, tmp_path)[0], weights)

    def test_are_modules_whose_class_is_not_imported(self, kind, weights, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        source = tmp_path / "foreign_vocoder.py"
        source.write_text("import torch\nclass Net(torch.nn.Module):\n    pass\n")
        content = nested(weights, importlib.import_module("foreign_vocoder").Net)
        content.add_module("left_out", None)
        torch.save(content, tmp_path / "g.pt")
        monkeypatch.delitem(sys.modules, "foreign_vocoder")
        source.write_text("raise AssertionError('imported')")
        generator, _ = read_published(kind, tmp_path / "g.pt")
        self.same(kind, generator, weights)
        assert "foreign_vocoder" not in sys.modules


def nested(tensors, make):
    """A module with parts such that its state dict is this."""
    whole = make()
    for name, tensor in tensors.items():
        *parts, last = name.split(".")
        module = whole
        for part in parts:
            if part not in module._modules:
                module.add_module(part, make())
            module = module._modules[part]
        module.register_parameter(last, torch.nn.Parameter(tensor))
    return whole


class Evil:
    """Runs a function of Python's when it is unpickled."""

    def __init__(self, function, argument):
        self.told = function, (argument,)

    def __reduce__(self):
        return self.told


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("function", [exec, os.system, os.mkdir])
def test_nothing_in_a_file_is_run(tmp_path, function, new):
    trace = tmp_path / "trace"
    evil = Evil(function, {exec: f"open({str(trace)!r}, 'w')", os.system: f"touch {trace}"}.get(function, str(trace)))
    weights = official_vocoders.random_weights("melgan")
    for content in (evil, {"generator": weights, "more": evil}, {"generator": {**weights, "generator.1.bias": evil}}):
        torch.save(content, tmp_path / "g.pt", _use_new_zipfile_serialization=new)
        try:
            read_published("melgan", tmp_path / "g.pt")
        except LabError as error:
            assert f"{tmp_path}/g.pt: " in str(error)  # noqa: PT017  # reading may do well without it
        assert not trace.exists()


@pytest.mark.parametrize("new", [True, False])
def test_damaged_files_are_named(tmp_path, new):
    path = tmp_path / "g.pt"
    torch.save(official_vocoders.random_weights("melgan"), path, _use_new_zipfile_serialization=new)
    content = path.read_bytes()
    for length in [*range(0, 600, 97), *range(600, len(content), len(content) // 20), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(LabError, match=r"^input=.*g\.pt: cannot be read"):
            read_published("melgan", path)
    start = content.index(b"generator.1")
    for place in range(start - 40, start + 200, 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x2D]) + content[place + 1 :])
        try:
            read_published("melgan", path)
        except LabError as error:
            assert "g.pt: " in str(error)  # noqa: PT017  # not every byte counts


def broken(**changes):
    changes = {name.replace("_1_", ".1."): tensor for name, tensor in changes.items()}
    weights = {**official_vocoders.random_weights("melgan"), **changes}
    return {name: tensor for name, tensor in weights.items() if tensor is not None}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({}, r"holds no generator of source=melgan \(KeyError: 'generator\.1\.weight'\)"),
        ([torch.zeros(2)], "holds a list, not the tensors of a generator"),
        (torch.zeros(2), "holds a Tensor, not"),
        (official_vocoders.random_weights("hifigan"), "holds no generator of source=melgan"),
        ({"generator": official_vocoders.random_weights("cargan")}, "holds no generator of source=melgan"),
        (broken(generator_1_weight_g=None), r"KeyError: 'generator\.1\.weight_g'"),
        (broken(generator_1_weight_g=torch.ones(5, 1, 1)), "RuntimeError"),
        (broken(generator_1_weight_v=torch.tensor(1.0)), "holds no generator"),
        (broken(generator_1_weight_v=torch.ones(32, 12, 5)), "size mismatch"),
        (broken(generator_1_weight_v=torch.ones(32, 900, 7)), r"LabError: vocoder\.n_mels=900"),
        (broken(generator_1_bias=None), "Missing key"),
        (broken(more=torch.ones(2)), "Unexpected key"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, complaint):
    with pytest.raises(LabError, match=rf"^input=.*g\.pt: .*{complaint}") as caught:
        read("melgan", content, tmp_path)
    assert len(str(caught.value)) < 450 + len(str(tmp_path))


@pytest.mark.parametrize("kind", VOCODERS)
def test_weights_of_other_kinds_are_refused(tmp_path, kind):
    for other in set(VOCODERS) - {kind}:
        with pytest.raises(LabError, match=f"holds no generator of source={kind}"):
            read(kind, official_vocoders.random_weights(other), tmp_path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "zip.pt").write_bytes(b"PK\x05\x06" + 18 * b"\0")
    for name in ("text.pt", "empty.pt", "zip.pt", "none.pt"):
        with pytest.raises(LabError, match=rf"{name}: cannot be read .*Name what torch\.save wrote"):
            read_published("hifigan", tmp_path / name)
