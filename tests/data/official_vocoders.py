"""HiFi-GAN, MelGAN and CARGAN as published: random weights under their names, and what they make of features.

Written with plain functions, one layer after another, sharing nothing with the package. Sizes are small; names, order
and shapes are those of the authors' state dicts.
"""

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

MELS = {"hifigan": 20, "melgan": 12, "cargan": 10}
HOPS = {"hifigan": 32, "melgan": 256, "cargan": 256}
SETTINGS = {
    "hifigan": {"n_mels": 20, "kernels": [16, 8], "channels": 8, "residual_kernels": [3, 7]},
    "melgan": {"n_mels": 12, "channels": 32},
    "cargan": {"n_mels": 10, "channels": 16},
}
UPSAMPLING = (1, 1, 4, 4, 4, 1, 2, 1, 2, 1)
HALVING = (False, False, True, False, False, False, True, False, True, False)


def _shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of convolutions, by name, in the order of the authors' modules."""
    shapes: dict[str, tuple[int, ...]] = {}
    if kind == "hifigan":
        shapes |= {"conv_pre": (8, 20, 7), "ups.0": (8, 4, 16), "ups.1": (4, 2, 8)}
        for block, (width, kernel) in enumerate([(4, 3), (4, 7), (2, 3), (2, 7)]):
            shapes |= {f"resblocks.{block}.convs{one}.{i}": (width, width, kernel) for one in (1, 2) for i in range(3)}
        shapes["conv_post"] = (1, 2, 7)
    elif kind == "melgan":
        shapes["generator.1"] = (32, 12, 7)
        for step, (width, kernel) in enumerate([(16, 16), (8, 16), (4, 4), (2, 4)]):
            shapes[f"generator.{3 * step + 3}"] = (2 * width, width, kernel)
            stack = f"generator.{3 * step + 4}"
            shapes |= {f"{stack}.blocks.{i}.{2 + 2 * j}": (width, width, 3 - 2 * j) for i in range(3) for j in (0, 1)}
            shapes |= {f"{stack}.shortcuts.{i}": (width, width, 1) for i in range(3)}
        shapes["generator.16"] = (1, 2, 7)
    else:
        shapes["gblocks.0"] = (16, 10 + 128, 1)
        width = 16
        for number, (factor, halved) in enumerate(zip(UPSAMPLING, HALVING, strict=True), start=1):
            inputs, width, more = width, width // 2 if halved else width, int(factor > 1)
            block = f"gblocks.{number}"
            shapes |= {f"{block}.conv1.{1 + more}": (width, inputs, 3), f"{block}.conv1.{3 + more}": (width, width, 3)}
            shapes |= {f"{block}.res1.{more}": (width, inputs, 1)}
            shapes |= {f"{block}.conv2.{place}": (width, width, 3) for place in (1, 3)}
        shapes["last_conv.1"] = (1, 2, 3)
    return shapes


