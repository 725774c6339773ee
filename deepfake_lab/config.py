"""Configuration: schema of the top level, checks before any work, and the way every command starts."""

from __future__ import annotations

import atexit
import difflib
import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import hydra
import hydra.utils
import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepfake_lab.types import LabError

_PACKAGE = Path(__file__).resolve().parent
CONF = next(folder for folder in (_PACKAGE.parent / "conf", _PACKAGE / "conf") if (folder / "run.yaml").is_file())
"""Folder of the configuration: beside the package in a clone, inside it in a wheel."""

PARENT_RUN_VARIABLE = "DEEPFAKE_LAB_PARENT_RUN"
"""Environment variable that tells the jobs of a multirun their parent's run id."""
_NO_CHOICE = ("_partial_", "_convert_", "_recursive_", "tracking", "run_dir", "resume")
USER_ERROR = 2
INTERRUPTED = 130


@dataclass
class Prior:
    """What is believed before listening."""

    spoof: float = 0.5  # probability that a recording is fake


@dataclass
class RunConfig:
    """Top level of `conf/run.yaml`; the groups are checked against the signatures of what they configure."""

    data: Any = MISSING
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
    run: str | None = None
    first: Any = None
    second: Any = None
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
    input: str = MISSING
    output: str | None = None
    windows: str = "all"
    prior: Prior = field(default_factory=Prior)
    threshold: float = 0.7
    batch_size: int = 16
    device: str = "auto"


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
    ("convert", ConvertConfig),
    ("export", ExportConfig),
    ("predict", PredictConfig),
    ("report", ReportConfig),
    ("sweep", SweepConfig),
    ("benchmark", BenchmarkConfig),
):
    ConfigStore.instance().store(name=f"{_name}_schema", node=_schema)
OmegaConf.register_new_resolver("either", lambda first, second: second if first is None else first, replace=True)


