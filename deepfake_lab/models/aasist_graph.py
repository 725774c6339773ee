"""Graph layers of AASIST: attention over nodes of one kind, over nodes of two kinds with a stack node, pooling.

Source: Jung et al., "AASIST: Audio Anti-Spoofing using Integrated Spectro-Temporal Graph Attention Networks", ICASSP
2022, sections 2.2 (graph attention, graph pooling) and 3.2 (heterogeneous stacking). A graph is fully connected, so it
is given by its nodes alone: `(B, N, D)`, N nodes of D components.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DROPOUT = 0.2
"""Probability of dropout on the nodes that enter a layer and on those that leave a branch."""


class GraphLayer(nn.Module):
    """What the attention layers share: a node becomes a mixture of all nodes, plus itself, normalised.

    Args:
        dim: components D of the nodes that come in.
        out_dim: components E of the nodes that go out.
        temperature: the larger, the more evenly a node attends to all others.
    """

    def __init__(self, dim: int, out_dim: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.dropout = nn.Dropout(DROPOUT)
        self.edge = nn.Linear(dim, out_dim)
        self.mixed = nn.Linear(dim, out_dim)
        self.own = nn.Linear(dim, out_dim)
        self.norm = nn.BatchNorm1d(out_dim)

    def edges(self, nodes: Tensor) -> Tensor:
        """Edges ``(B, N, N, E)`` between nodes ``(B, N, D)``: they see the product of both ends, so are symmetric."""
        return torch.tanh(self.edge(nodes.unsqueeze(2) * nodes.unsqueeze(1)))

    def update(self, nodes: Tensor, scores: Tensor) -> Tensor:
        """New nodes ``(B, N, E)`` from nodes ``(B, N, D)`` that attend to each other by scores ``(B, N, N)``."""
        attention = torch.softmax(scores / self.temperature, dim=-1)
        new = self.mixed(attention @ nodes) + self.own(nodes)
        return functional.selu(self.norm(new.transpose(1, 2)).transpose(1, 2))


class GraphAttention(GraphLayer):
    """Attention over the nodes of one graph."""

    def __init__(self, dim: int, out_dim: int, temperature: float) -> None:
        super().__init__(dim, out_dim, temperature)
        self.edge_weight = _direction(out_dim)

    def forward(self, nodes: Tensor) -> Tensor:
        """Nodes ``(B, N, E)`` from nodes ``(B, N, D)``."""
        nodes = self.dropout(nodes)
        return self.update(nodes, (self.edges(nodes) @ self.edge_weight).squeeze(-1))


class HeterogeneousAttention(GraphLayer):
    """Attention over the union of a temporal and a spectral graph, beside a stack node that gathers from both.

    An edge is weighed by the kinds of its ends. The stack node attends to every node, none attends to it: it gathers
    what tells about the relation of both graphs, as a class token does.
    """

    def __init__(self, dim: int, out_dim: int, temperature: float) -> None:
        super().__init__(dim, out_dim, temperature)
        self.temporal = nn.Linear(dim, dim)
        self.spectral = nn.Linear(dim, dim)
        self.temporal_weight = _direction(out_dim)
        self.spectral_weight = _direction(out_dim)
        self.cross_weight = _direction(out_dim)
        self.stack_edge = nn.Linear(dim, out_dim)
        self.stack_weight = _direction(out_dim)
        self.stack_mixed = nn.Linear(dim, out_dim)
        self.stack_own = nn.Linear(dim, out_dim)

    def forward(self, temporal: Tensor, spectral: Tensor, stack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Updates both graphs and the stack node.

        Args:
            temporal: nodes ``(B, N, D)``.
            spectral: nodes ``(B, M, D)``.
            stack: stack node ``(B, 1, D)``.

        Returns:
            The same, with E components each.
        """
        count = temporal.shape[1]
        nodes = self.dropout(torch.cat([self.temporal(temporal), self.spectral(spectral)], dim=1))
        updated = self.update(nodes, self._scores(self.edges(nodes), count))
        return updated[:, :count], updated[:, count:], self._gather(nodes, stack)

    def _scores(self, edges: Tensor, count: int) -> Tensor:
        """Scores ``(B, N + M, N + M)`` of edges between `count` temporal nodes, which come first, and spectral ones."""
        from_temporal, from_spectral = edges[:, :count], edges[:, count:]
        rows = (
            (from_temporal[:, :, :count] @ self.temporal_weight, from_temporal[:, :, count:] @ self.cross_weight),
            (from_spectral[:, :, :count] @ self.cross_weight, from_spectral[:, :, count:] @ self.spectral_weight),
        )
        return torch.cat([torch.cat(row, dim=2) for row in rows], dim=1).squeeze(-1)

    def _gather(self, nodes: Tensor, stack: Tensor) -> Tensor:
        """New stack node ``(B, 1, E)``."""
        scores = torch.tanh(self.stack_edge(nodes * stack)) @ self.stack_weight
        attention = torch.softmax(scores.transpose(1, 2) / self.temperature, dim=-1)
        new: Tensor = self.stack_mixed(attention @ nodes) + self.stack_own(stack)
        return new


class GraphPool(nn.Module):
    """Keeps the nodes that score highest, in the order of their scores, each scaled by its own score.

    Sure scores round to 1 and tie. Their order is then `topk`'s, as in the official code: nodes of both branches are
    compared place by place, so a device or an exporter that orders ties otherwise gives another score.

    Args:
        dim: components D of a node.
        percent: how many of the nodes stay; one always does.
    """

    def __init__(self, dim: int, percent: int) -> None:
        super().__init__()
        self.percent = percent
        self.dropout = nn.Dropout(0.3)
        self.score = nn.Linear(dim, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        """Nodes ``(B, K, D)`` out of nodes ``(B, N, D)``."""
        # in whole numbers: int(0.7 * 90) is 62
        keep = max(nodes.shape[1] * self.percent // 100, 1)
        scores = torch.sigmoid(self.score(self.dropout(nodes)))
        best = scores.topk(keep, dim=1).indices
        return (nodes * scores).gather(1, best.expand(-1, -1, nodes.shape[2]))


def _direction(dim: int) -> nn.Parameter:
    """A vector ``(dim, 1)`` that edges are projected on."""
    return nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, 1)))
