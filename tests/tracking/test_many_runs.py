"""Sweeps whose jobs run side by side: each one is recorded, with all that it measured."""

import mlflow
import pytest
from servers import POSTGRESQL, mlflow_server, postgresql

NEEDS_POSTGRESQL = pytest.mark.skipif(
    POSTGRESQL is None, reason="PostgreSQL is not installed: apt-get install postgresql"
)

pytestmark = pytest.mark.timeout(1200)  # of jobs that share few processors with other work


def sweep(lab, jobs, side_by_side, *settings):
    several = [f"seed=range(0,{jobs})", "hydra/launcher=joblib", f"hydra.launcher.n_jobs={side_by_side}"]
    command = ["deepfake_lab.run", "--multirun", "experiment=toy", "trainer.max_epochs=1", *several, *settings]
    process = lab.start(*command, OMP_NUM_THREADS="1")
    printed = process.communicate(timeout=900)[0]
    assert process.returncode == 0, printed


def assert_all_recorded(uri, jobs):
    client = mlflow.MlflowClient(uri)
    (experiment,) = client.search_experiments(filter_string="name = 'deepfake_lab'")
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * (jobs + 1)
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert sorted(int(run.data.tags["seed"]) for run in children) == list(range(jobs))
    names = set(children[0].data.metrics) - {name for name in children[0].data.metrics if name.startswith("system/")}
    assert {"train/loss", "dev/eer", "test/eer", "test/cm/tp", "model/parameters"} <= names
    for run in children:
        assert names <= set(run.data.metrics)
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"config.yaml", "report"}
    versions = client.search_model_versions("name = 'deepfake-detector-toy'")
    assert sorted(version.run_id for version in versions) == sorted(run.info.run_id for run in children)


@pytest.mark.slow
def test_a_sweep_on_sqlite_loses_none(lab):
    (lab.folder / "mlflow.db").unlink()  # the jobs find no tables
    sweep(lab, 20, 5)
    assert_all_recorded(f"sqlite:///{lab.folder}/mlflow.db", 20)


@NEEDS_POSTGRESQL
@pytest.mark.slow
def test_a_sweep_on_a_server_with_postgresql_loses_none(lab, tmp_path):
    with postgresql() as database, mlflow_server(database, tmp_path / "server") as address:
        sweep(lab, 20, 5, f"tracking.uri={address}")
        assert_all_recorded(address, 20)
