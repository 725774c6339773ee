"""Training that hides the domain: labels by row, gradients of both kinds, what is logged and what is kept."""

import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional

from deepfake_lab.augment.mixup import Mixup
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.losses.cross_entropy import WeightedCrossEntropy
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.domain import reversal_strength
from deepfake_lab.models.linear import Linear
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import LabError

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")


class Backward(pl.Callback):
    """Compares the gradients of each step with those of the terms put together by hand."""

    def __init__(self, weight):
        self.weight, self.compared = weight, 0

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batch = batch, batch_idx

    def on_after_backward(self, trainer, pl_module):
        classifier = pl_module.domain_classifier
        heard, mixture = pl_module.augmented(*self.batch)
        output = pl_module.detector(mixture.wave if mixture else heard.wave)
        logits, domain = classifier.network(output.embedding), classifier.domain_of_row[heard.row]
        guess = functional.cross_entropy(logits, domain)
        if mixture:
            other = functional.cross_entropy(logits, domain[mixture.partner])
            guess = mixture.share * guess + (1 - mixture.share) * other
        (detection,) = pl_module._terms(output, heard, mixture).values()
        strength = self.weight * reversal_strength(trainer.global_step / 6)
        for part, expected in ((pl_module.detector, detection - strength * guess), (classifier, guess)):
            gradients = torch.autograd.grad(expected, part.parameters(), retain_graph=True)
            for parameter, gradient in zip(part.parameters(), gradients, strict=True):
                torch.testing.assert_close(parameter.grad, gradient)
        self.compared += 1


def fit(data, column, weight, *callbacks, mixup=None):
    torch.manual_seed(0)
    detector = Detector(Mel(bins=8), Linear, window_s=0.2)
    task = DetectionTask(detector, WeightedCrossEntropy(), lambda groups: torch.optim.SGD(groups, lr=0.1), mixup=mixup)
    task.hide_domain(column, weight)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(max_epochs=2, accelerator="cpu", num_sanity_val_steps=0, callbacks=[*callbacks], **quiet)
    trainer.fit(task, datamodule=data)
    return trainer, task


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return CorpusDataModule(Toy(tmp_path_factory.mktemp("toy")), window_s=0.2, batch_size=8, num_workers=0)


@pytest.mark.parametrize("mixup", [None, Mixup(alpha=5.0)])
def test_gradients_labels_and_numbers(data, mixup):
    backward = Backward(0.7)
    trainer, task = fit(data, "speaker", 0.7, backward, mixup=mixup)
    assert backward.compared == 6
    speakers = data.split("train").table["speaker"].to_pylist()
    domains = task.domain_classifier.domain_of_row.tolist()
    assert len(set(zip(speakers, domains, strict=True))) == len(set(speakers)) == len(set(domains)) == 3
    logged = trainer.callback_metrics
    assert 0 <= logged["train/domain_accuracy"] <= 1
    assert logged["train/loss/domain"] > 0.5
    assert task.train_losses[-1] < 1, "the detector's alone, which is compared with a constant one's"
    assert not [name for name in task.detector.state_dict() if "domain" in name]


def test_one_domain_is_refused(data):
    with pytest.raises(LabError, match=r"model\.domain=codec: all training utterances of toy are of one, '-'"):
        fit(data, "codec", 0.1)
