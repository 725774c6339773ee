"""Self-supervised transformers as front-ends, by small random ones of the same class."""

import re

import pytest
import torch
from torchaudio import pipelines

from deepfake_lab.frontends.wav2vec2 import Wav2Vec2
from deepfake_lab.types import LabError

SMALL = {
    "encoder_embed_dim": 32,
    "encoder_num_layers": 3,
    "encoder_num_heads": 2,
    "encoder_ff_interm_features": 48,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
    "extractor_conv_layer_config": [[16, 10, 5], *[[16, 3, 2]] * 4, *[[16, 2, 2]] * 2],
}
MODELS = ("wav2vec2_base", "wav2vec2_xlsr_300m", "wavlm_base", "hubert_base")


def make(model="wav2vec2_base", seed=0, **settings):
    torch.manual_seed(seed)
    return Wav2Vec2(model, sizes=SMALL, **settings)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("samples", [400, 719, 720, 16_000, 12_345])
def test_frames_are_what_comes_out_and_do_not_depend_on_the_batch(model, samples):
    frontend = make(model).eval()
    features = frontend(noise(3, samples))
    assert features.shape == (3, 1, 32, frontend.frames(samples))
    torch.testing.assert_close(frontend(noise(3, samples)[1:2])[0], features[1], rtol=1e-4, atol=1e-5)


def test_the_shortest_waveform_has_a_frame_and_a_shorter_one_none():
    frontend = make()
    assert (frontend.min_samples, frontend.frames(400), frontend.frames(399)) == (400, 1, 0)
    with pytest.raises(LabError, match="at least 400"):
        frontend(noise(1, 399))


def test_layers_are_torchaudios_and_all_is_their_weighted_sum():
    frontend = make().eval()
    with torch.no_grad():
        frontend.mix.copy_(torch.tensor([0.0, 1.0, 2.0]))
        states, _ = frontend.backbone.extract_features(noise(2, 4_000))
        weights = torch.tensor([0.0, 1.0, 2.0]).exp()
        expected = sum(weight * state for weight, state in zip(weights / weights.sum(), states, strict=True))
        torch.testing.assert_close(frontend(noise(2, 4_000)).squeeze(1), expected.transpose(1, 2))
        for number in (1, 2, 3):
            one = make(layer=number).eval()
            one.backbone.load_state_dict(frontend.backbone.state_dict())
            torch.testing.assert_close(one(noise(2, 4_000)).squeeze(1), states[number - 1].transpose(1, 2))


def test_frozen_stays_as_it_is_and_learns_the_weights_of_its_layers_alone():
    frontend = make().train()
    assert [name for name, p in frontend.named_parameters() if p.requires_grad] == ["mix"]
    assert torch.equal(frontend(noise(2, 4_000)), frontend(noise(2, 4_000)))  # no dropout
    frontend(noise(2, 4_000)).square().sum().backward()
    assert frontend.mix.grad.abs().sum() > 0


def test_frozen_lets_gradients_reach_the_waveform():
    wave = noise(1, 4_000).requires_grad_()
    make(layer=2)(wave).sum().backward()
    assert wave.grad.abs().sum() > 0


def test_trained_gets_gradients_everywhere_and_dropout():
    frontend = make(frozen=False).train()
    assert not torch.equal(frontend(noise(2, 4_000)), frontend(noise(2, 4_000)))
    frontend(noise(2, 4_000)).square().sum().backward()
    unused = {"backbone.encoder.transformer.layer_norm"}  # of the last layer's output, where that is not taken
    for name, parameter in frontend.named_parameters():
        if name.rpartition(".")[0] not in unused:
            assert parameter.grad is not None, name


