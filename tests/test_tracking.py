"""Tracking against a real MLflow server."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from deepfake_lab.tracking import Tracking, flatten
from deepfake_lab.types import LabError


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def server(tmp_path, empty_database):
    """Address of an MLflow server on this machine."""
    (tmp_path / "server").mkdir()
    database = tmp_path / "server" / "mlflow.db"
    database.write_bytes(empty_database.read_bytes())
    address = f"http://127.0.0.1:{(port := free_port())}"
    command = [
        "mlflow",
        "server",
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{database}",
    ]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", *command], cwd=tmp_path / "server", stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_a_run_is_recorded_on_a_server(lab, server):
    import mlflow

    status, printed = lab("run", "experiment=toy", "trainer.max_epochs=1", f"tracking.uri={server}")
    assert status == 0, printed
    assert f"open {server}" in printed
    client = mlflow.MlflowClient(server)
    experiment = client.get_experiment_by_name("deepfake_lab")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/eer"] >= 0
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"config.yaml", "report", "detector.ckpt"}
    assert not list(lab.folder.glob("mlartifacts")), "artifacts belong on the server"


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


def test_flatten_gives_dotted_keys_and_text():
    nested = {"a": {"b": 1, "c": {"d": None}}, "e": [1, {"f": 2}], "g": {}}
    assert flatten(nested) == {"a.b": "1", "a.c.d": "None", "e": '[1, {"f": 2}]', "g": "{}"}
