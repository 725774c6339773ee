"""Whisper's encoder as a front-end, by small random ones of the same class, against plain arithmetic."""

import numpy as np
import official_whisper
import pytest
import torch

from deepfake_lab.frontends import whisper
from deepfake_lab.frontends.whisper import SIZES, Whisper
from deepfake_lab.types import LabError

WIDTH, HEADS, LAYERS = 24, 3, 3


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The size tiny, smaller still."""
    monkeypatch.setitem(whisper.SIZES, "tiny", whisper._Size(WIDTH, HEADS, LAYERS))


@pytest.fixture
def weights():
    """Random weights that half precision stores as they are."""
    made = official_whisper.random_weights(WIDTH, LAYERS)
    return {name: tensor.half().float() for name, tensor in made.items()}


@pytest.fixture(params=["openai", "f2", "f4"])
def layout(request):
    return request.param


@pytest.fixture
def loaded(weights, tmp_path):
    """Makes a front-end that has read the weights from a file of that layout."""

    def loaded(layout="openai", **settings):
        path = tmp_path / "weights"
        if layout == "openai":
            torch.save(official_whisper.checkpoint(weights), path)
        else:
            path.write_bytes(official_whisper.ctranslate2(weights, LAYERS, layout))
        frontend = make(weights=str(path), **settings)
        frontend.load_pretrained()
        return frontend.eval()

    return loaded


def make(seed=0, **settings):
    torch.manual_seed(seed)
    return Whisper("tiny", **settings)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("samples", [400, 639, 4_000, 12_345])
def test_states_are_those_of_openai_in_every_layout(loaded, weights, layout, samples):
    wave = noise(3, samples)
    wave[1, : samples // 2] = 0
    wave[2] = 0
    expected = [official_whisper.states(weights, row.numpy(), HEADS, LAYERS) for row in wave]
    frontend = loaded(layout)
    with torch.no_grad():
        frontend.mix.copy_(torch.tensor([0.0, 1.0, 2.0]))
    share = np.exp([0.0, 1.0, 2.0]) / np.exp([0.0, 1.0, 2.0]).sum()
    mixed = torch.stack([sum(w * one for w, one in zip(share, row, strict=True)) for row in expected])
    torch.testing.assert_close(frontend(wave), mixed.mT[:, None].float(), rtol=1e-4, atol=1e-4)
    for number in (1, 2, 3):
        one = torch.stack([row[number - 1] for row in expected]).mT[:, None]
        torch.testing.assert_close(loaded(layout, layer=number)(wave), one, rtol=1e-4, atol=1e-4)


def test_each_layer_can_be_a_channel(loaded, layout, tmp_path):
    wave = noise(2, 4_000)
    frontend = loaded(layout, layer="each")
    assert (frontend.channels, frontend.mix) == (3, None)
    features = frontend(wave)
    for number in (1, 2, 3):
        assert torch.equal(features[:, number - 1], loaded(layout, layer=number)(wave)[:, 0])
    frontend.cache = tmp_path / "cache"
    torch.testing.assert_close(frontend(wave), features, rtol=2e-3, atol=2e-3)


def test_first_layers_alone_are_read_and_say_the_same(loaded, layout):
    wave = noise(2, 4_000)
    for layers in (1, 2):
        frontend = loaded(layout, layers=layers, layer=layers)
        assert len(frontend.backbone.blocks) == layers
        assert torch.equal(frontend(wave), loaded(layout, layer=layers)(wave))
    assert loaded(layout, layers=2).mix.shape == (2,)


def test_sizes_are_those_of_openai():
    published = {"base": (512, 8, 6), "small": (768, 12, 12), "medium": (1024, 16, 24)}
    assert {name: SIZES[name] for name in published} == published


@pytest.mark.parametrize("samples", [201, 319, 320, 321, 480, 16_000, 12_345])
def test_frames_are_what_comes_out_and_do_not_depend_on_the_batch(samples):
    frontend = make().eval()
    assert frontend.frames(samples) == -(-(samples // 160) // 2)
    features = frontend(noise(3, samples))
    assert features.shape == (3, 1, WIDTH, frontend.frames(samples))
    torch.testing.assert_close(frontend(noise(3, samples)[1:2])[0], features[1], rtol=1e-4, atol=1e-5)


def test_the_shortest_waveform_has_a_frame_and_a_shorter_one_is_refused():
    frontend = make()
    assert (frontend.min_samples, frontend.frames(201), frontend.hop) == (201, 1, 320)
    with pytest.raises(LabError, match="at least 201"):
        frontend(noise(1, 200))


def test_recordings_may_be_longer_than_what_whisper_was_trained_on(loaded, weights):
    wave = noise(1, 31 * 16_000)
    expected = official_whisper.states(weights, wave[0].numpy(), HEADS, 1)[0]
    assert expected.shape == (1_550, WIDTH)
    torch.testing.assert_close(loaded(layer=1)(wave)[0, 0], expected.T, rtol=1e-3, atol=1e-3)


def test_frozen_learns_the_weights_of_its_layers_alone():
    frontend = make().train()
    assert not frontend.backbone.training
    assert [name for name, p in frontend.named_parameters() if p.requires_grad] == ["mix"]
    frontend(noise(2, 4_000)).square().sum().backward()
    assert frontend.mix.grad.abs().sum() > 0


def test_trained_gets_gradients_everywhere():
    frontend = make(frozen=False).train()
    assert frontend.backbone.training
    frontend(noise(2, 4_000)).square().sum().backward()
    for name, parameter in frontend.named_parameters():
        assert parameter.grad.any(), name


def test_gradients_to_the_waveform_are_true():
    wave = noise(1, 1_000).double().requires_grad_()
    frontend = make(layer=2).double()
    assert torch.autograd.gradcheck(frontend, wave, eps=1e-7, atol=1e-4, rtol=1e-3, fast_mode=True)


def test_the_cache_gives_the_same_up_to_16_bits(loaded, tmp_path):
    wave, frontend = noise(3, 4_000), loaded()
    exact = frontend(wave)
    frontend.cache = tmp_path / "cache"
    first = frontend(wave)
    torch.testing.assert_close(first, exact, rtol=2e-3, atol=5e-3)
    assert torch.equal(frontend(wave), first)
    assert len(list(frontend.cache.glob("whisper_tiny-*-all/*.npy"))) == 3
    frontend.load_state_dict(make(seed=1).state_dict())
    torch.testing.assert_close(frontend(wave), make(seed=1).eval()(wave), rtol=2e-3, atol=5e-3)


class TestRefusals:
    def refused(self, path, content, **settings):
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(LabError) as caught:
            make(weights=str(path), **settings).load_pretrained()
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert len(message) < 600 + len(str(path))
        return message

    def test_missing(self, tmp_path):
        message = self.refused(tmp_path / "w", None)
        assert "no such file. Name the weights of whisper_tiny with frontend.weights=FILE" in message
        with pytest.raises(LabError, match=r"^frontend\.weights: not given\. Name the weights of whisper_tiny"):
            make().load_pretrained()

    def test_damaged(self, tmp_path, weights):
        torch.save(official_whisper.checkpoint(weights), tmp_path / "w")
        for whole in ((tmp_path / "w").read_bytes(), official_whisper.ctranslate2(weights, LAYERS)):
            for length in [0, 1, 5, *range(10, len(whole), len(whole) // 15), len(whole) - 150]:
                assert "no weights of Whisper (" in self.refused(tmp_path / "w", whole[:length])

    @pytest.mark.parametrize("name", ["attn.query.weight", "attn.value.bias", "attn.out.bias", "mlp_ln.weight"])
    def test_incomplete(self, tmp_path, weights, name):
        del weights[f"encoder.blocks.1.{name}"]
        message = self.refused(tmp_path / "w", official_whisper.checkpoint(weights))
        assert f"(KeyError: 'encoder.blocks.1.{name}')" in message

    @pytest.mark.parametrize("content", [b"text" * 20_000, {"some": 1}, [2], {"model_state_dict": {}}, {"o": make}])
    def test_of_something_else(self, tmp_path, content):
        assert "no weights of Whisper (" in self.refused(tmp_path / "w", content)

    def test_of_another_model_of_ctranslate2(self, tmp_path, weights):
        content = official_whisper.ctranslate2(weights, LAYERS, kind="TransformerSpec")
        assert "(ValueError: version 6 of 'TransformerSpec')" in self.refused(tmp_path / "w", content)

    def test_quantised(self, tmp_path, weights):
        message = self.refused(tmp_path / "w", official_whisper.ctranslate2(weights, LAYERS, "i1"))
        assert message.endswith("a model.bin of CTranslate2 that is not quantised.")

    @pytest.mark.parametrize(("width", "layers", "complaint"), [(32, 3, "size mismatch"), (WIDTH, 2, "KeyError: 'enc")])
    def test_of_another_size(self, tmp_path, width, layers, complaint):
        state = official_whisper.random_weights(width, layers)
        for content in (official_whisper.checkpoint(state), official_whisper.ctranslate2(state, layers)):
            assert complaint in self.refused(tmp_path / "w", content)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"size": "large"}, r"frontend\.size=large: no such Whisper\. Choose from tiny, base, small, medium"),
        ({"layers": 4}, r"frontend\.layers=4: whisper_tiny has 3\. Keep 1 to 3"),
        ({"layers": 0}, "Keep 1 to 3"),
        ({"layers": 2, "layer": 3}, r"frontend\.layer=3: whisper_tiny has layers 1 to 2"),
        ({"layer": 0}, "1 to 3"),
    ],
)
def test_what_does_not_exist(settings, complaint):
    with pytest.raises(LabError, match=complaint):
        Whisper(**{"size": "tiny", **settings})
