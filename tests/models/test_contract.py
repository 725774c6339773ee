"""What every model under conf/model must do, with its own front-end and with every other."""

import functools
from contextlib import nullcontext
from pathlib import Path

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from deepfake_lab.models.detector import Detector
from deepfake_lab.types import LabError

CONF = Path(__file__).parents[2] / "conf"
MODELS = [*sorted(file.stem for file in (CONF / "model").glob("*.yaml")), "lcnn model.encoder.head=blstm"]
MODELS.remove("ensemble")  # made of detectors, not of a front-end and an encoder: test_ensemble.py
FRONTENDS = sorted(file.stem for file in (CONF / "frontend").glob("*.yaml"))
LEAST_BINS = {"aasist": 1, "crnn_mfcc": 2, "linear": 2}
"""Smallest number of bins that a model takes, where it is not 16."""
SHALLOW = {"encoder_num_layers": 2, "encoder_ff_interm_features": 64}
"""Of transformers, whose width stays as shipped: 12 layers take seconds to make and tell no more."""


@functools.cache
def compose(choice):
    """Configuration of a model and its usual front-end (`model=crnn`), or of a front-end alone (`frontend=mel`).

    Further settings may follow after spaces.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        composed = hydra.compose(overrides=f"+{choice}".split())
    make_shallow(composed.frontend)
    return composed


def make_shallow(node):
    """Takes layers off every transformer in a configuration."""
    if str(node.get("_target_")).endswith("Wav2Vec2"):
        OmegaConf.update(node, "sizes", SHALLOW, force_add=True)
    elif str(node.get("_target_")).endswith("Whisper"):
        node.layers = 1
    for child in node.values():
        if isinstance(child, DictConfig):
            make_shallow(child)


def make_frontend(choice, seed=0):
    """The front-end as shipped, but with few layers where it is a transformer."""
    torch.manual_seed(seed)
    return instantiate(compose(choice).frontend, _convert_="all")


def make(model, seed=0, frontend=None):
    """The detector as shipped, with its usual front-end unless another is given."""
    frontend = frontend or make_frontend(f"model={model}", seed)
    torch.manual_seed(seed)
    return Detector(frontend, instantiate(compose(f"model={model}").model.encoder, _convert_="all"))


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


@pytest.fixture(params=FRONTENDS, scope="module")
def frontend(request):
    return make_frontend(f"frontend={request.param}")


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_every_pair_trains_or_is_refused_with_what_to_take_instead(model, frontend):
    fits = frontend.bins == 1 if model == "aasist" else frontend.bins >= LEAST_BINS.get(model, 16)
    if not fits:
        with pytest.raises(LabError, match=r"bins.*frontend=\w+"):
            make(model, frontend=frontend)
        return
    detector = make(model, frontend=frontend).train()
    detector.zero_grad()
    output = detector(noise(2, max(8_000, detector.min_samples)))
    assert output.score.shape == output.raw_score.shape == (2,)
    assert output.embedding.shape == (2, detector.encoder.embedding_dim)
    assert {part.dtype for part in output} == {torch.float32}
    output.raw_score.square().sum().backward()
    gradients = {name: p.grad for name, p in detector.named_parameters() if p.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()] == []


def test_score_does_not_depend_on_the_batch(model):
    detector = make(model).eval()
    wave = noise(4, 16_000) * torch.tensor([[1.0], [1e-4], [3.0], [0.1]])
    with torch.inference_mode():
        together = detector(wave)
        alone = [detector(row.unsqueeze(0)) for row in wave]
    for i, one in enumerate(alone):
        torch.testing.assert_close(one.score[0], together.score[i], rtol=1e-4, atol=1e-5)


def test_takes_any_length(model):
    detector = make(model).eval()
    for seconds in (1 / 16_000, 0.003, 0.1, 1.2345, 12.0):
        with torch.inference_mode():
            output = detector(noise(1, round(seconds * 16_000)))
        assert torch.isfinite(output.score).all()


def test_scores_over_time_are_the_heads_on_short_stretches(model):
    detector = make(model).eval()
    detector.calibrate(2.0, 1.0)
    wave = noise(1, 64_000)
    with torch.inference_mode():
        plain, output = detector(wave), detector(wave, frames=True)
        disturbed = wave.clone()
        disturbed[:, 32_000:40_000] = 0.14 * torch.sin(0.3 * torch.arange(8_000))  # as loud as the noise
        moved = (detector(disturbed, frames=True).frame_scores - output.frame_scores).abs()
        detector.encoder.local_s = 99.0
        whole = detector(wave, frames=True)
    assert plain.frame_scores.shape == (1, 0)
    torch.testing.assert_close(output.score, plain.score)
    torch.testing.assert_close(whole.frame_scores, plain.score[:, None], rtol=1e-4, atol=1e-5)
    detector.encoder.local_s = type(detector.encoder).local_s
    times = detector.frame_times(moved.shape[1])
    reach = max(detector.encoder.local_s, 2 * float(times[1] - times[0]))
    assert times[0] <= reach
    assert 4 - reach <= times[-1] <= 4
    assert ((times[moved.argmax(1)] - 2.25).abs() < 0.25 + reach).all()


def test_encoder_takes_as_few_frames_as_it_says(model):
    detector = make(model).eval()
    encoder, frontend = detector.encoder, detector.frontend
    for frames in (encoder.min_frames, encoder.min_frames + 1):
        with torch.inference_mode():
            embedding = encoder(noise(2, frontend.channels, frontend.bins, frames))
        assert embedding.shape == (2, encoder.embedding_dim)
        assert torch.isfinite(embedding).all()


def test_moves_between_devices_as_a_whole(model, monkeypatch):
    """The meta device stands for any other: a tensor left behind on the CPU raises."""
    monkeypatch.setattr(torch, "autocast", lambda device, **_: nullcontext())  # it does not know the meta device
    output = make(model).to("meta")(torch.empty(2, 16_000, device="meta"))
    assert {part.device.type for part in output} == {"meta"}
    assert output.score.shape == (2,)


def test_length_does_not_scale_the_embedding(model):
    """The same signal three times over says about the same: pooling over time is a mean, not a sum."""
    detector = make(model).eval()
    wave = noise(1, 64_000)
    with torch.inference_mode():
        once, often = detector(wave).embedding.norm(), detector(wave.repeat(1, 3)).embedding.norm()
    assert 0.8 < often / once < 1.25


def test_state_dict_makes_an_equal_detector(model, tmp_path):
    trained = make(model)
    optimizer = torch.optim.SGD(trained.parameters(), 0.1)
    trained(noise(2, 8_000)).raw_score.sum().backward()
    optimizer.step()
    trained.eer_threshold.fill_(0.25)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    other = make(model, seed=1)
    wave = noise(2, 8_000, seed=5)
    assert not torch.equal(other.eval()(wave).score, trained.eval()(wave).score)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other.eval()(wave).score, trained.eval()(wave).score)
    assert other.eer_threshold == 0.25


def test_bf16_autocast_gives_float32_scores_near_the_exact_ones(model):
    detector = make(model).eval()
    seen = []
    detector.encoder.register_forward_pre_hook(lambda _, features: seen.append(features[0]))
    wave = noise(2, 32_000)
    with torch.inference_mode():
        exact = detector(wave)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = detector(wave)
    assert torch.equal(*seen)
    assert seen[1].dtype == torch.float32
    if any(True for _ in detector.encoder.parameters()):  # else there is nothing to round
        assert not torch.equal(rounded.score, exact.score)
    assert {part.dtype for part in rounded} == {torch.float32}
    torch.testing.assert_close(rounded.score, exact.score, rtol=0.05, atol=0.03)


def test_learns_to_tell_hiss_from_tones(model):
    torch.manual_seed(3)
    label = torch.arange(8) % 2
    tones = torch.sin(torch.arange(4_000) * torch.linspace(0.1, 1.0, 8).unsqueeze(1))
    wave = torch.where(label.bool().unsqueeze(1), tones, torch.randn(8, 4_000))
    detector = make(model).train()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    for step in range(13):
        score = detector(wave).raw_score
        if step and ((score < 0) == label.bool()).all():
            return
        optimizer.zero_grad()
        torch.nn.functional.soft_margin_loss(score, 1.0 - 2.0 * label).backward()
        optimizer.step()
    raise AssertionError(f"twelve steps have taught it nothing: {score}")
