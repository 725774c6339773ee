"""Everything about MLflow: the only module that imports it."""

from __future__ import annotations

import json
import logging
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made at run time
from mlflow.entities import Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from pytorch_lightning.loggers import MLFlowLogger

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.types import LabError

_MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # or the UI opens on language models
_PARAMS_A_CALL = 100  # the tracking servers' limit


class RunLogger(MLFlowLogger):
    """Lightning's MLflow logger, but the run ends when the lab says so, not when the first Trainer stage ends."""

    def finalize(self, status: str = "success") -> None:
        """Leaves the run open: testing and reporting follow training."""


class Tracking:
    """A place that records runs.

    Args:
        uri: of the tracking store: a database (`sqlite:///mlflow.db`) or a server (`http://host:5000`).
        experiment: name of the MLflow experiment; made when it is missing.
        artifact_location: folder for artifacts of a local store; a server decides for itself.
        system_metrics: also record the use of processor, memory, disk, network and GPU.
    """

    def __init__(
        self,
        uri: str = "sqlite:///mlflow.db",
        experiment: str = "deepfake_lab",
        artifact_location: str = "mlartifacts",
        *,
        system_metrics: bool = True,
    ) -> None:
        file = uri.removeprefix("sqlite:///")
        self.uri = uri if file == uri else f"sqlite:///{Path(file).resolve()}"  # the same wherever a process goes
        self.experiment = experiment
        self.artifact_location = None if self.remote else str(Path(artifact_location).resolve())
        self.system_metrics = system_metrics

    @property
    def remote(self) -> bool:
        """Whether a server stands between the run and the store."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def ui_hint(self) -> str:
        """What a person does to look at the runs."""
        return f"open {self.uri}" if self.remote else f"mlflow ui --backend-store-uri {self.uri}   (or: make ui)"

    def connect(self) -> str:
        """Reaches the store and finds or makes the experiment.

        Returns:
            The experiment's id.

        Raises:
            LabError: the store cannot be reached or refuses.
        """
        for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
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
            urllib.request.urlopen(f"{self.uri.rstrip('/')}/health", timeout=5).close()
        except urllib.error.HTTPError:
            pass  # it answers: that will do
        except (OSError, ValueError) as error:
            raise LabError(
                f"tracking.uri={self.uri}: no MLflow server answers ({error}). Start it (mlflow server), "
                "mend the address, or leave tracking.uri out to use a local database."
            ) from error

    @contextmanager
    def run(
        self, name: str, *, tags: Mapping[str, str] | None = None, run_id: str | None = None, parent: str | None = None
    ) -> Iterator[Run]:
        """Opens a run, or reopens `run_id`, for the length of a `with` block, and closes it with the right status."""
        experiment_id = self.connect()
        try:
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
        run = Run(active.info.run_id, RunLogger(self.experiment, tracking_uri=self.uri, run_id=active.info.run_id))
        status = RunStatus.FAILED
        try:
            yield run
            status = RunStatus.FINISHED
        except (KeyboardInterrupt, SystemExit):  # the latter is what Lightning makes of the former
            status = RunStatus.KILLED
            raise
        finally:
            mlflow.end_run(RunStatus.to_string(status))

    def open_parent(self, name: str) -> str:
        """Makes the parent run of a multirun and returns its id."""
        tags = {"multirun": "parent"}
        return str(mlflow.MlflowClient(self.uri).create_run(self.connect(), run_name=name, tags=tags).info.run_id)

    def close_parent(self, run_id: str, *, finished: bool) -> None:
        """Ends the parent run; it has failed if any of its jobs has."""
        client = mlflow.MlflowClient(self.uri)
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED if finished else RunStatus.FAILED))


class Run:
    """An open run: what the lab records of it, beside the metrics that Lightning sends to `logger`."""

    def __init__(self, run_id: str, logger: RunLogger) -> None:
        self.id = run_id
        self.logger = logger

    def log_config(self, config: Mapping[str, Any]) -> None:
        """Records a composed configuration as parameters (flattened) and as an artifact.

        A resumed run keeps the parameters that it began with.
        """
        known = mlflow.get_run(self.id).data.params
        new = [Param(key, value[:6000]) for key, value in flatten(config).items() if key not in known]
        for first in range(0, len(new), _PARAMS_A_CALL):
            mlflow.MlflowClient().log_batch(self.id, params=new[first : first + _PARAMS_A_CALL])
        mlflow.log_dict(dict(config), "config_resumed.yaml" if known else "config.yaml")

    def log_corpus(self, name: str, manifest: Manifest) -> None:
        """Records the corpus as a data set, with a hash of its manifest."""
        source = LocalArtifactDatasetSource(str(manifest.root.resolve()))
        dataset = MetaDataset(source, name=name, digest=manifest.digest[:36])  # type: ignore[abstract]
        try:
            mlflow.log_input(dataset, context="training")
        except MlflowException:  # jobs that begin together insert the same data set, which only one may do
            mlflow.log_input(dataset, context="training")
        mlflow.set_tag("corpus.sha256", manifest.digest)

    def log_results(self, metrics: Mapping[str, float], step: int, description: str) -> None:
        """Records final metrics and a Markdown description, which the UI shows first."""
        mlflow.log_metrics({name: value for name, value in metrics.items() if value == value}, step=step)
        mlflow.set_tag(MLFLOW_RUN_NOTE, description)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Records numbers that belong to the run as a whole; NaN is left out."""
        mlflow.log_metrics({name: value for name, value in metrics.items() if value == value})

    def log_folder(self, folder: Path, name: str) -> None:
        """Records every file of a folder as artifacts under `name`."""
        mlflow.log_artifacts(str(folder), name)

    def log_file(self, path: Path) -> None:
        """Records one file as an artifact."""
        mlflow.log_artifact(str(path))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags."""
        mlflow.set_tags(dict(tags))


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested configuration to dotted keys and text values; lists of plain values stay together as JSON."""
    flat: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return flat


def source_tags() -> dict[str, str]:
    """The lab's git commit, and whether its files differ from it; empty where there is no git or no repository."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.SubprocessError):
        return {}
