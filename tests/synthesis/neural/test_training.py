"""Objectives against independent arithmetic, and the training of a tiny vocoder."""

import numpy as np
import pytest
import torch

from deepfake_lab.synthesis.neural.discriminator import MultiResolutionDiscriminator
from deepfake_lab.synthesis.neural.losses import (
    Judgement,
    MultiResolutionStft,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from deepfake_lab.synthesis.neural.pwg import ParallelWaveGan
from deepfake_lab.synthesis.neural.source_filter import SourceFilter
from deepfake_lab.synthesis.neural.training import Training
from deepfake_lab.synthesis.neural.vocos import Vocos
from deepfake_lab.synthesis.neural.wavegrad import WaveGrad
from deepfake_lab.types import LabError

RESOLUTIONS = [[256, 64, 200], [128, 32, 128]]


def batches(number):
    """Tones of drawn pitch in noise, (4, 800) each."""
    draw, t = np.random.default_rng(0), np.arange(800) / 16_000
    for _ in range(number):
        pitch = draw.uniform(100, 300, (4, 1))
        wave = sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 9))
        yield torch.from_numpy(0.1 * wave + 0.01 * draw.standard_normal(wave.shape)).float()


@pytest.fixture
def begin():
    """Begins a training; equal seeds begin alike."""

    def training(seed=0, kind=Vocos, **settings):
        torch.manual_seed(seed)
        generator = kind(n_mels=16, n_fft=256, hop=64, width=16, layers=1)
        discriminator = MultiResolutionDiscriminator(2, RESOLUTIONS)
        settings = {"adversarial_from": 2, "learning_rate": 2e-3, **settings}
        loss = MultiResolutionStft(RESOLUTIONS)
        return Training(generator, loss=loss, discriminator=discriminator, seed=seed, **settings)

    return training


def test_stft_loss_is_that_of_the_paper():
    draw = np.random.default_rng(0)
    true, made = (0.1 * draw.standard_normal(2000).astype(np.float32) for _ in range(2))
    expected = []
    for n_fft, hop, window in RESOLUTIONS:
        shape = np.pad(np.hanning(window + 1)[:-1], (n_fft - window) // 2)
        one, other = (
            np.abs(
                np.fft.rfft(np.lib.stride_tricks.sliding_window_view(np.pad(wave, n_fft // 2), n_fft)[::hop] * shape)
            )
            for wave in (true, made)
        )
        convergence = np.linalg.norm(one - other) / np.linalg.norm(one)
        expected.append(convergence + np.abs(np.log(one) - np.log(other)).mean())
    loss = MultiResolutionStft(RESOLUTIONS)
    found = loss(torch.from_numpy(made)[None], torch.from_numpy(true)[None])
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-3)
    assert float(loss(torch.from_numpy(true)[None], torch.from_numpy(true)[None])) == 0


def test_adversarial_losses_are_least_squares():
    real = Judgement([torch.tensor([1.0, 0.5]), torch.tensor([0.0])], [torch.tensor([1.0, 2.0]), torch.tensor([4.0])])
    made = Judgement([torch.tensor([0.0, 0.2]), torch.tensor([3.0])], [torch.tensor([0.0, 4.0]), torch.tensor([4.5])])
    assert float(discriminator_loss(real, made)) == pytest.approx((0.25 / 2 + 0.04 / 2) + (1 + 9))
    assert float(adversarial_loss(made)) == pytest.approx((1 + 0.64) / 2 + 4)
    assert float(feature_loss(real, made)) == pytest.approx((1.5 + 0.5) / 2)


@pytest.mark.parametrize("kind", [Vocos, ParallelWaveGan, WaveGrad])
def test_a_few_dozen_steps_lower_the_loss(begin, kind):
    training = begin(kind=kind, adversarial_from=1000, learning_rate=1e-2)
    for wave in batches(40):
        training.step(wave)
    losses = [terms["stft"] for terms in training.history]
    share = 0.85 if kind is WaveGrad else 0.7  # noise levels of a diffusion differ from step to step
    assert np.mean(losses[-5:]) < share * np.mean(losses[:3])
    own = {"velocity"} if kind is WaveGrad else set()
    assert all(set(terms) == {"stft"} | own for terms in training.history)


def test_both_sides_learn_from_the_step_on_that_is_asked_for(begin):
    training = begin(adversarial_from=2, adversarial_weight=1e-9, feature_weight=1e-9, learning_rate=1e-2)
    before = [parameter.clone() for parameter in training.discriminator.parameters()]
    for number, wave in enumerate(batches(16)):
        training.step(wave)
        moved = any(not torch.equal(*pair) for pair in zip(before, training.discriminator.parameters(), strict=True))
        assert moved == (number >= 2)
    judged = [terms["discriminator"] for terms in training.history[2:]]
    assert judged[-1] < 0.8 * judged[0]
    assert set(training.history[1]) == {"stft"}


def test_a_resumed_training_equals_an_unbroken_one(begin, tmp_path):
    waves = list(batches(6))
    whole, broken = begin(kind=SourceFilter), begin(kind=SourceFilter)  # which draws noise
    for wave in waves:
        whole.step(wave)
    for wave in waves[:4]:
        broken.step(wave)
    torch.save(broken.state_dict(), tmp_path / "state.ckpt")
    resumed = begin(kind=SourceFilter)
    resumed.load_state_dict(torch.load(tmp_path / "state.ckpt", weights_only=True))
    torch.rand(7)  # what is drawn in between does not matter
    for wave in waves[4:]:
        resumed.step(wave)
    assert resumed.steps == 6
    assert resumed.history == whole.history
    for module in ("generator", "discriminator"):
        states = [getattr(training, module).state_dict() for training in (whole, resumed)]
        assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_segments_are_heard_at_levels_that_clip_nowhere(begin):
    training = begin(gain_db=[-6.0, 20.0])
    levelled = training._levelled(torch.full((200, 1), 0.1), np.random.default_rng(0))
    gains = 20 * torch.log10(levelled / 0.1)
    assert gains.min() == pytest.approx(-6, abs=0.5)
    assert float(levelled.max()) == pytest.approx(0.95)


def test_a_loss_that_is_no_number_stops_the_training(begin):
    with pytest.raises(LabError, match=r"the loss is nan at step 0: .* Lower training\.learning_rate"):
        begin().step(torch.full((2, 1000), torch.nan))
