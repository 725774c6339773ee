"""Search spaces: what `sweep.space` says of each key, as Optuna's distributions; and values as overrides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalChoiceType,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from deepfake_lab.types import LabError

Space: TypeAlias = dict[str, BaseDistribution]
"""Distribution of each searched key."""

_RANGE = ("low", "high", "log", "step")
_FORMS = "Write a range, {low: 1e-4, high: 1e-2, log: true} or {low: 1, high: 4, step: 1}, or a list of choices."
_FIXED = ("data", "metric", "mode", "stages", "seed", "checkpoint", "resume", "run_dir", "tracking", "hydra", "sweep")


def read_space(entries: Mapping[str, Any]) -> Space:
    """Distributions out of a configuration.

    Args:
        entries: for each dotted key a range (`low`, `high`, `log`, `step`; two integers make a range of integers) or
            a list of choices. A key with None is left out.

    Raises:
        LabError: nothing is left to search, an entry says nothing sensible, or a key must be equal in all trials.
    """
    space = {key: _distribution(key, entry) for key, entry in entries.items() if entry is not None}
    if not space:
        raise LabError("sweep.space: nothing is left to search. Add a key: 'sweep.space={optim.lr: {low: ..., ...}}'.")
    for key in space:
        if key.lstrip("+").partition(".")[0] in _FIXED:
            raise LabError(
                f"sweep.space: {key} is not to be searched: trials compare only on equal data, by one metric and seed."
            )
    return space


def _distribution(key: str, entry: object) -> BaseDistribution:
    if isinstance(entry, list):
        return _choice(key, entry)
    if isinstance(entry, Mapping):
        return _range(key, entry)
    raise LabError(f"sweep.space: {key}: {entry} is neither range nor list. {_FORMS}")


def _choice(key: str, choices: list[Any]) -> CategoricalDistribution:
    if any(isinstance(choice, list | Mapping) for choice in choices):
        raise LabError(f"sweep.space: {key}: choices must be plain values; write a list as text: '[16,32]'.")
    if len(set(map(as_text, choices))) < max(2, len(choices)):
        raise LabError(f"sweep.space: {key}: {choices} must hold two or more values, each once.")
    return CategoricalDistribution(choices)


def _range(key: str, entry: Mapping[str, Any]) -> FloatDistribution | IntDistribution:
    where = f"sweep.space: {key}"
    if set(entry) - set(_RANGE) or not {"low", "high"} <= set(entry):
        raise LabError(f"{where}: a range has low and high, perhaps log or step, not {', '.join(entry)}. {_FORMS}")
    low, high, log, step = entry["low"], entry["high"], entry.get("log", False), entry.get("step")
    numbers = [low, high, *([] if step is None else [step])]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers) or type(log) is not bool:
        raise LabError(f"{where}: {dict(entry)} must hold numbers, and log true or false. {_FORMS}")
    if not low < high:
        raise LabError(f"{where}: low={low} must be below high={high}.")
    if log and (low <= 0 or step is not None):
        raise LabError(f"{where}: a logarithmic range needs low > 0 and takes no step.")
    if step is not None:
        steps = (high - low) / step if step > 0 else 0
        if steps < 1 or abs(steps - round(steps)) > 1e-6:
            raise LabError(f"{where}: step={step} must lead from low={low} to high={high}.")
    if all(isinstance(number, int) for number in numbers):
        return IntDistribution(low, high, log=log, step=step or 1)
    return FloatDistribution(low, high, log=log, step=step)


def corners(space: Space) -> list[dict[str, Any]]:
    """Parameters of a few trials which together hold both ends of every range and every choice."""
    ends = {
        key: list(one.choices) if isinstance(one, CategoricalDistribution) else [one.low, one.high]  # type: ignore[attr-defined]
        for key, one in space.items()
    }
    count = max(map(len, ends.values()))
    return [{key: values[number % len(values)] for key, values in ends.items()} for number in range(count)]


def as_text(value: CategoricalChoiceType) -> str:
    """A value as it stands in an override; numbers lose nothing."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def describe(space: Space) -> str:
    """The space in words, one key a line."""
    lines = []
    for key, one in space.items():
        if isinstance(one, CategoricalDistribution):
            lines.append(f"  {key}: {', '.join(map(as_text, one.choices))}")
        elif isinstance(one, FloatDistribution | IntDistribution):
            step = f", step {one.step}" if one.step not in (None, 1) else ""
            lines.append(f"  {key}: {one.low:g} to {one.high:g}{step}{', logarithmic' if one.log else ''}")
    return "\n".join(lines)
