"""What may happen to a run: it ends with a word on what happened and how to go on, and loses no whole epoch."""

import json

import numpy as np
import torch

TOY = "experiment=toy"
SMALL_STEPS = (TOY, "callbacks.early_stopping=null", "tracking.system_metrics=false")


def metrics(run):
    return json.loads((run / "report" / "metrics.json").read_text())


def checkpoint(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


class TestNaN:
    def test_stops_training_keeps_the_batch_and_a_lower_rate_goes_on(self, lab):
        assert lab("run", *SMALL_STEPS, "trainer.max_epochs=1", "stages=[fit]", "augment=shift")[0] == 0
        (run,) = lab.runs
        status, printed = lab("run", f"resume={run}", "optim.lr=1e30", "trainer.max_epochs=3")
        assert status == 2
        assert "the training loss is nan in epoch 2, batch 2 (train-0" in printed
        assert f"resume={run} optim.lr=1e+29" in printed
        assert "Traceback" not in printed
        assert list(lab.mlflow_runs()["status"]) == ["FAILED"]
        assert checkpoint(run)["epoch"] == 0, "no step of the broken epoch is in it"

        about = json.loads((run / "diagnosis/epoch002-batch00002.json").read_text())
        assert (about["loss"], about["terms"], about["seed"]) == ("nan", {"cross_entropy": "nan"}, 0)
        assert about["learning_rates"] == [1e30]
        assert set(about["gradient_norms"].values()) == {"nan"}
        assert "encoder.recurrent.weight_ih_l0" in " ".join(about["gradient_norms"])
        with np.load(run / "diagnosis/epoch002-batch00002.npz", allow_pickle=False) as kept:
            assert kept["wave"].shape == kept["heard"].shape == (8, 6400)
            assert set(kept["key"].tolist()) == set(about["peaks"])
            assert np.abs(kept["wave"]).max() > 0.1
            assert (kept["wave"] != kept["heard"]).any(axis=1).any(), "augmented as it was in the step"

        status, printed = lab("run", f"resume={run}", "optim.lr=1e-4", "trainer.max_epochs=2")
        assert status == 0, printed
        assert "epoch   1/" not in printed
        assert checkpoint(run)["optimizer_states"][0]["param_groups"][0]["lr"] == 1e-4
        assert list(lab.mlflow_runs()["status"]) == ["FINISHED"]

    def test_in_the_last_step_of_an_epoch_reaches_no_checkpoint(self, lab):
        status, printed = lab("run", *SMALL_STEPS, "optim.lr=1e30", "loader.batch_size=24", "stages=[fit]")
        assert status == 2
        assert "the dev loss is nan after the last step in epoch 1" in printed
        (run,) = lab.runs
        assert not list(run.glob("checkpoints/*"))
        assert [path.suffix for path in sorted(run.glob("diagnosis/*"))] == [".json", ".npz"]
