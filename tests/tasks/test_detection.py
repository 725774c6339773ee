"""The training step: what is done to a batch before and between, and what is not."""

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from deepfake_lab.augment.codecs import RandomCodec
from deepfake_lab.augment.level import Gain, Polarity
from deepfake_lab.augment.mixup import Mixup
from deepfake_lab.augment.noise import ColouredNoise
from deepfake_lab.augment.spec_augment import SpecAugment
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import Batch, LabError

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are trying to `self.log"),  # a step alone, without a trainer
    pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec"),
]


class Loudness(Encoder):
    """Mean level of each bin; keeps what it has heard."""

    min_frames = 1

    def __init__(self, channels, bins):
        super().__init__()
        self.embedding_dim = channels * bins
        self.scale = nn.Linear(bins, bins)

    def forward(self, features):
        self.heard = features.detach()
        return self.scale(features.mean(dim=-1).flatten(1))


def make(**settings):
    torch.manual_seed(0)
    loss = WeightedCrossEntropy()
    loss.set_prior(1, 1)
    sgd = lambda groups: torch.optim.SGD(groups, lr=1e-3)  # noqa: E731
    detector = Detector(Mel(bins=20), Loudness, window_s=0.2)
    detector.register_forward_pre_hook(lambda module, wave: setattr(module, "heard", wave[0].detach()))
    return DetectionTask(detector, loss, sgd, **settings)


@pytest.fixture(scope="module")
def batch():
    wave = 0.1 * torch.randn(8, 3_200, generator=torch.Generator().manual_seed(3))
    return Batch(wave, torch.tensor([0, 1] * 4), torch.arange(8), tuple("abcdefgh"))


def augmentations(p=0.5):
    return {"noise": ColouredNoise(p=p), "gain": Gain(p=p)}


def test_labels_and_names_say_nothing_to_augmentations(batch):
    """The same waveforms in the same places are treated alike, whatever their class: it is never looked at."""
    other = batch._replace(label=1 - batch.label, row=batch.row + 50, key=batch.key[::-1])
    settings = {"augment": augmentations(), "augment_features": SpecAugment(), "mixup": Mixup(), "views": 2}
    heard = []
    for said in (batch, other):
        task = make(**settings)
        task.training_step(said, 0)
        heard.append((task.detector.heard, task.detector.encoder.heard))
    assert all(torch.equal(*pair) for pair in zip(*heard, strict=True))
    assert not torch.equal(heard[0][0][:8], batch.wave)


def test_steps_are_seeded_and_differ(batch):
    task = make(augment=augmentations(), augment_features=SpecAugment())
    losses = [task.training_step(batch, step).item() for step in (0, 1, 0)]
    assert losses[0] == losses[2] != losses[1]


def test_evaluation_and_checkpoint_know_nothing_of_it(batch):
    plain = make()
    task = make(augment=augmentations(1), augment_features=SpecAugment(p=1), mixup=Mixup(), views=2)
    assert task.state_dict().keys() == plain.state_dict().keys()
    task.eval()
    plain.eval()
    for step in ("validation_step", "test_step"):
        getattr(task, step)(batch, 0)
        getattr(plain, step)(batch, 0)
        assert torch.equal(task.detector.heard, batch.wave)
        assert torch.equal(task.detector.encoder.heard, plain.detector.encoder.heard)
    task.train()
    task.training_step(batch, 0)
    assert (task.detector.encoder.heard[0] != plain.detector.encoder.heard[0]).any()


def test_features_are_masked_in_training(batch):
    task, plain = make(augment_features=SpecAugment(p=1)), make()
    for one in (task, plain):
        one.training_step(batch, 0)
    same = task.detector.encoder.heard == plain.detector.encoder.heard
    assert 0.3 < same.float().mean() < 0.95


def test_the_loss_of_a_mixture_is_that_of_both_labels_by_share(batch):
    task = make(mixup=Mixup(alpha=5.0))
    loss = task.training_step(batch, 0)
    weights = torch.linalg.lstsq(batch.wave.T, task.detector.heard.T).solution.T  # row i: shares of the waves in i
    assert weights.sum(dim=1).numpy() == pytest.approx(1, abs=1e-4)
    spoof = weights @ batch.label.float()
    score = task.detector(task.detector.heard).raw_score
    cost = -(1 - spoof) * torch.nn.functional.logsigmoid(score) - spoof * torch.nn.functional.logsigmoid(-score)
    torch.testing.assert_close(loss, cost.mean(), atol=1e-4, rtol=0)
    assert ((spoof > 0.05) & (spoof < 0.95)).any()


def test_views_are_augmented_each_and_count_once(batch):
    task = make(augment={"noise": ColouredNoise(p=1), "polarity": Polarity(p=0.5)}, views=2)
    task.training_step(batch, 0)
    heard = task.detector.heard
    assert heard.shape == (16, 3_200)
    for view in heard.split(8):
        correlation = (view * batch.wave).sum(dim=1) / (view.norm(dim=1) * batch.wave.norm(dim=1))
        assert (correlation.abs() > 0.7).all()
    assert not torch.equal(*heard.split(8))
    index, label, _ = task.trials["train_trials"].trials()
    assert index.tolist() == list(range(8))
    assert torch.equal(label, batch.label)
    with pytest.raises(LabError, match=r"augment\.views=0"):
        make(views=0)


def test_a_resumed_run_equals_an_unbroken_one(tmp_path):
    def fit(epochs, start=None):
        codec = {"codec": RandomCodec(p=0.5, codecs=["mulaw", "alaw"])}
        data = CorpusDataModule(Toy(tmp_path / "toy"), window_s=0.2, batch_size=8, num_workers=0, augment=codec)
        task = make(augment=augmentations(), augment_features=SpecAugment(), mixup=Mixup())
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(task, datamodule=data, ckpt_path=start, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{epochs}.ckpt")
        return task.detector.state_dict()

    unbroken = fit(2)
    fit(1)
    resumed = fit(2, tmp_path / "1.ckpt")
    for name, tensor in unbroken.items():
        np.testing.assert_array_equal(tensor, resumed[name], err_msg=name)
    assert not torch.equal(make().detector.encoder.scale.weight, unbroken["encoder.scale.weight"])
