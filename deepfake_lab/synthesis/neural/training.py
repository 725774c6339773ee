"""How a vocoder learns: one step after another, each a function of weights, seed and number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deepfake_lab.synthesis.neural.discriminator import MultiResolutionDiscriminator
from deepfake_lab.synthesis.neural.generator import Generator
from deepfake_lab.synthesis.neural.losses import (
    Judgement,
    MultiResolutionStft,
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from deepfake_lab.types import LabError

_LOUDEST = 0.95  # peak that a drawn gain may bring a segment to
_LARGEST_GRADIENT = 10.0  # norm beyond which a gradient is shortened


class Training:
    """Trains a generator: by the likeness of spectrograms, from some step on also against a discriminator.

    No Lightning: two optimisers that take turns, and a limit in steps or minutes, leave a Trainer little to do.

    Args:
        generator: what is trained, on the device where it is to be trained.
        loss: likeness of a copy and its original.
        discriminator: what judges copies; None leaves likeness alone.
        adversarial_from: first step that minds the discriminator, which begins to learn there too.
        adversarial_weight: of the discriminator's scores in the loss.
        feature_weight: of its inner outputs in the loss.
        learning_rate: of Adam, for generator and discriminator.
        betas: of Adam.
        gain_db: range of the gain that each segment gets, so that a vocoder works at any level.
        seed: of gains and of whatever is random in the generator.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        loss: MultiResolutionStft,
        discriminator: MultiResolutionDiscriminator | None = None,
        adversarial_from: int = 0,
        adversarial_weight: float = 1.0,
        feature_weight: float = 2.0,
        learning_rate: float = 1e-3,
        betas: Sequence[float] = (0.8, 0.99),
        gain_db: Sequence[float] = (-6.0, 6.0),
        seed: int = 0,
    ) -> None:
        self.generator = generator.train()
        self.loss = loss
        self.device = generator.mel.window.device
        self.discriminator = None if discriminator is None else discriminator.to(self.device)
        self.adversarial_from = adversarial_from
        self.weights = {"adversarial": adversarial_weight, "features": feature_weight}
        self.gain_db = gain_db
        self.seed = seed
        self.steps = 0
        """Steps done."""
        self.history: list[dict[str, float]] = []
        """Terms of the loss at each step."""
        self._optimizers = [
            torch.optim.Adam(module.parameters(), learning_rate, (betas[0], betas[1]))
            for module in (self.generator, self.discriminator)
            if module is not None
        ]

    def step(self, segments: Tensor) -> None:
        """Learns from speech ``(B, T)``, and adds to `history`.

        Raises:
            LabError: the loss is not finite.
        """
        draw = np.random.default_rng([self.seed, self.steps])
        torch.manual_seed(int(draw.integers(2**31)))
        original = self._levelled(segments.to(self.device), draw)
        copied, terms = self.generator.objective(original, self.loss)
        judge = self.discriminator if self.steps >= self.adversarial_from else None
        if judge is not None:
            real: Judgement = judge(original)
            with _frozen(judge):
                made: Judgement = judge(copied)
            terms |= {"adversarial": adversarial_loss(made), "features": feature_loss(real, made)}
        self._descend(0, torch.stack([self.weights.get(name, 1.0) * term for name, term in terms.items()]).sum())
        if judge is not None:
            terms["discriminator"] = discriminator_loss(real, judge(copied.detach()))
            self._descend(1, terms["discriminator"])
        self.steps += 1
        self.history.append({name: term.item() for name, term in terms.items()})

    def _levelled(self, segments: Tensor, draw: np.random.Generator) -> Tensor:
        gains = 10 ** (draw.uniform(self.gain_db[0], self.gain_db[1], len(segments)) / 20)
        most = _LOUDEST / segments.abs().amax(dim=1).clamp(min=1e-6)
        return segments * torch.minimum(torch.as_tensor(gains, dtype=torch.float32, device=self.device), most)[:, None]

    def _descend(self, place: int, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise LabError(
                f"the loss is {loss.item()} at step {self.steps}: training stopped. Lower training.learning_rate, "
                "and begin anew with force=true."
            )
        optimizer = self._optimizers[place]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], _LARGEST_GRADIENT)
        optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, and the history, in tensors and plain containers."""
        return {
            "steps": self.steps,
            "history": self.history,
            "generator": self.generator.state_dict(),
            "discriminator": None if self.discriminator is None else self.discriminator.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up what `state_dict` of the same settings has left."""
        self.steps, self.history = state["steps"], list(state["history"])
        self.generator.load_state_dict(state["generator"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(state["discriminator"])
        for optimizer, content in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Lets gradients through a module, and gives it none: half the cost of going back through it."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
