"""AASIST as the official release stores and computes it: random weights under its names, its logits node by node.

Written from the paper, in NumPy, float64, with loops over nodes: slow, plain, and sharing nothing with the package.
With the published weights it gives the published logits.
"""

import itertools

import numpy as np
import torch

BLOCKS = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 64), (64, 64)]


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def convolution(name, inputs, outputs, rows):
    return {f"{name}.weight": (outputs, inputs, rows, 3), f"{name}.bias": (outputs,)}


def norm(name, size):
    return {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")} | {
        f"{name}.num_batches_tracked": ()
    }


def shapes():
    """Names and shapes of the official state dict."""
    found = {"pos_S": (1, 23, 64), "master1": (1, 1, 64), "master2": (1, 1, 64), **norm("first_bn", 1)}
    for i, (inputs, outputs) in enumerate(BLOCKS):
        block = f"encoder.{i}.0"
        found |= norm(f"{block}.bn1", inputs) if i else {}
        found |= convolution(f"{block}.conv1", inputs, outputs, 2) | norm(f"{block}.bn2", outputs)
        found |= convolution(f"{block}.conv2", outputs, outputs, 2)
        found |= convolution(f"{block}.conv_downsample", inputs, outputs, 1) if inputs != outputs else {}
    for layer in ("GAT_layer_S", "GAT_layer_T"):
        found[f"{layer}.att_weight"] = (64, 1)
        for part in ("att_proj", "proj_with_att", "proj_without_att"):
            found |= linear(f"{layer}.{part}", 64, 64)
        found |= norm(f"{layer}.bn", 64)
    for branch in (1, 2):
        for depth, size in ((1, 64), (2, 32)):
            layer = f"HtrgGAT_layer_ST{branch}{depth}"
            found |= {f"{layer}.att_weight{kind}": (32, 1) for kind in ("11", "22", "12", "M")}
            found |= linear(f"{layer}.proj_type1", size, size) | linear(f"{layer}.proj_type2", size, size)
            for part in ("att_proj", "proj_with_att", "proj_without_att"):
                found |= linear(f"{layer}.{part}", size, 32) | linear(f"{layer}.{part}M", size, 32)
            found |= norm(f"{layer}.bn", 32)
        found |= linear(f"pool_hS{branch}.proj", 32, 1) | linear(f"pool_hT{branch}.proj", 32, 1)
    return found | linear("pool_S.proj", 64, 1) | linear("pool_T.proj", 64, 1) | linear("out_layer", 160, 2)


