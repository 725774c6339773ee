"""Whisper's encoder as OpenAI stores and computes it: random weights under their names, and what they hear.

Written with plain functions and librosa, sharing nothing with the package. `ctranslate2` writes the same weights as
CTranslate2 does.
"""

import math
import struct

import librosa
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def random_weights(width: int, layers: int, seed: int = 0) -> dict[str, Tensor]:
    """A state dict of random numbers; the decoder is a stub."""
    random = torch.Generator().manual_seed(seed)

    def linear(name: str, *shape: int, bias: bool = True) -> dict[str, Tensor]:
        made = {f"{name}.weight": torch.randn(shape, generator=random) / math.prod(shape[1:]) ** 0.5}
        return made | ({f"{name}.bias": 0.3 * torch.randn(shape[0], generator=random)} if bias else {})

    def norm(name: str) -> dict[str, Tensor]:
        scale = 1 + 0.2 * torch.randn(width, generator=random)
        return {f"{name}.weight": scale, f"{name}.bias": 0.2 * torch.randn(width, generator=random)}

    state = linear("encoder.conv1", width, 80, 3) | linear("encoder.conv2", width, width, 3)
    state["encoder.positional_embedding"] = positions(1500, width)
    for number in range(layers):
        block = f"encoder.blocks.{number}"
        for part in ("query", "key", "value", "out"):
            state |= linear(f"{block}.attn.{part}", width, width, bias=part != "key")
        state |= norm(f"{block}.attn_ln") | linear(f"{block}.mlp.0", 4 * width, width)
        state |= linear(f"{block}.mlp.2", width, 4 * width) | norm(f"{block}.mlp_ln")
    state |= norm("encoder.ln_post")
    return state | {"decoder.ln.weight": torch.ones(width)}


def checkpoint(state: dict[str, Tensor]) -> dict[str, object]:
    """What a file of OpenAI's holds, in half precision."""
    return {
        "dims": {"n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": len(state["encoder.conv1.bias"])},
        "model_state_dict": {name: tensor.half() for name, tensor in state.items()},
    }


def ctranslate2(state: dict[str, Tensor], layers: int, numbers: str = "f2", kind: str = "WhisperSpec") -> bytes:
    """A ``model.bin`` of the same encoder, in numbers of the type f4, f2 or i1."""
    renamed = {
        f"encoder/{name}/{part}": state[f"encoder.{name}.{part}"]
        for name in ("conv1", "conv2")
        for part in ("weight", "bias")
    }
    renamed |= {
        "encoder/position_encodings/encodings": state["encoder.positional_embedding"],
        "decoder/layer_norm/gamma": state["decoder.ln.weight"],
    }
    for number in range(layers):
        theirs, ours = f"encoder.blocks.{number}", f"encoder/layer_{number}"
        query, key, value = (f"{theirs}.attn.{part}" for part in ("query", "key", "value"))
        joined = torch.cat([state[f"{part}.weight"] for part in (query, key, value)])
        biases = torch.cat([state[f"{query}.bias"], 0 * state[f"{query}.bias"], state[f"{value}.bias"]])
        attention = f"{ours}/self_attention"
        renamed |= {f"{attention}/linear_0/weight": joined, f"{attention}/linear_0/bias": biases}
        for name, place in (
            ("attn.out", "self_attention/linear_1"),
            ("mlp.0", "ffn/linear_0"),
            ("mlp.2", "ffn/linear_1"),
        ):
            renamed |= {f"{ours}/{place}/{part}": state[f"{theirs}.{name}.{part}"] for part in ("weight", "bias")}
        for name, place in (("attn_ln", "self_attention"), ("mlp_ln", "ffn")):
            renamed[f"{ours}/{place}/layer_norm/gamma"] = state[f"{theirs}.{name}.weight"]
            renamed[f"{ours}/{place}/layer_norm/beta"] = state[f"{theirs}.{name}.bias"]

    def text(words: str) -> bytes:
        return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"

    content = struct.pack("<I", 6) + text(kind) + struct.pack("<II", 3, len(renamed))
    for name, tensor in renamed.items():
        values = (tensor * (100 if numbers == "i1" else 1)).numpy().astype(f"<{numbers}").tobytes()
        shape = struct.pack(f"<B{tensor.dim()}I", tensor.dim(), *tensor.shape)
        content += text(name) + shape + struct.pack("<BI", {"f4": 0, "i1": 1, "f2": 4}[numbers], len(values)) + values
    return content + struct.pack("<I", 0)  # no other names


def positions(length: int, width: int) -> Tensor:
    """Sinusoids ``(length, width)``."""
    increment = np.log(10_000) / (width // 2 - 1)
    scaled = np.arange(length)[:, None] * np.exp(-increment * np.arange(width // 2))[None]
    return torch.from_numpy(np.concatenate([np.sin(scaled), np.cos(scaled)], axis=1)).float()


def spectrogram(wave: np.ndarray) -> Tensor:
    """Scaled log-mel spectrogram ``(1, 80, T // 160)`` of a waveform ``(T,)``."""
    power = np.abs(librosa.stft(wave, n_fft=400, hop_length=160, pad_mode="reflect")[:, :-1]) ** 2
    mel = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80) @ power
    level = np.log10(np.maximum(mel, 1e-10))
    return torch.from_numpy((np.maximum(level, level.max() - 8) + 4) / 4)[None].float()


def states(state: dict[str, Tensor], wave: np.ndarray, heads: int, layers: int) -> list[Tensor]:
    """Outputs ``(L, width)`` of the layers for a waveform ``(T,)``."""

    def linear(name: str, hidden: Tensor) -> Tensor:
        return functional.linear(hidden, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def norm(name: str, hidden: Tensor) -> Tensor:
        return functional.layer_norm(hidden, hidden.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    hidden = spectrogram(wave)
    for name, stride in (("encoder.conv1", 1), ("encoder.conv2", 2)):
        hidden = functional.conv1d(hidden, state[f"{name}.weight"], state[f"{name}.bias"], stride=stride, padding=1)
        hidden = functional.gelu(hidden)
    hidden = hidden[0].T
    hidden = hidden + positions(*hidden.shape)
    found = []
    for number in range(layers):
        block = f"encoder.blocks.{number}"
        told = norm(f"{block}.attn_ln", hidden)
        parts = [linear(f"{block}.attn.{part}", told).chunk(heads, dim=-1) for part in ("query", "key", "value")]
        heard = []
        for query, key, value in zip(*parts, strict=True):
            heard.append(torch.softmax(query @ key.T / query.shape[-1] ** 0.5, dim=-1) @ value)
        hidden = hidden + linear(f"{block}.attn.out", torch.cat(heard, dim=-1))
        inner = functional.gelu(linear(f"{block}.mlp.0", norm(f"{block}.mlp_ln", hidden)))
        hidden = hidden + linear(f"{block}.mlp.2", inner)
        found.append(hidden)
    return found
