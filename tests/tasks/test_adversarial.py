"""Adversarial training: which waveforms a step trains on, and what the adversary must not touch."""

import json

import pytest
import torch
from make_detectors import hiss_and_tones, small_detector

from deepfake_lab.adversaries.pgd import Pgd
from deepfake_lab.checkpoint import build_detector
from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.tasks.adversarial import AdversarialTask
from deepfake_lab.types import Batch, LabError

pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # a step alone, without a trainer


def make(**settings):
    torch.manual_seed(0)
    detector = build_detector(small_detector({}, {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 16}))
    loss = WeightedCrossEntropy()
    loss.set_prior(1, 1)
    return AdversarialTask(detector, loss, torch.optim.SGD, adversary=Pgd(steps=3), **settings)


@pytest.fixture(scope="module")
def batch():
    torch.manual_seed(1)
    wave, label = hiss_and_tones(16)
    return Batch(wave, label, torch.arange(16), tuple("abcdefghijklmnop"))


def test_some_waveforms_are_changed_within_their_budgets_and_nothing_else(batch):
    task = make(share=0.5, snr_db=(20.0, 40.0))
    heard = []
    task.detector.register_forward_pre_hook(lambda module, wave: heard.append((module.training, wave[0].detach())))
    before = {name: tensor.clone() for name, tensor in task.detector.state_dict().items()}
    loss = task.training_step(batch, 0)
    *attacks, (training, trained) = heard
    assert training
    assert attacks
    assert not any(mode for mode, _ in attacks)
    change = trained - batch.wave
    snr_db = 10 * (batch.wave.square().sum(dim=1) / change.square().sum(dim=1)).log10()
    changed = snr_db.isfinite()
    assert 0 < changed.sum() < 16
    assert ((snr_db[changed] > 19.99) & (snr_db[changed] < 40.1)).all()
    assert set(batch.label[changed].tolist()) == {0, 1}
    state = task.detector.state_dict()
    assert {int(tensor) for name, tensor in state.items() if name.endswith("num_batches_tracked")} == {1}
    assert all(torch.equal(state[name], before[name]) for name, _ in task.detector.named_parameters())
    assert all(parameter.grad is None for parameter in task.detector.parameters())
    loss.backward()
    assert all(parameter.grad is not None for parameter in task.detector.parameters())
    assert task.training_step(batch, 0).item() != task.training_step(batch, 1).item()


def test_evaluation_and_no_share_are_clean(batch):
    task = make(share=0.0)
    heard = []
    task.detector.register_forward_pre_hook(lambda module, wave: heard.append(wave[0]))
    task.training_step(batch, 0)
    task.eval()
    task.share = 1.0
    task.test_step(batch, 0)
    assert len(heard) == 2
    assert all(torch.equal(wave, batch.wave) for wave in heard)


def test_settings_that_mean_nothing_are_refused():
    for settings in ({"share": 1.5}, {"snr_db": (40.0, 20.0)}):
        with pytest.raises(LabError, match=rf"task\.{next(iter(settings))}="):
            make(**settings)


def test_trains_through_the_command_with_an_adversary_of_choice(lab):
    choices = ["adversary@task.adversary=pgd", "task.adversary.steps=2", "augment=noise"]
    status, printed = lab("run", "experiment=toy", "task=adversarial", "trainer.max_epochs=1", *choices)
    assert status == 0, printed
    (run,) = lab.mlflow_runs().to_dict("records")
    assert (run["params.task"], run["params.task.adversary"]) == ("AdversarialTask", "Pgd")
    assert run["params.task.adversary.steps"] == "2"
    (folder,) = lab.runs
    assert "test/eer" in json.loads((folder / "report/metrics.json").read_text())
