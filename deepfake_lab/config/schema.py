"""Schema of the top level of every command's configuration, and where the configuration lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from deepfake_lab.config.moment import moment
from deepfake_lab.serving.limits import Limits
from deepfake_lab.types import Domain

_PACKAGE = Path(__file__).resolve().parents[1]
CONF = next(folder for folder in (_PACKAGE.parent / "conf", _PACKAGE / "conf") if (folder / "run.yaml").is_file())
"""Folder of the configuration: beside the package in a clone, inside it in a wheel."""


@dataclass
class ModelTraining:
    """Keys of `model` that say how a detector is trained; the others are what it is built from."""

    init: str | None = None
    freeze: list[str] = field(default_factory=list)
    learning_rates: dict[str, float] | None = None
    domain: Domain | None = None
    domain_weight: float = 0.1

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> ModelTraining:
        """What a composed `model` configuration says of training."""
        return cls(**{key: model[key] for key in MODEL_TRAINING if key in model})


MODEL_TRAINING: Final = tuple(entry.name for entry in fields(ModelTraining))


@dataclass
class Prior:
    """What is believed before listening."""

    spoof: float = 0.5  # probability that a recording is fake


@dataclass
class RunConfig:
    """Top level of `conf/run.yaml`; the groups are checked against the signatures of what they configure."""

    data: Any = MISSING
    augment: Any = MISSING
    treatment: Any = MISSING
    frontend: Any = MISSING
    model: Any = MISSING
    loss: Any = MISSING
    task: Any = MISSING
    optim: Any = MISSING
    trainer: Any = MISSING
    callbacks: Any = MISSING
    tracking: Any = MISSING
    loader: Any = MISSING
    stages: list[str] = field(default_factory=lambda: ["fit", "test"])
    metric: str = "dev/eer"
    mode: str = "min"
    seed: int = 0
    checkpoint: str | None = None
    resume: str | None = None
    embedding_cache: str | None = None
    scores_every: int = 4096
    run_dir: str = MISSING
    choices: dict[str, str] = MISSING


@dataclass
class PrepareConfig:
    """Top level of `conf/prepare.yaml`."""

    data: Any = MISSING
    force: bool = False


@dataclass
class AuditConfig:
    """Top level of `conf/audit.yaml`."""

    data: Any = MISSING
    against: Any = None
    treatment: Any = MISSING
    tracking: Any = MISSING
    limit: int = 1000
    threshold: float = 0.4
    workers: int = 0
    seed: int = 0


@dataclass
class SynthesizeConfig:
    """Top level of `conf/synthesize.yaml`."""

    data: Any = MISSING
    vocoder: Any = MISSING
    tracking: Any = MISSING
    stage: str = "train"
    weights: str = MISSING
    seed: int = 0
    workers: int = 0
    minutes: float | None = 6.0
    steps: int | None = None
    batch_size: int = 8
    segment_s: float = 0.5
    checkpoint_every: int = 100
    device: str = "auto"
    force: bool = False
    training: Any = MISSING
    input: str | None = None
    splits: list[str] = MISSING
    output: str | None = None


@dataclass
class ConvertConfig:
    """Top level of `conf/convert.yaml`."""

    treatment: Any = MISSING
    frontend: Any = MISSING
    model: Any = MISSING
    source: str = MISSING
    input: str = MISSING
    output: str = MISSING
    loader: Any = MISSING


@dataclass
class ExportConfig:
    """Top level of `conf/export.yaml`."""

    checkpoint: str = MISSING
    output: str = MISSING


@dataclass
class ReportConfig:
    """Top level of `conf/report.yaml`."""

    what: str = "run"
    models: list[str] | None = None
    checkpoint: str | None = None
    census: str | None = None
    run: str | None = None
    first: Any = None
    second: Any = None
    runs: Any = None
    fusion: str = "mean"
    scores: str | None = None
    key: str | None = None
    dev_scores: str | None = None
    dev_key: str | None = None
    asv: str | None = None
    subset: str = "eval"
    split: str | None = None
    cluster: str = "group"
    replicates: int = 1000
    seed: int = 0
    output: str | None = None
    tracking: Any = MISSING


@dataclass
class PredictConfig:
    """Top level of `conf/predict.yaml`."""

    checkpoint: str = MISSING
    input: Any = MISSING  # a name, or a list of them
    output: str | None = None
    details: bool = False
    explain: str | None = None
    windows: str = "all"
    hop_s: float | None = None
    prior: Prior = field(default_factory=Prior)
    threshold: float = 0.7
    batch_size: int = 16
    device: str = "auto"
    exit_code: str = "files"


@dataclass
class StreamConfig:
    """Top level of `conf/stream.yaml`."""

    checkpoint: str = MISSING
    input: str = MISSING
    raw: int | None = None
    log: str | None = None
    show: str = "changes"
    hop_s: float | None = 0.5
    threshold: float = 0.7
    release: float = 0.5
    prior: Prior = field(default_factory=Prior)
    realtime: bool = False
    device: str = "auto"


@dataclass
class Store:
    """Where runs are recorded, as far as a service needs to know."""

    uri: str = "sqlite:///mlflow.db"


@dataclass
class ServeConfig:
    """Top level of `conf/serve.yaml`."""

    checkpoint: str | None = None
    registered_model: str | None = None
    tracking: Store = field(default_factory=Store)
    host: str = "127.0.0.1"
    port: int = 8000
    keys: str | None = None
    insecure: bool = False
    origins: list[str] = field(default_factory=list)
    proxies: list[str] = field(default_factory=list)
    prior: Prior = field(default_factory=Prior)
    threshold: float = 0.7
    release: float = 0.5
    hop_s: float | None = 0.5
    batch_size: int = 16
    wait_ms: float = 3.0
    poll_s: float = 10.0
    census: str | None = None
    device: str = "auto"
    limits: Limits = field(default_factory=Limits)


@dataclass
class AdversaryConfig:
    """Top level of `conf/adversary.yaml`."""

    checkpoint: str = MISSING
    source: str | None = None
    data: Any = MISSING
    adversary: Any = MISSING
    tracking: Any = MISSING
    snr_db: list[float] = field(default_factory=list)
    epsilon: list[float] | None = None
    targets: str = "both"
    split: str = "test"
    most: int = 200
    checked: int = 16
    batch_size: int = 16
    replicates: int = 1000
    device: str = "auto"
    seed: int = 0
    choices: dict[str, str] = MISSING


@dataclass
class RobustnessConfig:
    """Top level of `conf/robustness.yaml`."""

    checkpoints: Any = MISSING
    data: Any = MISSING
    conditions: Any = MISSING
    tracking: Any = MISSING
    split: str = "test"
    most: int = 1000
    batch_size: int = 32
    num_workers: int | None = None
    cluster: str = "group"
    replicates: int = 1000
    device: str = "auto"
    seed: int = 0
    choices: dict[str, str] = MISSING


@dataclass
class Sweep:
    """How a sweep searches."""

    trials: int = 20
    timeout_s: float | None = None
    jobs: int = 1
    study: str = MISSING
    storage: str = MISSING
    sampler: Any = MISSING
    pruner: Any = None
    space: dict[str, Any] = field(default_factory=dict)


@dataclass
class SweepConfig(RunConfig):
    """Top level of `conf/sweep.yaml`: a run's, and how to search."""

    sweep: Sweep = field(default_factory=Sweep)


