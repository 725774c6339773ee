"""What every model under conf/model must do, with its own front-end and with every other."""

from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from deepfake_lab.models.detector import Detector

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(file.stem for file in (CONF / "model").glob("*.yaml"))
FRONTENDS = sorted(file.stem for file in (CONF / "frontend").glob("*.yaml"))


def make(model, frontend=None, seed=0):
    """The detector as shipped, with its usual front-end unless another is named."""
    torch.manual_seed(seed)
    file = OmegaConf.load(CONF / "model" / f"{model}.yaml")
    usual = next(entry["/frontend"] for entry in file.defaults if entry != "_self_")
    return Detector(
        instantiate(OmegaConf.load(CONF / "frontend" / f"{frontend or usual}.yaml")), instantiate(file.model.encoder)
    )


@pytest.fixture(params=MODELS)
def model(request):
    return request.param


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_every_pair_trains(model, frontend):
    detector = make(model, frontend).train()
    output = detector(noise(3, 24_000))
    assert output.score.shape == output.raw_score.shape == (3,)
    assert output.embedding.shape == (3, detector.encoder.embedding_dim)
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


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.003, 0.1, 1.2345, 30.0])
def test_takes_any_length(model, seconds):
    with torch.inference_mode():
        output = make(model).eval()(noise(2, round(seconds * 16_000)))
    assert torch.isfinite(output.score).all()


def test_length_does_not_scale_the_embedding(model):
    """The same signal eight times over says about the same: pooling over time is a mean, not a sum."""
    detector = make(model).eval()
    wave = noise(2, 16_000)
    with torch.inference_mode():
        once, often = detector(wave).embedding.norm(), detector(wave.repeat(1, 8)).embedding.norm()
    assert 0.8 < often / once < 1.25


def test_state_dict_makes_an_equal_detector(model, tmp_path):
    trained = make(model)
    optimizer = torch.optim.SGD(trained.parameters(), 0.1)
    trained(noise(4, 16_000)).raw_score.sum().backward()
    optimizer.step()
    trained.eer_threshold.fill_(0.25)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    other = make(model, seed=1)
    wave = noise(2, 16_000, seed=5)
    assert not torch.equal(other.eval()(wave).score, trained.eval()(wave).score)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other.eval()(wave).score, trained.eval()(wave).score)
    assert other.eer_threshold == 0.25


def test_bf16_autocast_gives_float32_scores_near_the_exact_ones(model):
    detector = make(model).eval()
    seen = []
    detector.encoder.register_forward_pre_hook(lambda _, features: seen.append(features[0]))
    wave = noise(4, 32_000)
    with torch.inference_mode():
        exact = detector(wave)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = detector(wave)
    assert torch.equal(*seen)
    assert seen[1].dtype == torch.float32
    assert not torch.equal(rounded.score, exact.score)
    assert {part.dtype for part in rounded} == {torch.float32}
    torch.testing.assert_close(rounded.score, exact.score, rtol=0.05, atol=0.03)


def test_learns_to_tell_hiss_from_tones(model):
    torch.manual_seed(3)
    label = torch.arange(16) % 2
    tones = torch.sin(torch.arange(16_000) * torch.linspace(0.1, 1.0, 16).unsqueeze(1))
    wave = torch.where(label.bool().unsqueeze(1), tones, torch.randn(16, 16_000))
    detector = make(model).train()
    optimizer = torch.optim.Adam(detector.parameters(), 3e-3)
    for _ in range(12):
        optimizer.zero_grad()
        torch.nn.functional.soft_margin_loss(detector(wave).raw_score, 1.0 - 2.0 * label).backward()
        optimizer.step()
    assert ((detector(wave).raw_score < 0) == label.bool()).all()
