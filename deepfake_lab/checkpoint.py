"""Detectors from configuration and from checkpoints.

A checkpoint holds tensors and plain containers alone. Its `detector` entry is the composed `model` configuration, its
`state_dict` has the detector's tensors under `detector.`; training and `save_detector` write it alike.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import Tensor, nn

from deepfake_lab.config.schema import MODEL_TRAINING
from deepfake_lab.data.tensors import read_checkpoint, write_checkpoint
from deepfake_lab.models.detector import FROM_DEV, Detector
from deepfake_lab.models.ensemble import Ensemble, Fusion
from deepfake_lab.types import LabError

_PREFIX = "detector."
_TRUSTED = ("deepfake_lab.frontends.", "deepfake_lab.models.")


def build_detector(config: Mapping[str, Any]) -> Detector:
    """Builds a detector from the composed `model` configuration: an untrained one, unless it names checkpoints.

    What the configuration says of training is no part of the detector.
    """
    plain = {str(key): value for key, value in config.items() if key not in MODEL_TRAINING}
    detector = instantiate(plain, _convert_="all")
    if not isinstance(detector, Detector):
        raise LabError(
            f"model._target_ makes a {type(detector).__name__}, not a Detector. Choose a configuration of conf/model."
        )
    detector.config = detector.config or plain
    return detector


def initialise(detector: Detector, path: str | Path) -> str:
    """Starts a detector from the weights of another one's checkpoint; only their heads may differ.

    Calibration and threshold are not taken over: they are to be learned from dev.

    Returns:
        For people: what was taken, what is new and what was left behind.

    Raises:
        LabError: the file is no checkpoint of a detector, or weights that are not the head's do not fit.
    """
    start = load_detector(path)
    given, own = _weights(start), _weights(detector)
    fitting = {name: weight for name, weight in given.items() if name in own and weight.shape == own[name].shape}
    others = [name for name in {**own, **given} if name not in fitting]
    if strange := [name for name in others if not name.startswith("head.")]:
        shapes = [f"{name} {_shape(given, name)}, here {_shape(own, name)}" for name in strange[:5]]
        raise LabError(
            f"model.init={path}: {len(strange)} weights do not fit: {'; '.join(shapes)}{'; ...' * (len(strange) > 5)}. "
            "Choose the model and front-end that the file was trained with; only the head may be another."
        )
    detector.load_state_dict(detector.state_dict() | fitting)
    new, left = ([name for name in others if name in side] for side in (own, given))
    return (
        f"model.init={path}: {len(fitting)} of {len(own)} weights taken; new: {', '.join(new) or 'none'}; "
        f"left behind: {', '.join(left) or 'none'}.{_heard_otherwise(start, detector)} Calibration and threshold come "
        "from dev."
    )


def _heard_otherwise(start: Detector, detector: Detector) -> str:
    """What no weight shows: that the two do not hear a waveform alike."""
    others = [
        key for key in ("treatment", "frontend") if (start.config or {}).get(key) != (detector.config or {}).get(key)
    ]
    return f" Set otherwise than there: {', '.join(others)}." if others else ""


def _weights(detector: Detector) -> dict[str, Tensor]:
    """All that a checkpoint has of a detector, but for what dev decides."""
    return {name: tensor for name, tensor in detector.state_dict().items() if name not in FROM_DEV}


def _shape(weights: Mapping[str, Tensor], name: str) -> str:
    return str(tuple(weights[name].shape)) if name in weights else "none"


def load_ensemble(checkpoints: Sequence[str], fusion: Fusion = "mean") -> Ensemble:
    """Puts the detectors of checkpoints together; what is saved of it holds all of them and needs the files no more.

    Args:
        checkpoints: files of two or more detectors.
        fusion: see `deepfake_lab.evaluation.fuse.fit_weights`.

    Raises:
        LabError: a file is not a checkpoint of a detector or is named twice, or the detectors do not go together.
    """
    files = [Path(path).resolve() for path in checkpoints]
    if twice := [path for path in checkpoints if files.count(Path(path).resolve()) > 1]:
        raise LabError(f"model.checkpoints: {twice[0]} is named twice. Leave one out: it would count double.")
    members = [load_detector(path) for path in checkpoints]
    ensemble = Ensemble(members, fusion=fusion)
    target = f"{Ensemble.__module__}.{Ensemble.__qualname__}"
    ensemble.config = {"_target_": target, "members": [member.config for member in members], "fusion": fusion}
    return ensemble


def save_detector(detector: Detector, path: str | Path) -> None:
    """Writes a detector alone (no optimizer state), atomically."""
    state = {_PREFIX + name: tensor.detach().cpu() for name, tensor in detector.state_dict().items()}
    write_checkpoint({"detector": detector.config, "state_dict": state, "trained_on": detector.trained_on}, Path(path))


def load_detector(path: str | Path) -> Detector:
    """Loads the detector of a checkpoint, in eval mode, on the CPU.

    The file is not trusted: nothing is unpickled but tensors and plain containers, and its configuration may name
    modules of `deepfake_lab.frontends` and `deepfake_lab.models` only.

    Raises:
        LabError: the file is missing, damaged, or not a checkpoint of a detector.
    """
    content = read_checkpoint(path)
    config, state = content.get("detector"), content.get("state_dict")
    if not isinstance(config, dict) or not isinstance(state, dict):
        raise LabError(f"{path}: holds no detector. Name a checkpoint written by a run (best.ckpt, detector.ckpt).")
    try:
        _check_config(config, path)
    except RecursionError as error:
        raise LabError(f"{path}: its configuration is nested too deep. Do not use this file.") from error
    tensors = {
        str(name).removeprefix(_PREFIX): tensor for name, tensor in state.items() if str(name).startswith(_PREFIX)
    }
    try:
        detector = build_detector(config)
        detector.load_state_dict(tensors)
        detector.trained_on = content.get("trained_on")
    except InstantiationException as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise LabError(f"{path}: its detector cannot be built ({reason}). Use the file of another run.") from error
    except RuntimeError as error:
        raise LabError(
            f"{path}: its tensors do not fit its configuration ({error}). Use the file of another run."
        ) from error
    return detector.eval()


def device_called(name: str) -> torch.device:
    """The device of a name such as cuda:1, or for "auto" a GPU where there is one.

    Raises:
        LabError: it cannot be used.
    """
    try:
        chosen = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise LabError(f"device={name}: cannot be used ({str(error).splitlines()[0]}). Try device=cpu.") from error
    return chosen


def _check_config(config: object, path: str | Path) -> None:
    """Refuses targets outside the trusted packages, and everything that could turn into one while Hydra builds."""
    if isinstance(config, dict):
        if "_target_" in config:
            _check_target(config["_target_"], path)
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            _check_config(value, path)
    elif not isinstance(config, str | int | float | None) or "${" in str(config):
        raise LabError(f"{path}: its configuration holds {config!r:.80}, not a plain value. Do not use this file.")


def _check_target(target: object, path: str | Path) -> None:
    """Refuses anything but a module class defined in the trusted packages."""
    module_name, _, class_name = str(target).rpartition(".")
    if module_name.startswith(_TRUSTED):
        try:
            found = getattr(importlib.import_module(module_name), class_name, None)
        except ImportError:
            found = None
        if isinstance(found, type) and issubclass(found, nn.Module) and found.__module__ == module_name:
            return
    raise LabError(f"{path}: asks for '{target}', which is not a front-end or model of the lab. Do not use this file.")