def random_weights(seed=0):
    """A state dict of random numbers, large enough that every tensor has a say in the logits."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
            continue
        values = rng.standard_normal(shape)
        if name.endswith("running_var"):
            values = rng.uniform(0.5, 1.5, shape)
        elif ".att_weight" in name:
            values *= 30 if name.startswith("Htrg") else 2  # their temperature is high
        elif name.endswith("weight") and len(shape) > 1:
            values /= np.sqrt(np.prod(shape[1:]))
        state[name] = torch.from_numpy(np.asarray(values, dtype=np.float32))
    return state


def logits(state, wave):
    """Logits (2,) of a waveform (T,), in evaluation."""
    p = {name: tensor.double().numpy() for name, tensor in state.items()}
    maps = np.abs([np.convolve(wave, taps[::-1], mode="valid") for taps in sinc_filters()])
    maps = selu(normalised(p, "first_bn", maximum(maps[None], 3, 3)))
    for i, (inputs, outputs) in enumerate(BLOCKS):
        block = f"encoder.{i}.0"
        new = convolved(p, f"{block}.conv1", maps, above=1, below=1)
        new = convolved(p, f"{block}.conv2", selu(normalised(p, f"{block}.bn2", new)))
        old = maps if inputs == outputs else convolved(p, f"{block}.conv_downsample", maps)
        maps = maximum(new + old, 1, 3)
    maps = np.abs(maps)
    spectral = pooled(p, "pool_S", attended(p, "GAT_layer_S", maps.max(2).T + p["pos_S"][0]), 1 / 2)
    temporal = pooled(p, "pool_T", attended(p, "GAT_layer_T", maps.max(1).T), 7 / 10)
    ways = []
    for branch in (1, 2):
        layer = f"HtrgGAT_layer_ST{branch}"
        t, s, m = stacked(p, f"{layer}1", temporal, spectral, p[f"master{branch}"][0, 0])
        t, s = pooled(p, f"pool_hT{branch}", t, 1 / 2), pooled(p, f"pool_hS{branch}", s, 1 / 2)
        ways.append([old + new for old, new in zip((t, s, m), stacked(p, f"{layer}2", t, s, m), strict=True)])
    t, s, m = (np.maximum(one, other) for one, other in zip(*ways, strict=True))
    embedding = np.concatenate([np.abs(t).max(0), t.mean(0), np.abs(s).max(0), s.mean(0), m])
    return projected(p, "out_layer", embedding)


def sinc_filters(count=70, length=129):
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), count + 1)
    edges = 700 * (10 ** (mel / 2595) - 1)
    time = (np.arange(length) - length // 2) / 16_000
    low_pass = [2 * edge / 16_000 * np.sinc(2 * edge * time) for edge in edges]
    return [np.hamming(length) * (wide - narrow) for narrow, wide in itertools.pairwise(low_pass)]


def selu(x):
    return 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))


def softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def normalised(p, name, x):
    """Batch normalisation over the first axis of maps (C, F, L), the last of nodes (N, D)."""
    mean, variance, scale, shift = (p[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    if x.ndim == 3:
        mean, variance, scale, shift = (v[:, None, None] for v in (mean, variance, scale, shift))
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


def projected(p, name, x):
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def convolved(p, name, maps, above=0, below=0):
    """Cross-correlation of maps (C, F, L), padded by a frame on both sides and by rows above and below."""
    weight = p[f"{name}.weight"]
    padded = np.pad(maps, ((0, 0), (above, below), (1, 1)))
    rows, frames = padded.shape[1] - weight.shape[2] + 1, maps.shape[2]
    total = 0
    for i in range(weight.shape[2]):
        for j in range(3):
            part = padded[:, i : i + rows, j : j + frames].reshape(len(maps), -1)
            total = total + (weight[:, :, i, j] @ part).reshape(-1, rows, frames)
    return total + p[f"{name}.bias"][:, None, None]


def maximum(maps, rows, frames):
    """Maxima of maps (C, F, L) over tiles; what does not fill a tile is left out."""
    channels, f, length = len(maps), maps.shape[1] // rows, maps.shape[2] // frames
    return maps[:, : f * rows, : length * frames].reshape(channels, f, rows, length, frames).max((2, 4))


def attended(p, layer, nodes):
    """Graph attention over nodes (N, D)."""
    new = []
    for node in nodes:
        scores = [np.tanh(projected(p, f"{layer}.att_proj", node * other)) for other in nodes]
        attention = softmax((np.array(scores) @ p[f"{layer}.att_weight"])[:, 0] / 2)
        mixed = sum(share * other for share, other in zip(attention, nodes, strict=True))
        new.append(projected(p, f"{layer}.proj_with_att", mixed) + projected(p, f"{layer}.proj_without_att", node))
    return selu(normalised(p, f"{layer}.bn", np.array(new)))


def stacked(p, layer, temporal, spectral, stack):
    """Heterogeneous attention over temporal (N, D) and spectral (M, D) nodes and a stack node (D,)."""
    temporal, spectral = projected(p, f"{layer}.proj_type1", temporal), projected(p, f"{layer}.proj_type2", spectral)
    nodes = [("1", node) for node in temporal] + [("2", node) for node in spectral]
    new = []
    for kind, node in nodes:
        scores = []
        for other_kind, other in nodes:
            ends = "".join(sorted(kind + other_kind))
            edge = np.tanh(projected(p, f"{layer}.att_proj", node * other))
            scores.append((edge @ p[f"{layer}.att_weight{ends}"]).item())
        attention = softmax(np.array(scores) / 100)
        mixed = sum(share * other for share, (_, other) in zip(attention, nodes, strict=True))
        new.append(projected(p, f"{layer}.proj_with_att", mixed) + projected(p, f"{layer}.proj_without_att", node))
    new = selu(normalised(p, f"{layer}.bn", np.array(new)))
    edges = [np.tanh(projected(p, f"{layer}.att_projM", node * stack)) for _, node in nodes]
    attention = softmax((np.array(edges) @ p[f"{layer}.att_weightM"])[:, 0] / 100)
    mixed = sum(share * node for share, (_, node) in zip(attention, nodes, strict=True))
    stack = projected(p, f"{layer}.proj_with_attM", mixed) + projected(p, f"{layer}.proj_without_attM", stack)
    return new[: len(temporal)], new[len(temporal) :], stack


def pooled(p, name, nodes, share):
    """The best nodes, best first, each scaled by its score."""
    scores = 1 / (1 + np.exp(-projected(p, f"{name}.proj", nodes)[:, 0]))
    best = np.argsort(-scores, kind="stable")[: max(int(share * len(nodes)), 1)]
    return np.array([scores[i] * nodes[i] for i in best])