def launch(name: str, command: Callable[[DictConfig], Any]) -> None:
    """Composes `conf/{name}.yaml` with the command line and runs `command` on it.

    Errors that a user can mend are printed without a traceback, with suggestions for misspelt names, and end the
    process with status 2.
    """
    # A waiting thread must not spin: with another busy process on the machine a training step takes 15 times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing: the messages below are ours
    sys.argv[1:] = map(quoted, sys.argv[1:])
    try:
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(command)()
    except (KeyboardInterrupt, SystemExit) as stop:
        # Lightning turns an interruption into an exit of its own
        if isinstance(stop, SystemExit) and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        print("interrupted: a run goes on with resume=RUN_DIR, all else when called again", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except (LabError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {explain(error, name, sys.argv[1:])}", file=sys.stderr)
        sys.exit(USER_ERROR)


def quoted(argument: str) -> str:
    """An argument that Hydra takes as it stands: paths with umlauts, brackets or commas need quotes in its grammar."""
    key, equals, value = argument.partition("=")
    if argument.startswith("-") or not equals:
        return argument
    try:
        override = OverridesParser.create().parse_override(argument)
        plain = not (override.is_sweep_override() and Path(value).exists())
    except HydraException:
        plain = False
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return argument if plain else f"{key}='{escaped}'"


def explain(error: Exception, config_name: str, overrides: Sequence[str]) -> str:
    """One message out of an error: what is wrong, and the nearest name that exists."""
    if isinstance(error, LabError):
        # an error out of a data worker comes with its traceback in front
        return re.sub(r"\ACaught \w+ in DataLoader worker.*\n[\w.]*Error: ", "", str(error), flags=re.DOTALL)
    if missing := re.search(r"Could not find '([^']+)/([^'/]+)'", str(error)):
        group, choice = missing.groups()
        options = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
        return f"{group}={choice}: no such choice. {suggestion(choice, options)}Choices: {', '.join(options)}."
    if unknown := re.search(r"Could not (?:override|append to config|delete from config)[^']*'([^']+)'", str(error)):
        key, known = unknown.group(1), known_keys(config_name, overrides)
        if key in known:
            return f"{key}: an entry is new to it. To add one, write +{key}=..."
        return f"{key}: no such key. {suggestion(key, known)}--cfg job shows every key."
    if mandatory := re.search(r"Missing mandatory value: ([\w.]+)", str(error)):
        return f"{mandatory.group(1)} is needed: {mandatory.group(1)}=... (--help shows the keys)."
    cause = f": {str(error.__cause__).splitlines()[0]}" if error.__cause__ else ""
    return f"{str(error).splitlines()[0]}{cause}"


def suggestion(word: str, known: Sequence[str]) -> str:
    """'Did you mean ...? ' with the nearest known words, or nothing."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if not near and "." not in word:
        near = difflib.get_close_matches(word, [key for key in known if "." not in key], n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}? " if near else ""


def known_keys(config_name: str, overrides: Sequence[str]) -> list[str]:
    """Dotted keys of the composed configuration, with those group choices of the command line that exist."""
    groups = [
        o for o in overrides if re.fullmatch(r"[a-z_/]+=\w+", o) and (CONF / f"{o.replace('=', '/')}.yaml").is_file()
    ]
    return list(_dotted(OmegaConf.to_container(compose(config_name, groups), resolve=False)))


def compose(name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Composes `conf/{name}.yaml` from within a command that was started by another."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, list(overrides))


def _dotted(config: object, prefix: str = "") -> Iterator[str]:
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield f"{prefix}{key}"
            yield from _dotted(value, f"{prefix}{key}.")


def resolved(config: DictConfig) -> dict[str, Any]:
    """The configuration as plain containers with every interpolation resolved, checked by `check_targets`.

    Raises:
        LabError: a mandatory value is missing or a value does not fit what it configures.
    """
    schema = OmegaConf.get_type(config)
    known = [entry.name for entry in fields(schema)] if is_dataclass(schema) else list(map(str, config))
    for key in map(str, config):
        if key not in known:
            raise LabError(f"{key}: no such key. {suggestion(key, known)}--cfg job shows every key.")
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise LabError(f"{missing[0]} is needed: {missing[0]}=... (--help shows the keys).")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    check_targets(plain)
    return {str(key): value for key, value in plain.items()}


def chosen(config: DictConfig) -> dict[str, Any]:
    """What of a configuration somebody chose.

    What only repeats other values is left out, such as paths in the run's folder; so are the place of record and how
    Hydra builds things.
    """
    own: dict[str, Any] = {}
    for key in map(str, config):
        if OmegaConf.is_interpolation(config, key) or key in _NO_CHOICE:
            continue
        value = config[key]
        if isinstance(value, DictConfig) and len(value):
            own |= {key: part} if (part := chosen(value)) else {}
        else:
            own[key] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    return own


def resumed(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Configuration of the interrupted run in `config.resume`, with plain `key=value` overrides on top.

    Raises:
        LabError: the folder holds no run that can go on, or an override would make it another run.
    """
    run_dir = Path(config.resume)
    saved = run_dir / "config.yaml"
    if not saved.is_file():
        raise LabError(
            f"resume={run_dir}: holds no config.yaml, so no run began there. Name the folder of a run: runs/..."
        )
    merged = OmegaConf.load(saved)
    for override in overrides:
        key, _, value = override.partition("=")
        if key.startswith(("+", "~")) or (CONF / key).is_dir():
            raise LabError(
                f"{override}: a resumed run keeps its groups. Change single keys (trainer.max_epochs=20) or begin anew."
            )
        OmegaConf.update(merged, key, yaml.safe_load(value))
    assert isinstance(merged, DictConfig)
    return merged


def build(node: Mapping[str, Any], **objects: object) -> Any:  # noqa: ANN401  # as many types as there are nodes
    """Makes what a `_target_` node describes, given also `objects`; a `_partial_` node stays partial."""
    made = hydra.utils.instantiate(node, _convert_="all", _partial_=True)  # objects never pass through Hydra: it copies
    return made if node.get("_partial_") else made(**objects)


def check_targets(config: object, path: str = "") -> None:
    """Checks every `_target_` node against the signature of what it names, before any work is done.

    Raises:
        LabError: a target does not exist, a key is unknown or missing, or a value has the wrong type.
    """
    if isinstance(config, Mapping):
        if "_target_" in config:
            _check_target(config, path)
        for key, value in config.items():
            check_targets(value, f"{path}.{key}" if path else str(key))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            check_targets(value, f"{path}[{number}]")


def _check_target(node: Mapping[str, Any], path: str) -> None:
    target = _locate(str(node["_target_"]), path)
    parameters = inspect.signature(target).parameters
    given = {
        key: value
        for key, value in node.items()
        if key not in ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")
    }
    for key in given:
        if key not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            hint = suggestion(key, list(parameters))
            raise LabError(
                f"{path}.{key}: {node['_target_']} takes no '{key}'. {hint}It takes: {', '.join(parameters)}."
            )
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError):  # annotations that exist for type checkers only
        return
    for key, value in given.items():
        if key in hints and not _is_node(value):
            _check_value(hints[key], value, f"{path}.{key}")


def _is_node(value: object) -> bool:
    """Whether something is to be built out of a value, so that its type says nothing yet."""
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_is_node, value.values()))
    return isinstance(value, list) and any(map(_is_node, value))


def _check_value(
    annotation: Any,  # noqa: ANN401  # annotations have no common type
    value: object,
    path: str,
) -> None:
    import pydantic

    try:
        adapter: pydantic.TypeAdapter[object] = pydantic.TypeAdapter(
            annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True)
        )
    except pydantic.errors.PydanticUserError:  # an annotation beyond pydantic
        return
    try:
        adapter.validate_python(value)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise LabError(f"{path}={value}: {first['msg'][0].lower()}{first['msg'][1:]}.") from error


def _locate(target: str, path: str) -> Callable[..., object]:
    module_name, _, name = target.rpartition(".")
    try:
        found: Callable[..., object] = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise LabError(
            f"{path}._target_={target}: cannot be found ({error}). Name a class as package.module.Class."
        ) from error
    return found


class MultirunParent(Callback):
    """Hydra callback: one parent run for a multirun, under which its jobs nest."""

    def __init__(self) -> None:
        self._close: Callable[..., None] | None = None

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Opens the parent and tells the jobs, through the environment, which every launcher passes on."""
        tracking = build(config.tracking)
        run_id = tracking.open_parent(Path(config.hydra.sweep.dir).name)
        os.environ[PARENT_RUN_VARIABLE] = run_id
        self._close = functools.partial(tracking.close_parent, run_id)
        atexit.register(self._end, finished=False)

    def on_multirun_end(self, config: DictConfig, **_: object) -> None:
        """Closes the parent. A multirun that fails never comes here: `atexit` closes its parent as failed."""
        self._end(finished=True)

    def _end(self, *, finished: bool) -> None:
        if self._close is not None:
            self._close(finished=finished)
            self._close = None
            os.environ.pop(PARENT_RUN_VARIABLE)
