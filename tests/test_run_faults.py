"""What may happen to a run: it ends with a word on what happened and how to go on, and loses no whole epoch."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from deepfake_lab import run as command

TOY = ("experiment=toy", "callbacks.early_stopping=null", "tracking.system_metrics=false")
EVERYTHING = (
    *TOY,
    "callbacks=ema",
    "augment=[codec,noise,shift,specaugment,mixup]",
    "loader.num_workers=2",
    "loader.balance=class",
    "model.encoder.dropout=0.3",
    "trainer.max_epochs=8",
)
"""All that draws at random or remembers from step to step."""


def metrics(run):
    return json.loads((run / "report" / "metrics.json").read_text())


def checkpoint(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, empty_database):
    """Metrics of the run with everything on, done without interruption."""
    folder = tmp_path_factory.mktemp("unbroken")
    shutil.copy(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["run", *EVERYTHING])
        command.main()
    (note,) = folder.glob("runs/*/run.json")
    return metrics(note.parent)


def strike(lab, blow, *overrides):
    """Starts the run with everything on and deals it a blow in its third epoch. Returns status and what it printed."""
    said = []
    with lab.start("deepfake_lab.run", *EVERYTHING, *overrides) as process:
        for line in process.stdout:
            said.append(line)
            if "epoch   2/" in line:
                blow(process.pid)
    return process.returncode, "".join(said)


def loaders(pid):
    """Ids of the processes that load data for one: it has forked them, and so they bear its command."""
    parent = psutil.Process(pid)
    return [child.pid for child in parent.children() if child.cmdline() == parent.cmdline()]


def goes_on(lab, unbroken, *overrides):
    """Whether the struck run, resumed, ends in its own MLflow run with the metrics of the unbroken one."""
    (run,) = lab.runs
    assert not (run / "detector.ckpt").exists(), "it was over before it was struck"
    (before,) = lab.mlflow_runs()["run_id"]
    status, printed = lab("run", f"resume={run}", *overrides)
    assert status == 0, printed
    assert "epoch   1/" not in printed
    assert "epoch   8/" in printed
    (after,) = lab.mlflow_runs().to_dict("records")
    assert (after["run_id"], after["status"]) == (before, "FINISHED")
    assert metrics(run) == unbroken
    return True


class TestNaN:
    def test_stops_training_keeps_the_batch_and_a_lower_rate_goes_on(self, lab):
        assert lab("run", *TOY, "trainer.max_epochs=1", "stages=[fit]", "augment=shift")[0] == 0
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
        status, printed = lab("run", *TOY, "optim.lr=1e30", "loader.batch_size=24", "stages=[fit]")
        assert status == 2
        assert "the dev loss is nan after the last step in epoch 1" in printed
        (run,) = lab.runs
        assert not list(run.glob("checkpoints/*"))
        assert [path.suffix for path in sorted(run.glob("diagnosis/*"))] == [".json", ".npz"]


@pytest.mark.slow
def test_a_kill_with_everything_on_costs_no_whole_epoch(lab, unbroken):
    status, _ = strike(lab, lambda pid: os.kill(pid, signal.SIGKILL))
    assert status == -signal.SIGKILL
    assert goes_on(lab, unbroken)


@pytest.mark.slow
def test_a_killed_loader_is_named_and_fewer_go_on_with_the_same_metrics(lab, unbroken):
    status, printed = strike(lab, lambda pid: os.kill(loaders(pid)[0], signal.SIGKILL))
    assert status == 2, printed
    how = r"(is killed by signal: Killed|exited unexpectedly)"  # as PyTorch happens to notice it
    assert re.search(rf"DataLoader worker \(pid.*\) {how}\. It is one of 2 that load data", printed), printed
    assert "ran out of memory" in printed
    assert f"resume={lab.runs[0]} loader.num_workers=1" in printed
    assert "Traceback" not in printed
    assert list(lab.mlflow_runs()["status"]) == ["FAILED"]
    assert goes_on(lab, unbroken, "loader.num_workers=1")


@pytest.mark.slow
class TestTermination:
    def test_of_all_processes_as_by_slurm_ends_as_killed_and_goes_on(self, lab, unbroken):
        def end(pid):
            for one in (*loaders(pid), pid):
                os.kill(one, signal.SIGTERM)

        status, printed = strike(lab, end)
        assert status == 143, printed
        assert printed.splitlines()[-1] == f"terminated: resume={lab.runs[0]} goes on"
        assert "Traceback" not in printed
        assert list(lab.mlflow_runs()["status"]) == ["KILLED"]
        assert goes_on(lab, unbroken)

    def test_of_the_run_alone_as_by_docker_and_an_interruption(self, lab):
        for number, status, word in ((signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")):
            ended, printed = strike(lab, lambda pid, number=number: os.kill(pid, number))
            assert ended == status, printed
            assert printed.splitlines()[-1] == f"{word}: resume={lab.runs[-1]} goes on"
        assert list(lab.mlflow_runs()["status"]) == ["KILLED", "KILLED"]
        assert all((run / "checkpoints/last.ckpt").is_file() for run in lab.runs)


@pytest.mark.slow
class TestVanishedCorpus:
    @pytest.fixture
    def disk(self, tmp_path):
        """A small file system of its own, unmounted in the end."""
        disk = tmp_path / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("a small file system cannot be mounted here")
        yield disk
        subprocess.run(["umount", "--lazy", disk], check=False)

    def test_is_named_and_the_run_goes_on_when_it_is_back(self, lab, unbroken):
        root, away = lab.folder / "disk", lab.folder / "away"
        status, printed = strike(lab, lambda _: root.rename(away), f"data.root={root}")
        assert status == 2
        assert f"the corpus went away while the run read it: {root}: 72 of 72 audio files are missing" in printed
        assert "Is the disk still mounted?" in printed
        assert f"resume={lab.runs[0]}" in printed
        assert "Traceback" not in printed
        assert list(lab.mlflow_runs()["status"]) == ["FAILED"]
        away.rename(root)
        assert goes_on(lab, unbroken)

    @pytest.mark.slow
    def test_on_a_file_system_that_is_unmounted(self, lab, disk):
        def unmount(_):
            subprocess.run(["umount", "--lazy", disk], check=True)

        status, printed = strike(lab, unmount, f"data.root={disk}/toy")
        assert status == 2
        assert f"the corpus went away while the run read it: {disk}/toy: 72 of 72 audio files are missing" in printed
        assert list(lab.mlflow_runs()["status"]) == ["FAILED"]
