"""Several processes on one detector: each trial once, one record, and nobody waits for the dead."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from torch import distributed

from deepfake_lab.evaluation.scores import read_table
from deepfake_lab.tasks.processes import part, together
from deepfake_lab.types import LabError

TOY = "experiment=toy"
TWO = ("trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu")


def fails_in_one(seconds):
    if os.environ["RANK"] == "1":
        raise LabError("the second will not")
    time.sleep(seconds)


def is_killed(seconds):
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)


def gloo_threads():
    names = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    return sum("gloo" in name for name in names)


def parts():
    distributed.init_process_group("gloo")
    distributed.all_reduce(torch.ones(1))
    trainer = [distributed.group.WORLD]
    trainer.append(trainer)  # as trainers and networks hold each other
    del trainer
    before = gloo_threads()
    part()
    return before, gloo_threads()


def test_no_thread_outlives_the_work():
    before, after = together(parts, 2)
    assert before
    assert not after


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (fails_in_one, "the second will not"),
        pytest.param(is_killed, "process 1 of 2 was killed by SIGKILL", marks=pytest.mark.slow),
    ],
)
def test_nobody_waits_for_one_that_has_failed(work, said):
    begun = time.monotonic()
    with pytest.raises(LabError, match=said):
        together(work, 2, 300)
    assert time.monotonic() - begun < 200


def tables(run):
    return {split: read_table(run / f"report/scores/{split}/trials.parquet") for split in ("dev", "test")}


def assert_same(runs, recorded):
    """Two runs have the same trials, each once, with the same scores, and the same metrics."""
    one, two = map(tables, runs)
    for split in one:
        assert not two[split]["key"].duplicated().any()
        np.testing.assert_allclose(one[split]["raw_score"], two[split]["raw_score"], atol=1e-5, rtol=0)
        pd.testing.assert_frame_equal(one[split], two[split], atol=1e-4)  # calibration makes score of raw_score
    names = [name for name in recorded if name.startswith(("metrics.dev/", "metrics.test/"))]
    assert {"metrics.test/eer", "metrics.test/loss", "metrics.test/cm/tp"} <= set(names)
    first, second = recorded[names].to_numpy(dtype=float)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_two_processes_score_as_one(lab, toy_run):
    checkpoint = toy_run / "detector.ckpt"
    # 11 trials a process, in batches of 3
    evaluate = (
        TOY,
        "data.utterances=11",
        "loader.batch_size=6",
        "stages=[test]",
        f"checkpoint={checkpoint}",
    )
    assert lab("run", *evaluate)[0] == 0
    status, printed = lab("run", *evaluate, *TWO)
    assert status == 0, printed
    assert printed.count("MLflow run") == 1
    assert_same(lab.runs, lab.mlflow_runs())


@pytest.mark.slow
def test_torchrun_scores_as_one(lab, toy_run):
    evaluate = (TOY, "stages=[test]", f"checkpoint={toy_run}/detector.ckpt")
    assert lab("run", *evaluate)[0] == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command = ["-m", "deepfake_lab.run", *evaluate, *TWO]
    done = subprocess.run([*torchrun, "--standalone", *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert_same(lab.runs, lab.mlflow_runs())


@pytest.mark.slow
def test_training_in_two_processes_survives_the_death_of_one(lab):
    process = lab.start("deepfake_lab.run", TOY, "trainer.max_epochs=6", "callbacks.early_stopping=null", *TWO)
    for line in process.stdout:
        if "epoch   2/" in line:
            children = psutil.Process(process.pid).children(recursive=True)
            begun = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            max(begun, key=lambda child: (child.create_time(), child.pid)).kill()  # both may begin within one tick
            break
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 2, printed
    assert "process 1 of 2 was killed by SIGKILL" in printed
    (before,) = lab.mlflow_runs().to_dict("records")
    assert before["status"] == "FAILED"
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]

    status, printed = lab("run", f"resume={lab.runs[0]}")
    assert status == 0, printed
    assert "epoch   1/" not in printed
    (after,) = lab.mlflow_runs().to_dict("records")
    assert (after["run_id"], after["status"]) == (before["run_id"], "FINISHED")
    assert list(pd.read_csv(lab.runs[0] / "curves.csv")["epoch"]) == list(range(1, 7))
    assert [file.name for file in lab.folder.rglob("detector.ckpt") if "mlartifacts" not in file.parts] == [
        "detector.ckpt"
    ]


def test_several_machines_need_somebody_to_start_them(lab):
    status, printed = lab("run", TOY, *TWO, "trainer.num_nodes=2")
    assert status == 2
    assert "trainer.num_nodes=2: one command starts processes on its own machine alone" in printed
