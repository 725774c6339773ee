import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from deepfake_lab.tasks.curves import LearningCurves

RATES = [0.5, 0.2, 0.3, 0.2, 0.1]

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")


class Scripted(pl.LightningModule):
    """Its dev EER in each epoch is known beforehand."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        loss = (self.weight + 1 - batch).square().mean()
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=1)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log_dict({"dev/loss": 1.0, "dev/eer": RATES[self.current_epoch]}, batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, epochs, checkpoint=None, monitor="dev/eer", mode="min"):
    data = DataLoader(torch.zeros(2, 1))
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True)
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        callbacks=[last, LearningCurves(str(folder / "curves.csv"), monitor, mode)],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Scripted(), data, data, ckpt_path=checkpoint, weights_only=True)
    return pd.read_csv(folder / "curves.csv")


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")
def test_a_resumed_run_goes_on_with_its_curves(tmp_path):
    begun = fit(tmp_path, 4)
    assert list(begun["epoch"]) == [1, 2, 3, 4]
    assert begun["dev/eer"].tolist() == pytest.approx(RATES[:4])
    assert begun["epoch"][begun["kept"]].tolist() == [2]  # the first of equals
    assert (begun["train/loss"].diff().dropna() < 0).all()
    (tmp_path / "curves.csv").unlink()
    resumed = fit(tmp_path, 5, tmp_path / "last.ckpt")
    pd.testing.assert_frame_equal(resumed[:4].drop(columns="kept"), begun.drop(columns="kept"))
    assert resumed["epoch"][resumed["kept"]].tolist() == [5]


def test_what_is_kept_may_be_the_largest(tmp_path):
    curves = fit(tmp_path, 2, mode="max")
    assert curves["epoch"][curves["kept"]].tolist() == [1]


def test_a_metric_that_is_not_known_yet_marks_nothing(tmp_path):
    assert not fit(tmp_path, 1, monitor="train/eer")["kept"].any()
