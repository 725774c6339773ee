"""A composed configuration as plain values, checked before any work, and what it describes."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import hydra.utils
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from deepfake_lab.config.schema import CONF, ModelTraining
from deepfake_lab.config.stored import check_stored, read_stored
from deepfake_lab.types import LabError

_NO_CHOICE = ("_partial_", "_convert_", "_recursive_", "tracking", "run_dir", "resume")


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
        LabError: the folder holds no run that can go on (see `check_stored`), or an override would make it another run.
    """
    run_dir = Path(config.resume)
    saved = run_dir / "config.yaml"
    if not saved.is_file():
        raise LabError(
            f"resume={run_dir}: holds no config.yaml, so no run began there. Name the folder of a run: runs/..."
        )
    said: dict[str, Any] = {}
    for override in overrides:
        key = override.partition("=")[0]
        if key.startswith(("+", "~")) or (CONF / key).is_dir():
            raise LabError(
                f"{override}: a resumed run keeps its groups. Change single keys (trainer.max_epochs=20) or begin anew."
            )
        said[key] = OverridesParser.create().parse_override(override).value()
    merged = read_stored(saved)
    for key, value in said.items():
        OmegaConf.update(merged, key, value)
    check_stored(merged, saved, said)
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
    beside = get_type_hints(ModelTraining) if path == "model" else {}
    known = [*parameters, *beside]
    given = {
        key: value
        for key, value in node.items()
        if key not in ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")
    }
    for key in given:
        if key not in known and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            hint = suggestion(key, known)
            raise LabError(f"{path}.{key}: {node['_target_']} takes no '{key}'. {hint}It takes: {', '.join(known)}.")
    try:
        hints = beside | get_type_hints(target.__init__ if inspect.isclass(target) else target)
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


def suggestion(word: str, known: Sequence[str]) -> str:
    """'Did you mean ...? ' with the nearest known words, or nothing."""
    near = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    if not near and "." not in word:
        near = difflib.get_close_matches(word, [key for key in known if "." not in key], n=2, cutoff=0.5)
    return f"Did you mean {' or '.join(near)}? " if near else ""
