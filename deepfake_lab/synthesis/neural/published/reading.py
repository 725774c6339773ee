"""Published weights as generators of the lab."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepfake_lab.synthesis.neural.generator import Generator
from deepfake_lab.synthesis.neural.published.cargan import PublishedCarGan, cargan_settings
from deepfake_lab.synthesis.neural.published.hifigan import PublishedHifiGan, hifigan_settings
from deepfake_lab.synthesis.neural.published.melgan import PublishedMelGan, melgan_settings
from deepfake_lab.types import LabError

_KINDS: dict[str, tuple[type[Generator], Callable[[Mapping[str, Tensor]], dict[str, Any]]]] = {
    "hifigan": (PublishedHifiGan, hifigan_settings),
    "melgan": (PublishedMelGan, melgan_settings),
    "cargan": (PublishedCarGan, cargan_settings),
}
VOCODERS = tuple(_KINDS)
"""Whose generators can be read."""
_PLACES = ("generator", "model_g", "model", "state_dict")
"""Where checkpoints keep the tensors of the generator, among those of other networks and of the optimizer."""


def read_published(kind: str, path: Path) -> tuple[Generator, dict[str, Any]]:
    """Reads a published generator.

    Args:
        kind: whose, of `VOCODERS`.
        path: what `torch.save` wrote: a state dict, a checkpoint that holds one, or a pickled module. Nothing is
            unpickled but tensors and containers; the classes that a module names are neither imported nor run.

    Returns:
        The generator, to make copies, and the configuration that it was built from, with its class as `_target_`.

    Raises:
        LabError: the file is missing or damaged, or holds no such generator.
    """
    make, settings_of = _KINDS[kind]
    found = _tensors(path)
    try:
        tensors = _without_normalisation(found)
        settings = settings_of(tensors)
        generator = make(**settings)
        generator.load_state_dict(tensors)
    except (LabError, LookupError, ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
        raise LabError(f"input={path}: holds no generator of source={kind} ({reason}).") from error
    return generator.eval().requires_grad_(False), {"_target_": f"{make.__module__}.{make.__name__}", **settings}


def _tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a generator, by name."""
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(str(path)) if zipfile.is_zipfile(path) else []
        stand_ins: list[Any] = [(type("StandIn", (_StandIn,), {}), name) for name in named]
        with torch.serialization.safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, _StandIn):
            return dict(_of_module(content, ""))
    except Exception as error:  # damage shows as errors of many families
        reason = str(error).partition("\n")[0]
        raise LabError(f"input={path}: cannot be read ({reason}). Name what torch.save wrote.") from error
    place = next(
        (name for name in _PLACES if isinstance(content, Mapping) and isinstance(content.get(name), Mapping)), ""
    )
    found = content[place] if place else content
    if not isinstance(found, Mapping):
        raise LabError(f"input={path}: holds a {type(content).__name__}, not the tensors of a generator.")
    return {str(name): tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}


class _StandIn:
    """Takes the place of any class that a file names: holds what the file says of it, and does nothing."""

    def __init__(self, *arguments: object) -> None:
        """Takes whatever the file gives."""


def _of_module(module: _StandIn, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a pickled module and its parts."""
    held = vars(module)
    for name, tensor in {**held.get("_parameters", {}), **held.get("_buffers", {})}.items():
        if isinstance(tensor, Tensor):
            yield prefix + name, tensor.detach()
    for name, part in held.get("_modules", {}).items():
        if isinstance(part, _StandIn):  # and not None, which stands for a part left out
            yield from _of_module(part, f"{prefix}{name}.")


def _without_normalisation(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same, weight normalisation (Salimans and Kingma, 2016) multiplied out: ``weight = g v / |v|``."""
    plain = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_v"):
            length = tensor.flatten(1).norm(dim=1).reshape(-1, *[1] * (tensor.dim() - 1))
            plain[name.removesuffix("_v")] = tensors[name.removesuffix("v") + "g"] * tensor / length
        elif not name.endswith(".weight_g"):
            plain[name] = tensor
    return plain