def random_weights(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """A state dict of random numbers, weights normalised, that makes waveforms of middling levels."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in _shapes(kind).items():
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[1] if _transposed(name) else shape[0], generator=random)
        state[f"{name}.weight_g"] = 0.65 + 0.6 * torch.rand(shape[0], 1, 1, generator=random)
        state[f"{name}.weight_v"] = torch.randn(shape, generator=random)
    if kind == "cargan":
        sizes = (512, 256, 256, 256, 256, 128)
        for number, (inputs, outputs) in enumerate(pairwise(sizes)):
            weight = torch.randn(outputs, inputs, generator=random) / inputs**0.5
            state[f"ar_model.model.{2 * number}.weight"] = 2 * weight
            state[f"ar_model.model.{2 * number}.bias"] = 0.1 * torch.randn(outputs, generator=random)
    return state


def random_features(kind: str, frames: int, seed: int = 1) -> Tensor:
    """Natural logarithms of amplitudes ``(2, n_mels, frames)``, as they may be."""
    return 2 * torch.randn(2, MELS[kind], frames, generator=torch.Generator().manual_seed(seed)) - 5


def generate(kind: str, state: dict[str, Tensor], features: Tensor) -> Tensor:
    """Waveforms ``(B, L * hop)`` of features ``(B, n_mels, L)``: frame l becomes samples ``l * hop`` on."""
    weights = {
        name.removesuffix("_v"): torch._weight_norm(tensor, state[f"{name[:-1]}g"], 0)
        if name.endswith("_v")
        else tensor
        for name, tensor in state.items()
    }
    return {"hifigan": _hifigan, "melgan": _melgan, "cargan": _cargan}[kind](weights, features)


def _transposed(name: str) -> bool:
    return name.startswith("ups.") or name in {f"generator.{number}" for number in (3, 6, 9, 12)}


def _convolved(weights: dict[str, Tensor], name: str, hidden: Tensor, dilation: int = 1, same: bool = True) -> Tensor:
    weight = weights[f"{name}.weight"]
    padding = dilation * (weight.shape[-1] - 1) // 2 if same else 0
    return functional.conv1d(hidden, weight, weights[f"{name}.bias"], padding=padding, dilation=dilation)


def _upsampled(weights: dict[str, Tensor], name: str, hidden: Tensor) -> Tensor:
    weight = weights[f"{name}.weight"]
    factor = weight.shape[-1] // 2
    return functional.conv_transpose1d(hidden, weight, weights[f"{name}.bias"], stride=factor, padding=factor // 2)


def _hifigan(weights: dict[str, Tensor], mel: Tensor) -> Tensor:
    hidden = _convolved(weights, "conv_pre", mel)
    for step in (0, 1):
        hidden = _upsampled(weights, f"ups.{step}", functional.leaky_relu(hidden, 0.1))
        total = torch.zeros_like(hidden)
        for block in (2 * step, 2 * step + 1):
            inner = hidden
            for number, dilation in enumerate((1, 3, 5)):
                name = f"resblocks.{block}.convs{{}}.{number}"
                other = _convolved(weights, name.format(1), functional.leaky_relu(inner, 0.1), dilation)
                inner = inner + _convolved(weights, name.format(2), functional.leaky_relu(other, 0.1))
            total = total + inner
        hidden = total / 2
    return torch.tanh(_convolved(weights, "conv_post", functional.leaky_relu(hidden)))[:, 0]


def _melgan(weights: dict[str, Tensor], mel: Tensor) -> Tensor:
    def reflected(hidden: Tensor, by: int) -> Tensor:
        return functional.pad(hidden, (by, by), mode="reflect")

    hidden = _convolved(weights, "generator.1", reflected((mel + 5) / 5, 3), same=False)
    for step in range(4):
        hidden = _upsampled(weights, f"generator.{3 * step + 3}", functional.leaky_relu(hidden, 0.2))
        for number in range(3):
            block, dilation = f"generator.{3 * step + 4}.blocks.{number}", 3**number
            inner = reflected(functional.leaky_relu(hidden, 0.2), dilation)
            inner = functional.leaky_relu(_convolved(weights, f"{block}.2", inner, dilation, same=False), 0.2)
            shortcut = _convolved(weights, f"generator.{3 * step + 4}.shortcuts.{number}", hidden)
            hidden = shortcut + _convolved(weights, f"{block}.4", inner)
    hidden = reflected(functional.leaky_relu(hidden, 0.2), 3)
    return torch.tanh(_convolved(weights, "generator.16", hidden, same=False))[:, 0]


def _cargan(weights: dict[str, Tensor], mel: Tensor) -> Tensor:
    mel = torch.log10(torch.exp(mel))
    length, told, made = mel.shape[-1], torch.zeros(len(mel), 512), []
    mel = torch.cat([mel, torch.zeros(*mel.shape[:2], -length % 8)], dim=-1)
    for start in range(0, mel.shape[-1], 8):
        context = told
        for place in (0, 2, 4, 6, 8):
            name = f"ar_model.model.{place}"
            context = functional.linear(context, weights[f"{name}.weight"], weights[f"{name}.bias"])
            context = context if place == 8 else functional.leaky_relu(context, 0.1)
        hidden = torch.cat([mel[..., start : start + 8], context[..., None].repeat(1, 1, 8)], dim=1)
        hidden = _convolved(weights, "gblocks.0", hidden)
        for number, factor in enumerate(UPSAMPLING, start=1):
            hidden = _cargan_block(weights, f"gblocks.{number}", hidden, factor)
        made.append(torch.tanh(_convolved(weights, "last_conv.1", functional.relu(hidden)))[:, 0])
        told = made[-1][:, -512:]
    return torch.cat(made, dim=-1)[:, : 256 * length]


def _cargan_block(weights: dict[str, Tensor], name: str, hidden: Tensor, factor: int) -> Tensor:
    more = int(factor > 1)
    shortcut = _convolved(weights, f"{name}.res1.{more}", hidden.repeat_interleave(factor, dim=-1))
    inner = functional.relu(hidden).repeat_interleave(factor, dim=-1)
    inner = functional.relu(_convolved(weights, f"{name}.conv1.{1 + more}", inner))
    hidden = _convolved(weights, f"{name}.conv1.{3 + more}", inner, 3) + shortcut
    inner = functional.relu(_convolved(weights, f"{name}.conv2.1", functional.relu(hidden), 9))
    return hidden + _convolved(weights, f"{name}.conv2.3", inner, 27)