@dataclass
class BenchmarkConfig(RunConfig):
    """Top level of `conf/benchmark.yaml`: a run's, and which runs there are."""

    models: list[str] = MISSING
    frontends: list[str] = MISSING
    recipes: Any = None
    seeds: list[int] = MISSING
    settings: list[str] = field(default_factory=list)
    corpora: Any = None
    unseen: list[str] | None = None
    folder: str | None = None
    minutes: float | None = None
    retry: bool = False
    replicates: int = 1000


for _name, _schema in (
    ("run", RunConfig),
    ("prepare", PrepareConfig),
    ("audit", AuditConfig),
    ("synthesize", SynthesizeConfig),
    ("convert", ConvertConfig),
    ("export", ExportConfig),
    ("predict", PredictConfig),
    ("stream", StreamConfig),
    ("serve", ServeConfig),
    ("adversary", AdversaryConfig),
    ("robustness", RobustnessConfig),
    ("report", ReportConfig),
    ("sweep", SweepConfig),
    ("benchmark", BenchmarkConfig),
):
    ConfigStore.instance().store(name=f"{_name}_schema", node=_schema)
OmegaConf.register_new_resolver("moment", moment, use_cache=True, replace=True)
OmegaConf.register_new_resolver("either", lambda first, second: second if first is None else first, replace=True)

# Hydra copies the whole store once for every group that --help lists, which took most of its time. What the store
# hands out it copies anyway, so that all may share it.
ConfigStore.__deepcopy__ = lambda store, memo: store  # type: ignore[attr-defined]