class TestWeights:
    def test_come_from_a_file(self, tmp_path):
        other = make(seed=1)
        torch.save({**other.backbone.state_dict(), "aux.weight": torch.zeros(2)}, tmp_path / "w.pth")
        frontend = make(weights=str(tmp_path / "w.pth"))
        frontend.load_pretrained()
        assert torch.equal(frontend.eval()(noise(1, 4_000)), other.eval()(noise(1, 4_000)))

    def test_or_from_where_torchaudio_keeps_them(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        place = tmp_path / "hub/checkpoints" / pipelines.WAVLM_BASE._path
        place.parent.mkdir(parents=True)
        other = make("wavlm_base", seed=1)
        torch.save(other.backbone.state_dict(), place)
        frontend = make("wavlm_base")
        frontend.load_pretrained()
        assert torch.equal(frontend.eval()(noise(1, 4_000)), other.eval()(noise(1, 4_000)))

    def test_that_are_missing(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        place = tmp_path / "hub/checkpoints/wav2vec2_xlsr_300m.pth"
        with pytest.raises(LabError, match=re.escape(f"{place}: the weights of wav2vec2_xlsr_300m")) as caught:
            make("wav2vec2_xlsr_300m").load_pretrained()
        assert "https://download.pytorch.org/torchaudio/models/wav2vec2_xlsr_300m.pth" in str(caught.value)
        assert "frontend.weights=FILE" in str(caught.value)

    @pytest.mark.parametrize("content", [b"no weights", {"some": torch.zeros(1)}, {"object": make}])
    def test_that_are_none(self, tmp_path, content):
        path = tmp_path / "w.pth"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        with pytest.raises(LabError, match="holds no weights of wav2vec2_base"):
            make(weights=str(path)).load_pretrained()


class TestCache:
    @pytest.fixture
    def cached(self, tmp_path):
        frontend = make().eval()
        frontend.cache = tmp_path / "cache"
        return frontend

    def files(self, frontend):
        return sorted(frontend.cache.rglob("*.npy"))

    def test_gives_the_same_up_to_16_bits_the_first_time_and_ever_after(self, cached):
        wave = noise(4, 4_000)
        exact = make().eval()(wave)
        first, again = cached(wave), cached(wave)
        torch.testing.assert_close(first, exact, rtol=2e-3, atol=2e-3)
        assert torch.equal(first, again)
        assert len(self.files(cached)) == 4

    def test_asks_the_transformer_for_what_it_lacks_alone(self, cached, monkeypatch):
        asked = []
        original = cached.backbone.extract_features
        monkeypatch.setattr(
            cached.backbone, "extract_features", lambda wave, **more: asked.append(len(wave)) or original(wave, **more)
        )
        cached(noise(3, 4_000))
        cached(noise(3, 4_000)[[2, 0]])
        cached(torch.cat([noise(3, 4_000), noise(2, 4_000, seed=1)]))
        assert asked == [3, 2]

    def test_the_weights_of_the_layers_go_on_learning(self, cached):
        cached(noise(2, 4_000))
        cached(noise(2, 4_000)).square().sum().backward()
        assert cached.mix.grad.abs().sum() > 0

    def test_other_weights_other_layers_and_other_audio_are_other_entries(self, cached):
        wave = noise(1, 4_000)
        cached(wave)
        for other in (make(seed=1), make(layer=2)):
            other.cache = cached.cache
            torch.testing.assert_close(
                other.eval()(wave), type(other).forward(self.without_cache(other), wave), rtol=2e-3, atol=2e-3
            )
        cached(wave + 1e-4)
        assert len(self.files(cached)) == 4

    def without_cache(self, frontend):
        twin = Wav2Vec2("wav2vec2_base", layer=frontend.layer, sizes=SMALL).eval()
        twin.load_state_dict(frontend.state_dict())
        return twin

    def test_a_reloaded_state_is_noticed(self, cached):
        cached(noise(1, 4_000))
        cached.load_state_dict(make(seed=3).state_dict())
        torch.testing.assert_close(cached(noise(1, 4_000)), make(seed=3).eval()(noise(1, 4_000)), rtol=2e-3, atol=2e-3)

    def test_is_not_used_for_what_is_trained(self, tmp_path):
        frontend = make(frozen=False).eval()
        frontend.cache = tmp_path / "cache"
        frontend(noise(1, 4_000))
        assert not frontend.cache.exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"model": "wav2vec3"}, "Choose from hubert_base, "), ({"layer": 4}, "layers 1 to 3"), ({"layer": 0}, "1 to 3")],
)
def test_what_does_not_exist(settings, complaint):
    with pytest.raises(LabError, match=complaint):
        make(**settings)
