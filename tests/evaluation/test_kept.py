"""Scores that are kept as they are given: an interrupted evaluation goes on, and no trial is scored twice."""

import signal
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.evaluation.kept import KeptScores, digest
from deepfake_lab.evaluation.scores import read_table
from deepfake_lab.types import LabError


def score(kept, rows):
    """Tells that rows have been scored, three a batch."""
    for batch in np.array_split(rows, -(-len(rows) // 3)):
        kept.add(torch.tensor(batch), torch.tensor(batch) / 10, {"loss": torch.tensor(float(batch.mean()))})


def test_others_go_on_from_whole_parts(tmp_path):
    first = [KeptScores(tmp_path, 20, every=4, rank=rank, world=2) for rank in range(2)]
    score(first[0], first[0].rows[:7])  # in batches of 3, 2 and 2; and is killed with the last one in memory
    score(first[1], first[1].rows)
    first[1].flush()
    assert len(list(tmp_path.glob("part-*"))) == 3

    second = [KeptScores(tmp_path, 20, every=4, rank=rank, world=3) for rank in range(3)]
    assert sorted(np.concatenate([kept.rows for kept in second])) == [10, 12, 14, 16, 18]
    assert sorted(second[0].known["row"].to_pylist()) == [*range(10), 11, 13, 15, 17, 19]
    for kept in second:
        score(kept, kept.rows)
        kept.flush()
    known = KeptScores(tmp_path, 20).known.to_pandas().sort_values("row")
    assert known["row"].tolist() == list(range(20))
    np.testing.assert_allclose(known["raw_score"], np.arange(20) / 10)
    trials, loss = (sum(column) for column in zip(*(kept.sums(["loss"], known=False) for kept in second), strict=True))
    before = second[0].sums(["loss"], known=True)
    assert (trials + before[0], loss + before[1]) == (20, sum(range(20)))


def test_a_process_without_work_repeats_a_row_and_keeps_nothing(tmp_path):
    alone = KeptScores(tmp_path, 5)
    score(alone, alone.rows)
    alone.flush()
    idle = KeptScores(tmp_path, 5)
    assert idle.rows.tolist() == [0]
    score(idle, idle.rows)
    idle.flush()
    assert idle.sums(["loss"], known=False) == [0, 0]
    assert len(KeptScores(tmp_path, 5).known) == 5


def test_parts_that_contradict_each_other_or_are_damaged_are_named(tmp_path):
    for kept in [KeptScores(tmp_path, 5), KeptScores(tmp_path, 5)]:
        score(kept, kept.rows)
        kept.flush()
    with pytest.raises(LabError, match=r"5 of them twice. Did two runs write there at once"):
        KeptScores(tmp_path, 5)
    part, _ = sorted(tmp_path.glob("part-*"))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(LabError, match=rf"{part.name}: not readable scores"):
        KeptScores(tmp_path, 5)


def test_another_detector_or_another_ear_is_another_evaluation(toy_run, tmp_path):
    detector = load_detector(toy_run / "detector.ckpt")
    manifest = Toy(tmp_path).prepare()
    test = manifest.split("test")
    told = digest(detector, test, {"window_s": 0.4})
    assert told != digest(detector, manifest.split("dev"), {"window_s": 0.4})
    assert told != digest(detector, test, {"window_s": 0.5})
    detector.calibrate(2.0, 1.0)
    assert told == digest(detector, test, {"window_s": 0.4}), "calibration changes no raw score"
    with torch.no_grad():
        next(detector.parameters()).view(-1)[0] += 1e-3
    assert told != digest(detector, test, {"window_s": 0.4})


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_scoring_that_is_killed_goes_on_without_scoring_again(lab, toy_run, processes):
    """Also with another number of processes."""
    checkpoint = toy_run / "detector.ckpt"
    several = ["trainer=ddp", f"trainer.devices={processes}", "trainer.accelerator=cpu"]
    evaluate = ["experiment=toy", "data.utterances=200", "stages=[test]", f"checkpoint={checkpoint}", "scores_every=24"]
    assert lab("run", *evaluate)[0] == 0
    (unbroken,) = lab.runs

    process = lab.start("deepfake_lab.run", *evaluate, *several)
    parts = []
    while process.poll() is None and len(parts) <= 2 * processes:
        parts = list(lab.folder.glob("runs/*/scores/test-*/part-*.parquet"))
        time.sleep(0.01)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = lab.runs[1]
    for child in children:  # which end when it is gone
        child.wait(60)
    kept = pd.concat([pd.read_parquet(part) for part in killed.glob("scores/test-*/part-*.parquet")])
    assert 0 < len(kept) < 400, "the run was over before it could be killed"
    test = Toy(lab.folder / "corpora/toy-200x0.4s-seed0", utterances=200).prepare().split("test")
    for row in kept["row"]:  # who reads one of these again fails
        (test.root / test.table["path"][row].as_py()).write_bytes(b"nothing")

    status, printed = lab("run", f"resume={killed}", "trainer.devices=1")
    assert status == 0, printed
    for split in ("dev", "test"):
        one, two = (read_table(run / f"report/scores/{split}/trials.parquet") for run in (unbroken, killed))
        assert not two["key"].duplicated().any()
        np.testing.assert_allclose(one["raw_score"], two["raw_score"], atol=1e-5, rtol=0)
        pd.testing.assert_frame_equal(one, two, atol=1e-4)  # calibration makes score of raw_score
    recorded = lab.mlflow_runs()
    names = [name for name in recorded if name.startswith(("metrics.dev/", "metrics.test/"))]
    assert "metrics.test/loss" in names
    np.testing.assert_allclose(*recorded[names].to_numpy(dtype=float), atol=1e-4)
    assert not (killed / "scores").exists(), "the report has them now"
