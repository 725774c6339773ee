"""Compares a training step and the scoring of AASIST with a straightforward implementation of the same graph.

The plain one has the same parameters and computes as the paper tells and public code does: the filter bank as a
convolution, then its magnitude, then max-pooling; out of place; maps in PyTorch's default order of memory.
"""

import torch
from bench import Measurement, medians, report
from torch.nn import functional

from deepfake_lab.models.aasist import AASIST, sinc_filters

BOUND = 1.1
"""Longest time allowed, in units of the plain implementation's."""
BATCH, SAMPLES, REPEATS = 2, 64_000, 3


def plain(model, wave):
    """Embeddings of waveforms (B, T), with the parameters of `model`."""
    filters = sinc_filters(70).unsqueeze(1)
    maps = functional.conv1d(wave.unsqueeze(1), filters).abs().unsqueeze(1)
    maps = functional.selu(model.norm(functional.max_pool2d(maps, (3, 3))))
    for block in model.blocks:
        new = block.conv2(functional.selu(block.norm2(block.conv1(maps))))
        maps = functional.max_pool2d(new + block.shortcut(maps), (1, 3))
    spectral = maps.abs().max(dim=3)[0].transpose(1, 2) + model.spectral_position
    temporal = maps.abs().max(dim=2)[0].transpose(1, 2)
    spectral = plain_pool(model.spectral_pool, plain_attention(model.spectral_attention, spectral), 0.5)
    temporal = plain_pool(model.temporal_pool, plain_attention(model.temporal_attention, temporal), 0.7)
    ways = []
    for branch in model.branches:
        t, s, m = plain_joint(branch.first, temporal, spectral, branch.stack.expand(len(wave), -1, -1))
        t, s = plain_pool(branch.temporal_pool, t, 0.5), plain_pool(branch.spectral_pool, s, 0.5)
        more = plain_joint(branch.second, t, s, m)
        ways.append([branch.dropout(old + new) for old, new in zip((t, s, m), more, strict=True)])
    t, s, m = (torch.max(one, other) for one, other in zip(*ways, strict=True))
    parts = [t.abs().max(dim=1)[0], t.mean(dim=1), s.abs().max(dim=1)[0], s.mean(dim=1), m.squeeze(1)]
    return model.dropout(torch.cat(parts, dim=1))


def pairs(nodes):
    """Products of all pairs of nodes, (B, N, D) -> (B, N, N, D)."""
    expanded = nodes.unsqueeze(2).expand(-1, -1, nodes.shape[1], -1)
    return expanded * expanded.transpose(1, 2)


def plain_attention(layer, nodes):
    """Attention over the nodes of one graph."""
    nodes = layer.dropout(nodes)
    scores = torch.matmul(torch.tanh(layer.edge(pairs(nodes))), layer.edge_weight)
    return plain_update(layer, nodes, scores)


def plain_update(layer, nodes, scores):
    """New nodes from the scores of all pairs (B, N, N, 1)."""
    attention = functional.softmax(scores / layer.temperature, dim=-2).squeeze(-1)
    new = layer.mixed(torch.matmul(attention, nodes)) + layer.own(nodes)
    return functional.selu(layer.norm(new.flatten(0, 1)).view_as(new))


def plain_joint(layer, temporal, spectral, stack):
    """Attention over two graphs and a stack node."""
    count = temporal.shape[1]
    nodes = layer.dropout(torch.cat([layer.temporal(temporal), layer.spectral(spectral)], dim=1))
    edges = torch.tanh(layer.edge(pairs(nodes)))
    scores = torch.zeros_like(edges[..., :1])
    scores[:, :count, :count] = torch.matmul(edges[:, :count, :count], layer.temporal_weight)
    scores[:, count:, count:] = torch.matmul(edges[:, count:, count:], layer.spectral_weight)
    scores[:, :count, count:] = torch.matmul(edges[:, :count, count:], layer.cross_weight)
    scores[:, count:, :count] = torch.matmul(edges[:, count:, :count], layer.cross_weight)
    attention = torch.matmul(torch.tanh(layer.stack_edge(nodes * stack)), layer.stack_weight) / layer.temperature
    gathered = torch.matmul(functional.softmax(attention, dim=-2).transpose(1, 2), nodes)
    nodes = plain_update(layer, nodes, scores)
    return nodes[:, :count], nodes[:, count:], layer.stack_mixed(gathered) + layer.stack_own(stack)


def plain_pool(pool, nodes, share):
    """The best nodes, scaled by their scores."""
    scores = torch.sigmoid(pool.score(pool.dropout(nodes)))
    _, best = torch.topk(scores, max(int(nodes.shape[1] * share), 1), dim=1)
    return torch.gather(nodes * scores, 1, best.expand(-1, -1, nodes.shape[2]))


def measure():
    """Ratios of the times of a training step (forward and backward) and of scoring; checks that both agree."""
    torch.manual_seed(0)
    wave = 0.1 * torch.randn(BATCH, SAMPLES)
    model = AASIST(channels=1, bins=1)
    forwards = {"lab": lambda: model(wave[:, None, None]), "plain": lambda: plain(model, wave)}
    measurements = []
    for what, training in (("training step", True), ("scoring", False)):
        model.train(training)

        def run(forward, training=training):
            with torch.inference_mode(not training):
                embedding = forward()
            if training:
                model.zero_grad()
                embedding.square().sum().backward()

        if not training:
            torch.testing.assert_close(forwards["lab"](), forwards["plain"](), rtol=1e-3, atol=1e-4)
        seconds = medians(
            {name: lambda forward=forward: run(forward) for name, forward in forwards.items()}, REPEATS, 1
        )
        figures = f"{seconds['lab']:.2f} s, plain {seconds['plain']:.2f} s for {BATCH} clips of 4 s"
        ratio = seconds["lab"] / seconds["plain"]
        measurements.append(Measurement(f"aasist, {what}", ratio, "x", BOUND, figures=figures))
    return measurements


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
