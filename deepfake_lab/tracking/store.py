"""The place that records runs: a database or a server."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import mlflow.artifacts
from filelock import FileLock
from mlflow.entities import Metric, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from optuna import TrialPruned
from requests.exceptions import RequestException

from deepfake_lab.data.files import disk_error, is_disk_failure
from deepfake_lab.evaluation.scores import read_table
from deepfake_lab.tracking.outbox import is_outage
from deepfake_lab.tracking.run import Run
from deepfake_lab.types import LabError, Split, causes

if TYPE_CHECKING:
    import pandas as pd

_MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # for the UI
_SETTINGS = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # what a server that is away may cost a run at a time: MLflow itself would ask for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


class Tracking:
    """A place that records runs.

    Args:
        uri: of the tracking store: a database (`sqlite:///mlflow.db`) or a server (`http://host:5000`).
        experiment: name of the MLflow experiment; made when it is missing.
        artifact_location: folder for artifacts of a local store; a server decides for itself.
        registered_model: name of the MLflow model that detectors are versions of, where `{corpus}` stands for the
            corpus of the run; None registers nothing.
        system_metrics: also record the use of processor, memory, disk, network and GPU.

    Raises:
        LabError: MLflow takes no such name of a model.
    """

    def __init__(
        self,
        uri: str = "sqlite:///mlflow.db",
        experiment: str = "deepfake_lab",
        artifact_location: str = "mlartifacts",
        registered_model: str | None = "deepfake-detector-{corpus}",
        *,
        system_metrics: bool = True,
    ) -> None:
        file = uri.removeprefix("sqlite:///")
        self.uri = uri if file == uri else f"sqlite:///{Path(file).resolve()}"  # the same wherever a process goes
        self.experiment = experiment
        self.artifact_location = None if self.remote else str(Path(artifact_location).resolve())
        self.registered_model = registered_model
        self.system_metrics = system_metrics
        if registered_model is not None and (not registered_model.strip() or set(registered_model) & set("/:")):
            raise LabError(f"tracking.registered_model={registered_model}: needs a name without / and :, or null.")

    @property
    def remote(self) -> bool:
        """Whether a server stands between the run and the store."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def ui_hint(self) -> str:
        """What a person does to look at the runs."""
        address = self.uri.rstrip("/") if self.remote else "http://127.0.0.1:5000"
        # a browser that sees MLflow for the first time else opens its pages for language models
        page = f"{address}/#/experiments/{self.connect()}?workflowType=machine_learning"
        return f"open {page}" if self.remote else f"make ui (mlflow ui --backend-store-uri {self.uri}), open {page}"

    def model_name(self, corpus: str) -> str | None:
        """Name of the registered model of a corpus; None if there is to be none."""
        return self.registered_model and self.registered_model.replace("{corpus}", corpus)

    def connect(self) -> str:
        """Reaches the store and finds or makes the experiment.

        Returns:
            The experiment's id.

        Raises:
            LabError: the store cannot be reached or refuses.
        """
        for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        for setting, value in _SETTINGS.items():
            os.environ.setdefault(setting, value)
        if self.remote:
            self._ping()
        mlflow.set_tracking_uri(self.uri)
        # two processes must not create one database at once: its tables exist twice then
        local_file = self.uri.removeprefix("sqlite:///") if self.uri.startswith("sqlite:///") else None
        if local_file and not Path(local_file).parent.is_dir():
            raise LabError(f"tracking.uri={self.uri}: its folder does not exist. Make it, or name another file.")
        try:
            with FileLock(f"{local_file}.lock", timeout=120) if local_file else nullcontext():
                found = mlflow.get_experiment_by_name(self.experiment)
                if found is None:
                    return str(mlflow.create_experiment(self.experiment, self.artifact_location, _MODEL_TRAINING))
        except Exception as error:  # the store's drivers raise errors of many families
            raise LabError(
                f"tracking.uri={self.uri}: the tracking store cannot be used ({str(error).splitlines()[0]}). "
                "Name a database (sqlite:///mlflow.db) in a folder that exists, or a server that runs (http://host:5000)."
            ) from error
        if found.lifecycle_stage != "active":
            raise LabError(
                f"tracking.experiment={self.experiment}: the experiment is deleted. Restore it, or choose another name."
            )
        return str(found.experiment_id)

    def _ping(self) -> None:
        try:
            # of http and https alone: see `connect`; its answer is not read
            urllib.request.urlopen(f"{self.uri.rstrip('/')}/health", timeout=5).close()  # nosec B310
        except urllib.error.HTTPError:
            pass  # it answers: that will do
        except (OSError, ValueError) as error:
            raise LabError(
                f"tracking.uri={self.uri}: no MLflow server answers ({error}). Start it (mlflow server), "
                "mend the address, or leave tracking.uri out to use a local database."
            ) from error

    @contextmanager
    def _with_room(self) -> Iterator[None]:
        """Says within a block that the disk of a local database or of artifacts is full, which MLflow tells otherwise.

        Raises:
            DiskError: it is.
        """
        try:
            yield
        except (MlflowException, LabError) as error:
            if not _is_full(error):
                raise
            raise disk_error(Path(self.uri.removeprefix("sqlite:///")), errno.ENOSPC) from error
        except OSError as error:
            if error.filename or not is_disk_failure(error) or self.artifact_location is None:
                raise
            raise disk_error(Path(self.artifact_location), error.errno or 0) from error  # MLflow's copies name no file

    @contextmanager
    def run(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
        parent: str | None = None,
        outbox: Path | None = None,
    ) -> Iterator[Run]:
        """Opens a run, or reopens `run_id`, for the length of a `with` block, and closes it with the right status.

        Args:
            name: of a new run.
            tags: of the run.
            run_id: of the run to reopen.
            parent: run under which it nests.
            outbox: file for what the store does not take because it is away; None: that is an error.

        Raises:
            LabError: the store cannot be used, or has no such run.
            DiskError: its disk is full.
        """
        with self._with_room():
            experiment_id = self.connect()
            try:
                if run_id is not None:
                    Run(self, run_id, outbox).outbox.flush()
                mlflow.start_run(
                    run_id=run_id,
                    experiment_id=experiment_id,
                    run_name=name,
                    nested=parent is not None,
                    parent_run_id=parent,
                    tags=dict(tags or {}),
                    log_system_metrics=self.system_metrics,
                )
            except MlflowException as error:
                raise LabError(f"tracking.uri={self.uri}: cannot open run {run_id or name} ({error}).") from error
            active = mlflow.active_run()
            assert active is not None
            run = Run(self, active.info.run_id, outbox)
            status = RunStatus.FAILED
            try:
                yield run
                status = RunStatus.FINISHED
            except TrialPruned:  # a sweep has seen enough of it: nothing went wrong
                mlflow.set_tag("pruned", "true")
                status = RunStatus.FINISHED
                raise
            except (KeyboardInterrupt, SystemExit):  # the latter is what Lightning makes of the former
                status = RunStatus.KILLED
                raise
            finally:
                _end(run, RunStatus.to_string(status), waits=outbox is not None)

    def deliver(self, run_id: str, outbox: Path) -> int:
        """Sends what a run could not; returns the number of entries that still wait.

        Raises:
            LabError: the store cannot be used, or has no such run.
        """
        self.find(run_id)
        waiting = Run(self, run_id, outbox).outbox
        waiting.flush()
        return len(waiting)

    def open_parent(self, name: str) -> str:
        """Makes the parent run of a multirun and returns its id."""
        tags = {"multirun": "parent"}
        return str(mlflow.MlflowClient(self.uri).create_run(self.connect(), run_name=name, tags=tags).info.run_id)

    def close_parent(self, run_id: str, *, finished: bool) -> None:
        """Ends the parent run; it has failed if any of its jobs has."""
        client = mlflow.MlflowClient(self.uri)
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED if finished else RunStatus.FAILED))

    def annotate(
        self, run_id: str, metrics: Mapping[str, float], tags: Mapping[str, str], *, killed: bool = False
    ) -> None:
        """Adds to a run that is not open here; `killed` ends one whose process is gone."""
        client = mlflow.MlflowClient(self.uri)
        now = int(time.time() * 1000)
        values = [Metric(name, value, now, 0) for name, value in metrics.items()]
        client.log_batch(run_id, values, tags=[RunTag(name, value) for name, value in tags.items()])
        if killed:
            client.set_terminated(run_id, RunStatus.to_string(RunStatus.KILLED))

    def end_abandoned(self, run_id: str) -> None:
        """Ends a run as failed whose process has been killed, if the store answers; one that has ended stays so."""
        client = mlflow.MlflowClient(self.uri)
        try:
            if client.get_run(run_id).info.status == RunStatus.to_string(RunStatus.RUNNING):
                client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
        except MlflowException as error:
            if not is_outage(error):
                raise

    def find(self, run_id: str) -> mlflow.entities.Run:
        """A run that has been recorded.

        Raises:
            LabError: the store cannot be used, or has no such run.
        """
        self.connect()
        try:
            return mlflow.get_run(run_id)
        except MlflowException as error:
            raise LabError(
                f"run={run_id}: not found in {self.uri} ({str(error).splitlines()[0]}). "
                "The UI and the last line of every run show the id."
            ) from error

    def fetch(self, run_id: str, path: str, folder: Path) -> Path:
        """Copies an artifact of a run, a file or a folder of them, such as `detector.ckpt` or `report`.

        Args:
            run_id: the run.
            path: of the artifact within the run.
            folder: where it goes, under the same path.

        Raises:
            LabError: there is no such run, or it has no such artifact.
        """
        self.find(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=str(folder)))
        except (MlflowException, OSError) as error:
            raise LabError(
                f"run={run_id}: {path} cannot be fetched ({str(error).splitlines()[0]}). Did the run finish?"
            ) from error

    def score_table(self, run_id: str, split: Split) -> pd.DataFrame:
        """Score table of a split: see `deepfake_lab.evaluation.scores`.

        Raises:
            LabError: there is no such run, or it has not scored that split.
        """
        with tempfile.TemporaryDirectory() as folder:
            return read_table(self.fetch(run_id, f"report/scores/{split}/trials.parquet", Path(folder)))


def _is_full(error: BaseException) -> bool:
    """Whether an error comes from an SQLite database that has no room to grow."""
    return any(
        isinstance(one, sqlite3.OperationalError) and one.sqlite_errorcode == sqlite3.SQLITE_FULL
        for one in causes(error)
    )


def _end(run: Run, status: str, *, waits: bool) -> None:
    """Ends the open run, later if the store is away and the run can wait."""
    try:
        run.outbox.flush()
        mlflow.end_run(status)
    except (MlflowException, RequestException) as error:
        if not waits or not is_outage(error):
            raise
        run.end(status)
