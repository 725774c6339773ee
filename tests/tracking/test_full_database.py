"""A database of MLflow whose disk is really full, at the start of a run and in the middle of it."""

import json
import shutil
import signal
from pathlib import Path

import mlflow
import numpy as np
import pytest

TWELVE_EPOCHS = ("experiment=toy", "trainer.max_epochs=12", "callbacks.early_stopping=null")


@pytest.fixture
def uri(lab, disk):
    """A database on a disk of 64 MB that holds nothing else; the experiment is in it."""
    disk.resize("64m")
    shutil.move(lab.folder / "mlflow.db", disk.folder)
    uri = f"sqlite:///{disk.folder}/mlflow.db"
    mlflow.MlflowClient(uri).create_experiment("deepfake_lab", str(lab.folder / "mlartifacts"))
    return uri


def recorded(uri):
    """Status and numbers of each epoch's training loss of the only run that has any."""
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("deepfake_lab").experiment_id])
    (run,) = [run for run in runs if "train/loss" in run.data.metrics]
    points = client.get_metric_history(run.info.run_id, "train/loss")
    return run.info.status, [point.step for point in points], run.data.metrics


@pytest.mark.parametrize("left", [8_192, 49_152], ids=["no_run_can_be_opened", "its_settings_find_no_room"])
def test_at_the_start_is_named_and_the_run_begins_when_there_is_room(lab, disk, uri, left):
    disk.fill(leave=left)
    status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", f"tracking.uri={uri}")
    assert status == 2, printed
    said = printed.splitlines()[-1]
    assert said.startswith(f"error: {disk.folder}/mlflow.db: cannot be written: no space is left on its disk")
    assert "Make room, then go on" in said
    (disk.folder / "filling").unlink()
    status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", f"tracking.uri={uri}")
    assert status == 0, printed
    assert recorded(uri)[:2] == ("FINISHED", [0])


def test_of_artifacts_at_the_start_is_named(lab, disk):
    disk.fill(leave=0)
    where = f"tracking.artifact_location={disk.folder}/mlartifacts"
    status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", where)
    assert status == 2, printed
    said = printed.splitlines()[-1]
    assert said.startswith(f"error: {disk.folder}/mlartifacts: cannot be written: no space is left on its disk (0 byt")
    (disk.folder / "filling").unlink()
    disk.resize("64m")
    status, printed = lab("run", f"resume={lab.runs[0]}")
    assert status == 0, printed
    assert list(lab.mlflow_runs()["status"]) == ["FINISHED"]


def test_of_artifacts_is_no_reason_to_stop_and_loses_no_file(lab, disk):
    disk.fill(leave=8_192)
    where = f"tracking.artifact_location={disk.folder}/mlartifacts"
    status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", where)
    assert status == 0, printed
    (run,) = lab.runs
    assert f"wait in {run}/outbox.jsonl" in printed
    disk.resize("64m")
    (disk.folder / "filling").unlink()
    status, printed = lab("report", "what=outbox", f"run={run}")
    assert (status, "sent to" in printed) == (0, True), printed
    recorded = lab.mlflow_runs().iloc[0]
    assert recorded["status"] == "FINISHED"
    for name in ("detector.ckpt", "report/report.html"):
        kept = mlflow.artifacts.download_artifacts(run_id=recorded["run_id"], artifact_path=name)
        assert Path(kept).read_bytes() == (run / name).read_bytes()
    (version,) = mlflow.MlflowClient().search_model_versions(f"run_id = '{recorded['run_id']}'")
    model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
    assert model.predict(np.zeros((2, 6400), np.float32)).shape[0] == 2


@pytest.mark.slow
def test_in_training_is_no_reason_to_stop_and_loses_no_number(lab, disk, uri):
    process = lab.start("deepfake_lab.run", *TWELVE_EPOCHS, f"tracking.uri={uri}", PYTHONUNBUFFERED="1")
    next(line for line in process.stdout if "epoch   2/" in line)
    process.send_signal(signal.SIGSTOP)
    disk.fill(leave=0)
    process.send_signal(signal.SIGCONT)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode == 0, printed
    (run,) = lab.runs
    assert (run / "outbox.jsonl").is_file()
    assert f"report what=outbox run={run}" in printed
    (disk.folder / "filling").unlink()
    status, printed = lab("report", "what=outbox", f"run={run}")
    assert (status, "sent to" in printed) == (0, True), printed
    state, epochs, values = recorded(uri)
    assert (state, epochs) == ("FINISHED", list(range(12)))
    reported = json.loads((run / "report/metrics.json").read_text())
    assert values["test/eer"] == pytest.approx(reported["test/eer"])
