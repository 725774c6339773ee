"""Detectors in MLflow: logged by runs, registered as versions of a model, one of them the champion."""

from __future__ import annotations

import io
import tempfile
from contextlib import redirect_stderr
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import mlflow
import mlflow.artifacts
import numpy as np
from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

import deepfake_lab
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from deepfake_lab.tracking.store import Tracking

CHAMPION = "champion"
"""Alias of the version that a team uses: `models:/NAME@champion`."""
_LOGGED_NAME = "detector"  # of the model within its run: runs:/ID/detector
_SCRIPT = Path(__file__).with_name("detector_model.py")
_SIGNATURE = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1))]),
    outputs=Schema([ColSpec("double", "score"), ColSpec("double", "p_fake")]),
    params=ParamSchema([ParamSpec("prior_spoof", "double", 0.5)]),
)


class Version(NamedTuple):
    """A version of a registered model.

    Attributes:
        name: of the registered model.
        number: of the version, from 1.
        run_id: run that trained it.
    """

    name: str
    number: int
    run_id: str

    @property
    def uri(self) -> str:
        """What `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.name}/{self.number}"


class Registry:
    """The registered models of a tracking store.

    Args:
        tracking: the store.

    Raises:
        LabError: the store cannot be used.
    """

    def __init__(self, tracking: Tracking) -> None:
        tracking.connect()
        self._tracking = tracking
        self._client = mlflow.MlflowClient(tracking.uri)

    def name_of(self, run_id: str) -> str:
        """Name of the registered model that a run's detector is, or would become, a version of.

        Raises:
            LabError: there is no such run, or the detector is no version and `tracking.registered_model` is null.
        """
        if registered := self._registered(run_id):
            return registered.name
        name = self._tracking.model_name(self._tracking.find(run_id).data.tags.get("corpus", "unknown"))
        if name is None:
            raise LabError("tracking.registered_model is null: name the model, as in tracking.registered_model=NAME.")
        return name

    def champion(self, name: str) -> Version | None:
        """The champion of a registered model; None as long as nothing has been promoted.

        Raises:
            LabError: the store does not answer.
        """
        try:
            return _version(self._client.get_model_version_by_alias(name, CHAMPION))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no model, no alias
                return None
            raise LabError(f"tracking.uri={self._tracking.uri}: cannot look up model {name} ({error}).") from error

    def checkpoint(self, name: str, number: int, folder: Path) -> Path:
        """Copies the detector of a version into a folder.

        Args:
            name: of the registered model.
            number: of the version.
            folder: where it goes.

        Returns:
            File of its checkpoint.

        Raises:
            LabError: there is no such version, or it holds no detector of the lab.
        """
        uri = f"models:/{name}/{number}"
        try:
            copied = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(folder))
            described = Model.load(copied).flavors["python_function"]["artifacts"]["detector"]["path"]
        except (MlflowException, OSError, KeyError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise LabError(
                f"{uri}: its detector cannot be had ({reason}). Promote a version that a run has left."
            ) from error
        return Path(copied, described)

    def promote(self, run_id: str, reason: str) -> Version:
        """Makes a run's detector the champion; registers it first where that has not been done.

        Args:
            run_id: the run.
            reason: a sentence, which becomes the description of the version.

        Raises:
            LabError: see `name_of`; or the run has left no detector, or one that has learned nothing.
        """
        run = self._tracking.find(run_id)
        if "control" in run.data.tags or run.data.tags.get("learned_nothing") == "true":
            raise LabError(f"run={run_id}: has learned nothing, says its description. Name another run.")
        chosen = self._registered(run_id)
        if chosen is None:
            name = self.name_of(run_id)
            models = logged_detectors(run_id)
            if not models:
                raise LabError(
                    f"run={run_id}: has left no detector, so it can be no champion. Name a run that has trained."
                )
            chosen = register(models[-1], name)
        self._client.update_model_version(chosen.name, str(chosen.number), reason)
        self._client.set_registered_model_alias(chosen.name, CHAMPION, str(chosen.number))
        return chosen

    def _registered(self, run_id: str) -> Version | None:
        """The newest version that a run's detector is."""
        found = self._client.search_model_versions(f"run_id = '{run_id}'")
        return max(map(_version, found), key=lambda version: version.number, default=None)


def log_detector(run_id: str, checkpoint: Path, epochs: int) -> LoggedModel:
    """Logs a detector as a pyfunc model of a run, unless the run has done so after as many epochs.

    `mlflow.pyfunc.log_model` would also copy every metric of the epoch one by one, and load the model to try it.
    """
    for logged in logged_detectors(run_id):
        if logged.tags.get("epochs") == str(epochs):
            return logged
    client = mlflow.MlflowClient()
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, _LOGGED_NAME, run_id, tags={"epochs": str(epochs)}, params=run.data.params
    )
    with tempfile.TemporaryDirectory() as folder:
        mlflow.pyfunc.save_model(
            folder,
            python_model=_SCRIPT,
            artifacts={"detector": str(checkpoint)},
            signature=_SIGNATURE,
            input_example=_example(),
            pip_requirements=_requirements(),
            mlflow_model=Model(model.artifact_location, run_id, model_uuid=model.model_id, model_id=model.model_id),
        )
        client.log_model_artifacts(model.model_id, folder)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, epochs)])
    return client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)


def logged_detectors(run_id: str) -> list[LoggedModel]:
    """The models that a run has logged, whole, oldest first."""
    outputs = mlflow.get_run(run_id).outputs
    models = [mlflow.get_logged_model(output.model_id) for output in outputs.model_outputs] if outputs else []
    ready = [model for model in models if model.status == LoggedModelStatus.READY]
    return sorted(ready, key=lambda model: model.creation_timestamp)


def register(model: LoggedModel, name: str) -> Version:
    """Makes a logged model a version of a registered model, unless it is one already."""
    client = mlflow.MlflowClient()
    for found in client.search_model_versions(f"run_id = '{model.source_run_id}'"):
        if found.name == name and found.source == model.model_uri:
            return _version(found)
    with redirect_stderr(io.StringIO()):  # MLflow's own words on it
        tags = {key: value for key, value in model.params.items() if key in ("model", "frontend", "seed")}
        return _version(mlflow.register_model(model.model_uri, name, tags=tags))


def _version(found: ModelVersion) -> Version:
    return Version(found.name, int(found.version), found.run_id or "")


def _example() -> NDArray[np.float32]:
    """Two waveforms ``(2, 800)``, short and in few digits, since MLflow keeps them as text."""
    noise = np.random.default_rng(0).integers(-64, 64, (2, 800))
    return (noise / 128).astype(np.float32)


def _requirements() -> list[str]:
    """The lab, which brings what it needs, and what decides on the numbers, as they were."""
    pinned = [f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "torch", "torchaudio")]
    return [f"deepfake-lab=={deepfake_lab.__version__}", *pinned]
