"""Trained generators as files: tensors, and what they are tensors of."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from deepfake_lab.synthesis.neural.generator import Generator
from deepfake_lab.types import LabError

_PACKAGE = "deepfake_lab.synthesis.neural."
_AGAIN = "Train it again (python -m deepfake_lab.synthesize stage=train force=true), or name another file."


def packed(generator: Generator, config: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """What the file of a trained generator holds.

    Args:
        generator: what was trained.
        config: what it was built from, with its class as `_target_`.
        about: how it was trained, in plain values, for people.
    """
    state = {name: tensor.detach().cpu() for name, tensor in generator.state_dict().items()}
    return {"vocoder": dict(config), "state_dict": state, "about": dict(about)}


def load_generator(path: Path) -> Generator:
    """Loads the generator of a file that holds what `packed` gives, on the CPU, to make copies.

    The file is not trusted: nothing is unpickled but tensors and plain containers, and its configuration may name
    generators of this package only.

    Raises:
        LabError: the file is missing, damaged, or holds no generator.
    """
    content = read_content(path)
    config, state = content.get("vocoder"), content.get("state_dict")
    if not isinstance(config, dict) or not isinstance(state, dict):
        raise LabError(f"{path}: holds no vocoder. {_AGAIN}")
    module_name, _, class_name = str(config.get("_target_")).rpartition(".")
    found = None
    if module_name.startswith(_PACKAGE):
        try:
            found = getattr(importlib.import_module(module_name), class_name, None)
        except ImportError:
            found = None
    if not isinstance(found, type) or not issubclass(found, Generator):
        raise LabError(f"{path}: asks for '{config.get('_target_')}', which is no vocoder of the lab. Do not use it.")
    try:
        generator = found(**{str(key): value for key, value in config.items() if key != "_target_"})
        generator.load_state_dict(state)
    except (TypeError, RuntimeError) as error:
        raise LabError(f"{path}: its tensors and settings do not fit each other ({error}). {_AGAIN}") from error
    return generator.eval().requires_grad_(False)


def read_content(path: Path) -> dict[str, Any]:
    """Reads a file of tensors and plain containers.

    Raises:
        LabError: the file is missing or damaged, or holds something else.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise LabError(
            f"{path}: holds more than tensors and plain containers, so it may run code. Do not use it."
        ) from error
    except Exception as error:  # damage shows as errors of many families
        reason = str(error).partition("\n")[0]
        raise LabError(f"{path}: cannot be read ({reason}). {_AGAIN}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path}: holds a {type(content).__name__}. {_AGAIN}")
    return content
