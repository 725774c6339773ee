"""Tracking against real MLflow servers."""

import shutil

import numpy as np
import pytest
import torch
from servers import POSTGRESQL, mlflow_server, postgresql

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.tracking import Tracking
from deepfake_lab.tracking.registry import Registry


def test_a_run_is_recorded_on_a_server(lab, empty_database, tmp_path):
    import mlflow

    shutil.copy(empty_database, tmp_path / "server.db")
    with mlflow_server(f"sqlite:///{tmp_path}/server.db", tmp_path / "server") as address:
        status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", f"tracking.uri={address}")
        assert status == 0, printed
        assert f"open {address}" in printed
        client = mlflow.MlflowClient(address)
        experiment = client.get_experiment_by_name("deepfake_lab")
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test/eer"] >= 0
        artifacts = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert artifacts >= {"config.yaml", "report", "detector.ckpt"}

        many = {f"test/eer/attack/A{number:04}": number / 2000 for number in range(1100)}  # more than one request takes
        with Tracking(address, system_metrics=False).run("many") as tracked:
            tracked.log_metrics({**many, "nothing": float("nan")}, step=3)
        assert client.get_run(tracked.id).data.metrics == many
    assert not list(lab.folder.glob("mlartifacts")), "artifacts belong on the server"


@pytest.mark.slow
@pytest.mark.skipif(POSTGRESQL is None, reason="PostgreSQL is not installed: apt-get install postgresql")
def test_a_run_is_recorded_and_promoted_on_a_server_with_postgresql(lab, tmp_path):
    import mlflow

    with postgresql() as database, mlflow_server(database, tmp_path / "server") as address:
        status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", f"tracking.uri={address}")
        assert status == 0, printed
        (run,) = mlflow.search_runs(experiment_names=["deepfake_lab"], output_format="list")
        assert run.info.status == "FINISHED"
        assert run.data.tags["corpus"] == "toy"
        assert run.data.metrics["test/eer"] >= 0

        tracking = Tracking(address)
        registry = Registry(tracking)
        name = registry.name_of(run.info.run_id)
        assert registry.champion(name) is None
        assert registry.promote(run.info.run_id, "the first") == registry.champion(name)

        checkpoint = tracking.fetch(run.info.run_id, "detector.ckpt", tmp_path / "fetched")
        assert checkpoint.read_bytes() == (lab.runs[0] / "detector.ckpt").read_bytes()
        assert set(tracking.score_table(run.info.run_id, "test")["split"]) == {"test"}
        wave = np.random.default_rng(0).standard_normal((2, 6400)).astype(np.float32)
        with torch.inference_mode():
            score = load_detector(checkpoint)(torch.from_numpy(wave)).score
        predicted = mlflow.pyfunc.load_model(f"models:/{name}@champion").predict(wave)
        np.testing.assert_allclose(predicted["score"], score, atol=1e-5)
    assert not list(lab.folder.glob("mlartifacts")), "artifacts belong on the server"
