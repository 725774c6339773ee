"""What of a detector is trained, and how fast: chosen by patterns over the names of its weights."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from deepfake_lab.types import LabError


def freeze(model: nn.Module, patterns: Sequence[str], apart: Sequence[str] = ()) -> list[nn.Module]:
    """Ends the training of all parameters whose names fit a pattern.

    Args:
        model: what has the parameters.
        patterns: such as ``encoder.*``, over names of parameters and buffers.
        apart: buffers that no pattern can mean.

    Returns:
        Modules of which nothing is left to train: all their parameters fit, or all their buffers if they have no
        parameters. They are to stay in eval mode; see `keep_still`.

    Raises:
        LabError: a pattern fits no name, or nothing is left to train.
    """
    names = [name for name in model.state_dict() if name not in apart]
    frozen = {name for pattern in patterns for name in _fitting(pattern, names, "model.freeze")}
    parameters = dict(model.named_parameters())
    for name in frozen & parameters.keys():
        parameters[name].requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise LabError(f"model.freeze={list(patterns)}: nothing is left to train. Leave the head out: encoder.*")
    still = []
    for module_name, module in model.named_modules():
        inside = [name for name in names if name.startswith(f"{module_name}.")]
        learned = [name for name in inside if name in parameters] or inside
        if learned and frozen.issuperset(learned):
            still.append(module)
    return still


def keep_still(modules: Sequence[nn.Module]) -> None:
    """Puts frozen modules into eval mode: fixed statistics of batch norm, no dropout."""
    for module in modules:
        module.eval()
        for part in module.modules():
            if isinstance(part, nn.RNNBase) and part.dropout == 0:
                part.train()  # the same to it, but cuDNN passes no gradient through one in eval mode


def learning_rates(model: nn.Module, rates: Mapping[str, float]) -> dict[str, float]:
    """Learning rate of each trainable parameter whose name fits a pattern; the first that fits counts.

    Raises:
        LabError: a rate is not positive, or a pattern fits no trainable parameter.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    chosen: dict[str, float] = {}
    for pattern, rate in rates.items():
        if not 0 < rate < math.inf:
            raise LabError(f"model.learning_rates: {rate} for {pattern} is not positive. model.freeze keeps weights.")
        chosen = dict.fromkeys(_fitting(pattern, names, "model.learning_rates"), rate) | chosen
    return chosen


def _fitting(pattern: str, names: Sequence[str], key: str) -> list[str]:
    """Names that fit a pattern.

    Raises:
        LabError: there are none.
    """
    found = [name for name in names if fnmatchcase(name, pattern)]
    if found:
        return found
    parts = [name.split(".") for name in names]
    groups = dict.fromkeys(".".join([*part[:depth], "*"]) for part in parts for depth in range(1, len(part)))
    near = difflib.get_close_matches(pattern, [*groups, *names], n=3, cutoff=0.6)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    tops = ", ".join(group for group in groups if group.count(".") == 1)
    raise LabError(f"{key}: {pattern} fits the name of no weight that could be meant. {hint}There are {tops}.")
