"""Averaged weights are what dev judges, calibrates and keeps; training goes on with its own."""

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.models.detector import FROM_DEV, Detector
from deepfake_lab.models.encoder import Encoder
from deepfake_lab.tasks.averaging import ExponentialMovingAverage, StochasticWeightAverage
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import LabError

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")


class Tiny(Encoder):
    """A layer, batch norm, the mean over time."""

    embedding_dim = 4

    def __init__(self, channels, bins):
        super().__init__()
        self.layer = nn.Linear(channels * bins, 4)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, features):
        return self.norm(self.layer(features.mean(dim=-1).flatten(1))).relu()


class Witness(pl.Callback):
    """Keeps the weights after each step, and those that dev sees."""

    def __init__(self):
        self.steps, self.seen, self.thresholds = [], [], []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.steps.append(weights(pl_module))
        self.thresholds.append(float(pl_module.detector.eer_threshold))

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, *_):
        if batch_idx == 0:
            self.seen.append(weights(pl_module))


def weights(task):
    state = task.detector.state_dict()
    return {name: state[name].clone() for name in state if name not in FROM_DEV and state[name].is_floating_point()}


def make():
    torch.manual_seed(0)
    detector = Detector(Mel(bins=8), Tiny, window_s=0.2)
    detector.config = {}
    return DetectionTask(detector, WeightedCrossEntropy(), lambda groups: torch.optim.Adam(groups, lr=0.02))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return CorpusDataModule(Toy(tmp_path_factory.mktemp("toy")), window_s=0.2, batch_size=8, num_workers=0)


def trainer(epochs, *callbacks, accumulate=1):
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    quiet |= {"accelerator": "cpu", "num_sanity_val_steps": 0, "accumulate_grad_batches": accumulate}
    return pl.Trainer(max_epochs=epochs, callbacks=[*callbacks], **quiet)


def fit(data, epochs, averaging, start=None, accumulate=1):
    task, witness = make(), Witness()
    made = trainer(epochs, averaging, witness, accumulate=accumulate)
    made.fit(task, datamodule=data, ckpt_path=start, weights_only=True)
    return made, task, witness


def close(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], msg=name)


def test_the_moving_average_is_that_of_the_formula(data):
    _, task, witness = fit(data, 3, ExponentialMovingAverage(decay=0.4))
    average, seen = witness.steps[0], []
    for number, present in enumerate(witness.steps):
        keep = min(0.4, (1 + number) / (10 + number)) if number else 0
        average = {name: keep * average[name] + (1 - keep) * tensor for name, tensor in present.items()}
        seen += [average] if number % 3 == 2 else []
    assert len(witness.steps) == 9
    assert [number != number for number in witness.thresholds] == [True] * 3 + [False] * 6, "dev's, also in training"
    for ours, expected in zip(witness.seen, seen, strict=True):
        close(ours, expected)
    close(weights(task), average)
    assert not torch.equal(average["head.weight"], witness.steps[-1]["head.weight"])


def test_calibration_and_threshold_are_the_averages_own(data, tmp_path):
    made, _, _ = fit(data, 3, ExponentialMovingAverage(decay=0.9))
    made.save_checkpoint(tmp_path / "kept.ckpt")
    kept = torch.load(tmp_path / "kept.ckpt", weights_only=True)["state_dict"]
    fresh = make()
    fresh.detector.load_state_dict(
        {name.removeprefix("detector."): tensor for name, tensor in kept.items() if name.startswith("detector.")}
    )
    fresh.detector.calibrate(1.0, 0.0)
    fresh.detector.eer_threshold.fill_(float("nan"))
    trainer(1).validate(fresh, datamodule=data, verbose=False)  # which learns them from dev
    for name in FROM_DEV:
        torch.testing.assert_close(fresh.detector.state_dict()[name], kept[f"detector.{name}"], msg=name)


def test_the_stochastic_average_is_the_mean_of_late_epochs_with_statistics_of_its_own(data):
    _, task, witness = fit(data, 4, StochasticWeightAverage(start=0.5))
    ends = witness.steps[2::3]
    for seen, end in zip(witness.seen[:2], ends[:2], strict=True):
        close(seen, end)
    parameters = [name for name, _ in task.detector.named_parameters()]
    for seen, late in zip(witness.seen[2:], ([ends[2]], ends[2:]), strict=True):
        mean = {name: torch.stack([end[name] for end in late]).mean(dim=0) for name in parameters}
        close({name: seen[name] for name in parameters}, mean)
    close(weights(task), witness.seen[-1])

    loader = data.train_dataloader()
    loader.sampler.set_epoch(3)
    with torch.no_grad():
        features = [task.detector.features(batch.wave).mean(dim=-1).flatten(1) for batch in loader]
        heard = torch.stack([task.detector.encoder.layer(each) for each in features])
    assert len(heard) == 3
    torch.testing.assert_close(task.detector.encoder.norm.running_mean, heard.mean(dim=(0, 1)))
    torch.testing.assert_close(task.detector.encoder.norm.running_var, heard.var(dim=1).mean(dim=0))
    assert task.detector.encoder.norm.momentum == 0.1


@pytest.mark.parametrize("make_average", [ExponentialMovingAverage, lambda: StochasticWeightAverage(start=0)])
def test_a_resumed_run_equals_an_unbroken_one(data, tmp_path, make_average):
    _, unbroken, _ = fit(data, 3, make_average(), accumulate=2)  # so that some batches end without a step
    begun, _, _ = fit(data, 2, make_average(), accumulate=2)
    begun.save_checkpoint(tmp_path / "last.ckpt")
    _, resumed, _ = fit(data, 3, make_average(), start=tmp_path / "last.ckpt", accumulate=2)
    for name, tensor in unbroken.detector.state_dict().items():
        assert torch.equal(tensor, resumed.detector.state_dict()[name]), name


@pytest.mark.parametrize(
    ("averaging", "settings"),
    [
        (ExponentialMovingAverage, {"decay": 1.0}),
        (StochasticWeightAverage, {"start": 1.0}),
        (StochasticWeightAverage, {"norm_batches": 0}),
    ],
)
def test_averages_of_nothing_are_refused(averaging, settings):
    with pytest.raises(LabError, match=r"callbacks\.averaging"):
        averaging(**settings)
