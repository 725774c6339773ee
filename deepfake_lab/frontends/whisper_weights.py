"""Files of Whisper's weights: OpenAI's checkpoints and CTranslate2's models. Nothing in them is run."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from deepfake_lab.types import LabError

_TYPES = {0: "<f4", 4: "<f2"}
"""Kinds of numbers in CTranslate2's files; quantised weights are no use here."""
_OPENAI = {"attn_ln": "attn_ln", "out": "attn.out", "mlp_ln": "mlp_ln", "mlp.0": "mlp.0", "mlp.2": "mlp.2"}
_CTRANSLATE2 = {
    "attn_ln": "self_attention/layer_norm",
    "qkv": "self_attention/linear_0",
    "out": "self_attention/linear_1",
    "mlp_ln": "ffn/layer_norm",
    "mlp.0": "ffn/linear_0",
    "mlp.2": "ffn/linear_1",
}


def read_encoder(path: Path, layers: int) -> dict[str, Tensor]:
    """Weights of the encoder by the names of `deepfake_lab.frontends.whisper`, its first layers alone, float32.

    Raises:
        LabError: the file is damaged, or holds something else.
    """
    try:
        if zipfile.is_zipfile(path):
            found = torch.load(path, map_location="cpu", weights_only=True)["model_state_dict"]
            named = dict(_from_openai(found, layers))
        else:
            named = dict(_from_ctranslate2(_ctranslate2_variables(path.read_bytes()), layers))
        return {name: tensor.float() for name, tensor in named.items()}
    except Exception as error:  # damage shows as errors of many families
        reason = str(error).partition("\n")[0]
        raise LabError(
            f"{path}: no weights of Whisper ({type(error).__name__}: {reason}). Name OpenAI's checkpoint, or a "
            "model.bin of CTranslate2 that is not quantised."
        ) from error


def _from_openai(found: Mapping[str, Tensor], layers: int) -> Iterator[tuple[str, Tensor]]:
    yield from _convolutions(found, ".")
    for number in range(layers):
        block = f"blocks.{number}"
        query, key, value = (f"encoder.{block}.attn.{part}" for part in ("query", "key", "value"))
        yield f"{block}.qkv.weight", torch.cat([found[f"{part}.weight"] for part in (query, key, value)])
        biases = found[f"{query}.bias"], found[f"{value}.bias"]
        yield f"{block}.qkv.bias", torch.cat([biases[0], torch.zeros_like(biases[0]), biases[1]])  # keys have none
        for ours, theirs in _OPENAI.items():
            for kind in ("weight", "bias"):
                yield f"{block}.{ours}.{kind}", found[f"encoder.{block}.{theirs}.{kind}"]


def _from_ctranslate2(found: Mapping[str, Tensor], layers: int) -> Iterator[tuple[str, Tensor]]:
    yield from _convolutions(found, "/")
    for number in range(layers):
        for name, place in _CTRANSLATE2.items():
            kinds = ("gamma", "beta") if name.endswith("_ln") else ("weight", "bias")
            for ours, theirs in zip(("weight", "bias"), kinds, strict=True):
                yield f"blocks.{number}.{name}.{ours}", found[f"encoder/layer_{number}/{place}/{theirs}"]


def _convolutions(found: Mapping[str, Tensor], joint: str) -> Iterator[tuple[str, Tensor]]:
    for name in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            yield f"{name}.{kind}", found[joint.join(["encoder", name, kind])]


def _ctranslate2_variables(content: bytes) -> dict[str, Tensor]:
    """Variables of a model of CTranslate2: name, shape, kind and bytes of each follow each other."""
    place = 0

    def number(kind: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{kind}", content, place)
        place += struct.calcsize(f"<{kind}")
        return int(value)

    def text() -> str:
        nonlocal place
        length = number("H")
        place += length
        return content[place - length : place - 1].decode()  # a zero ends it

    version, kind, _ = number("I"), text(), number("I")
    if kind != "WhisperSpec":
        raise ValueError(f"version {version} of {kind[:40]!r}")
    found = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        numbers, size = _TYPES.get(number("B")), number("I")
        if numbers is not None and name.startswith("encoder/"):
            values = np.frombuffer(content, numbers, count=size // np.dtype(numbers).itemsize, offset=place)
            found[name] = torch.from_numpy(values.reshape(shape).astype(np.float32))
        place += size
    return found
