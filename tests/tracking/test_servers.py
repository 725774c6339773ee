"""Tracking against real MLflow servers."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.tracking import Tracking
from deepfake_lab.tracking.registry import Registry

POSTGRESQL = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def running(command, log, is_up, **options):
    """Keeps a server and its children up."""
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True, **options)
    try:
        for _ in range(600):
            if is_up() or process.poll() is not None:
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        os.killpg(process.pid, signal.SIGQUIT)  # at once: MLflow takes ten seconds to end in peace
        process.wait()


@contextlib.contextmanager
def mlflow_server(store, folder):
    """Starts an MLflow server on a store. Gives its address."""
    folder.mkdir()
    address = f"http://127.0.0.1:{(port := free_port())}"

    def is_up():
        try:
            urllib.request.urlopen(f"{address}/health", timeout=2).close()
        except OSError:
            return False
        return True

    command = ["mlflow", "server", "--port", str(port), "--workers", "1", "--backend-store-uri", store]
    variables = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # which triples the time to start
    with running([sys.executable, "-m", *command], folder / "log", is_up, cwd=folder, env=variables):
        yield address


@contextlib.contextmanager
def postgresql():
    """Starts a database server, as another user where this one is root, whom it refuses. Gives a database's address."""
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    user = who.get("user") or pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp())  # not pytest's, which nobody else may enter
    shutil.chown(folder, user)
    try:
        initdb = [POSTGRESQL.with_name("initdb"), "-D", folder / "data", "-A", "trust", "-U", "lab", "--no-sync"]
        subprocess.run([*initdb, "-E", "UTF8", "--locale=C"], cwd=folder, check=True, capture_output=True, **who)
        address = ["-h", "127.0.0.1", "-p", str(free_port())]
        ready = [POSTGRESQL.with_name("pg_isready"), *address, "-q"]
        command = [POSTGRESQL, "-D", folder / "data", *address, "-k", "", "-c", "fsync=off"]
        with running(command, folder / "log", lambda: subprocess.run(ready).returncode == 0, cwd=folder, **who):
            yield f"postgresql+psycopg://lab@127.0.0.1:{address[-1]}/postgres"
    finally:
        shutil.rmtree(folder)


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
