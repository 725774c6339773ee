"""Configurations that a run has left on disk. The file is not trusted: it may have come from anywhere."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepfake_lab.config.schema import CONF, RunConfig
from deepfake_lab.types import LabError

_MOST_BYTES = 1 << 20  # a run's configuration has about 10 kB
_MOST_DEEP = 50
_WRITTEN_TO = frozenset(["default_root_dir", "dirpath", "path"])
"""Keys of trainers and callbacks whose values are written to."""


def read_stored(path: Path) -> DictConfig:
    """Reads the configuration of a run that `run` has written, without interpolations, in the types of the schema.

    Raises:
        LabError: the file is damaged, or holds what `run` never writes.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("more than 1 MB")
        text = path.read_text(encoding="utf-8")
        _check_events(text)
        if not isinstance(yaml.safe_load(text), dict):
            raise ValueError("no keys")
        config = OmegaConf.merge(OmegaConf.structured(RunConfig), OmegaConf.create(text))
        if missing := OmegaConf.missing_keys(config):
            raise ValueError(f"no {min(missing)}")
        return config  # type: ignore[return-value]  # a mapping, as the schema is
    except (
        yaml.YAMLError,
        OmegaConfBaseException,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OSError,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise LabError(f"{path}: not the configuration of a run ({reason}). Begin the run anew.") from error


def check_stored(config: DictConfig, path: Path, said: Collection[str]) -> None:
    """Refuses whatever could run foreign code or write outside of the run's folder.

    Args:
        config: of `path`.
        path: of the file, in the run's folder.
        said: dotted keys that stand on the command line, so that the user has chosen their values.

    Raises:
        LabError: a `_target_` is none of those that the lab's own configuration names, or a place to write to is not
            in the run's folder.
    """
    home = path.parent.resolve()
    for key, value in _leaves(OmegaConf.to_container(config)):
        name = key.rpartition(".")[2]
        if key in said:
            continue
        if name == "_target_" and str(value) not in known_targets():
            raise LabError(
                f"{path}: {key}={value}: no part of the lab. If you trust it, say so beside resume=: {key}=..."
            )
        written = key == "run_dir" or (key.startswith(("trainer.", "callbacks.")) and name in _WRITTEN_TO)
        if written and value is not None and not Path(str(value)).resolve().is_relative_to(home):
            raise LabError(
                f"{path}: {key}={value}: a resumed run writes to its own folder alone. Move it back, or begin anew."
            )


@functools.cache
def known_targets() -> frozenset[str]:
    """All that the lab's own configuration names as a `_target_`."""
    found = (re.findall(r"_target_: *([\w.]+)", file.read_text(encoding="utf-8")) for file in CONF.rglob("*.yaml"))
    return frozenset(name for names in found for name in names)


def _check_events(text: str) -> None:
    """Refuses what would grow without bounds or change while it is read: a run writes plain values."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEEP:
            raise ValueError(f"line {line}: nested too deep")
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {line}: holds an alias")
        if isinstance(event, yaml.ScalarEvent) and "${" in event.value:
            raise ValueError(f"line {line}: holds an interpolation")


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, part in value.items():
            place = f"{key}.{name}" if key else str(name)
            yield from [(place, part)] if name == "_target_" else _leaves(part, place)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _leaves(part, f"{key}[{number}]")
    else:
        yield key, value
