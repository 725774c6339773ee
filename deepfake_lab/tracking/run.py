"""An open run, and what the lab records of it."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]  # made at run time
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from mlflow.utils.validation import MAX_TAG_VAL_LENGTH
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.tracking.outbox import Entry, Outbox
from deepfake_lab.tracking.registry import log_detector, register

if TYPE_CHECKING:
    from deepfake_lab.tracking.store import Tracking


class RunLogger(Logger):
    """Lightning's way to a run, which stays open: testing and reporting follow training."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run

    @property
    def name(self) -> str:
        """Of the kind of logger."""
        return "mlflow"

    @property
    def version(self) -> str:
        """Id of the run."""
        return self._run.id

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Records numbers of an epoch."""
        self._run.log_epoch(metrics, step or 0)

    @rank_zero_only
    def log_hyperparams(self, params: object) -> None:
        """Nothing: the run has its configuration."""


class Run:
    """An open run: what the lab records of it, beside the metrics that Lightning sends to `logger`.

    Args:
        tracking: where it is recorded.
        run_id: its id.
        outbox: file for what cannot be sent; None: that is an error.
    """

    def __init__(self, tracking: Tracking, run_id: str, outbox: Path | None = None) -> None:
        self.id = run_id
        self.logger = RunLogger(self)
        self.outbox = Outbox(outbox, self._send)
        self._client = mlflow.MlflowClient(tracking.uri)
        self._model_name = tracking.model_name
        self._model_id: str | None = None

    def log_config(self, config: Mapping[str, Any], parameters: Mapping[str, Any] | None = None) -> None:
        """Records a composed configuration as an artifact, and as parameters, which the UI compares.

        Args:
            config: all of it.
            parameters: what of it somebody chose; by default all. A resumed run keeps those that it began with.
        """
        known = mlflow.get_run(self.id).data.params
        if not known:
            chosen = flatten(config if parameters is None else parameters)
            mlflow.MlflowClient().log_batch(self.id, params=[Param(key, value[:6000]) for key, value in chosen.items()])
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
        """Records final metrics, of the model too, and a Markdown description, which the UI shows first."""
        self.log_metrics(metrics, step)
        # the UI sets the cells of a table side by side, without any space
        self.set_tags({MLFLOW_RUN_NOTE: shortened(re.sub(r"(?<![-:]) \|(?=.)", " &emsp;|", description))})

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Records numbers that belong to the run as a whole, and to its model once there is one; NaN is left out."""
        self._log({name: value for name, value in metrics.items() if value == value}, step, of_model=True)

    def log_epoch(self, metrics: Mapping[str, float], step: int) -> None:
        """Records numbers of an epoch."""
        self._log(metrics, step, of_model=False)

    def _log(self, metrics: Mapping[str, float], step: int, *, of_model: bool) -> None:
        now = time.time_ns() // 1_000_000
        numbers = {name: float(value) for name, value in metrics.items()}
        self.outbox.add({"kind": "metrics", "time": now, "step": step, "of_model": of_model, "metrics": numbers})

    def log_detector(self, checkpoint: Path, epochs: int, corpus: str | None) -> None:
        """Records a detector as a pyfunc model: `mlflow.pyfunc.load_model("runs:/ID/detector").predict(waves)`.

        Args:
            checkpoint: file of the detector.
            epochs: how many it was trained. A resumed run that has not trained further records nothing.
            corpus: name of the corpus whose registered model it becomes a version of; None registers nothing.
        """
        name = None if corpus is None else self._model_name(corpus)
        self.outbox.add({"kind": "detector", "file": str(checkpoint.resolve()), "epochs": epochs, "register": name})

    def log_folder(self, folder: Path, name: str) -> None:
        """Records every file of a folder as artifacts under `name`."""
        self.outbox.add({"kind": "folder", "folder": str(folder.resolve()), "name": name})

    def log_file(self, path: Path) -> None:
        """Records one file as an artifact."""
        self.outbox.add({"kind": "file", "file": str(path.resolve())})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Sets tags."""
        self.outbox.add({"kind": "tags", "tags": dict(tags)})

    def end(self, status: str) -> None:
        """Ends the run, as MLflow calls its status."""
        self.outbox.add({"kind": "end", "status": status})

    def _send(self, entry: Entry) -> None:
        """Records an entry of the outbox."""
        match entry["kind"]:
            case "metrics":
                self._client.log_batch(self.id, metrics=self._metrics(entry))
            case "detector":
                logged = log_detector(self.id, Path(entry["file"]), entry["epochs"])
                self._model_id = logged.model_id
                if entry["register"]:
                    register(logged, entry["register"])
            case "folder":
                self._client.log_artifacts(self.id, entry["folder"], entry["name"])
            case "file":
                self._client.log_artifact(self.id, entry["file"])
            case "tags":
                self._client.log_batch(self.id, tags=[RunTag(key, value) for key, value in entry["tags"].items()])
            case "end":
                self._client.set_terminated(self.id, entry["status"])

    def _metrics(self, entry: Entry) -> list[Metric]:
        model = self._model_id if entry["of_model"] else None
        return [
            Metric(name, value, entry["time"], entry["step"], model_id=model, run_id=self.id)
            for name, value in entry["metrics"].items()
        ]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested configuration to dotted keys and text values.

    Lists stay together as JSON, and so do mappings whose keys MLflow takes in no name. The class that a node makes is
    the value of the node's own key: `optim: Adam`.
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        if key == "_target_" and prefix:
            flat[prefix[:-1]] = str(value).rpartition(".")[2]
        elif isinstance(value, Mapping) and value and all(re.fullmatch(r"[\w.\- /]+", key) for key in value):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value) if isinstance(value, list | dict) else str(value)
    return flat


def source_tags() -> dict[str, str]:
    """The lab's git commit, and whether its files differ from it; empty where there is no git or no repository."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", *arguments]  # whichever the user's own path leads to
        return subprocess.run(command, cwd=here, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {"git.commit": git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.SubprocessError):
        return {}


def shortened(markdown: str, most: int = MAX_TAG_VAL_LENGTH) -> str:
    """As many whole sections of a text as fit into so many characters; MLflow would cut a table in two."""
    if len(markdown) <= most:
        return markdown
    hint = "\n\nThe rest is among the artifacts."
    kept = markdown[: most - len(hint)]
    return (kept.rpartition("\n## ")[0] or kept.rpartition("\n")[0]).rstrip() + hint
