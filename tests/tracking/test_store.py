"""The tracking store: what it says when it cannot be used, and what is fetched from it."""

import shutil

import pytest

from deepfake_lab.tracking import Tracking
from deepfake_lab.types import LabError


@pytest.fixture
def recorded(toy_run, tmp_path):
    """A store with one finished run, and the run's id."""
    import mlflow

    database = shutil.copy(toy_run.parents[1] / "mlflow.db", tmp_path)
    tracking = Tracking(f"sqlite:///{database}", artifact_location=str(tmp_path / "artifacts"))
    tracking.connect()
    (run,) = mlflow.search_runs(experiment_names=["deepfake_lab"], output_format="list")
    return tracking, run.info.run_id


def test_a_deleted_experiment_is_named(tmp_path, empty_database):
    import mlflow

    database = tmp_path / "mlflow.db"
    database.write_bytes(empty_database.read_bytes())
    tracking = Tracking(f"sqlite:///{database}", "gone", str(tmp_path / "artifacts"))
    mlflow.MlflowClient(tracking.uri).delete_experiment(tracking.connect())
    with pytest.raises(LabError, match=r"tracking.experiment=gone: the experiment is deleted"):
        tracking.connect()


def test_a_damaged_database_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, but it is long enough to be looked at" * 50)
    with pytest.raises(LabError, match=r"the tracking store cannot be used .*not a database"):
        Tracking(f"sqlite:///{tmp_path}/mlflow.db").connect()


@pytest.mark.parametrize("name", ["", " ", "team/detector", "detector:1"])
def test_a_model_cannot_have_every_name(name):
    with pytest.raises(LabError, match=f"tracking.registered_model={name}: needs a name"):
        Tracking(registered_model=name)


def test_score_tables_are_those_of_the_run(recorded, toy_run):
    tracking, run_id = recorded
    from deepfake_lab.evaluation.scores import read_table

    table = tracking.score_table(run_id, "test")
    assert table.equals(read_table(toy_run / "report/scores/test/trials.parquet"))


def test_artifacts_are_copied(recorded, toy_run, tmp_path):
    tracking, run_id = recorded
    checkpoint = tracking.fetch(run_id, "detector.ckpt", tmp_path / "new/folder")
    assert checkpoint.parent == tmp_path / "new/folder"
    assert checkpoint.read_bytes() == (toy_run / "detector.ckpt").read_bytes()
    assert (tracking.fetch(run_id, "report", tmp_path / "folder") / "report.md").is_file()


def test_what_is_not_there_is_named(recorded, tmp_path):
    tracking, run_id = recorded
    with pytest.raises(LabError, match=r"run=0123: not found in sqlite:.*/mlflow.db"):
        tracking.fetch("0123", "detector.ckpt", tmp_path)
    with pytest.raises(LabError, match=rf"run={run_id}: report/scores/train/trials.parquet cannot be fetched"):
        tracking.score_table(run_id, "train")
    with pytest.raises(LabError, match="no MLflow server answers"):
        Tracking("http://127.0.0.1:9").score_table(run_id, "test")
