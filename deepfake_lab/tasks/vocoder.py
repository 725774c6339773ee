"""The training of a vocoder over time: what it hears, when it ends, and checkpoints that let it go on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.data.tensors import read_checkpoint, write_checkpoint
from deepfake_lab.synthesis.neural.training import Training
from deepfake_lab.synthesis.neural.weights import packed
from deepfake_lab.types import Batch, LabError


class Session:
    """A training that a kill does not end: a checkpoint beside the weights holds all of it.

    Args:
        training: what learns; it goes on where the checkpoint was written, if there is one.
        settings: plain values that make it this training and no other; `vocoder` is what its generator was built from.
        weights: file of the vocoder to be.
        force: begin anew.

    Attributes:
        seconds: how long it has learnt.
        run_id: of its MLflow run; None before that has begun.

    Raises:
        LabError: the weights are there without a checkpoint, or this is of a training with other settings.
    """

    def __init__(self, training: Training, settings: Mapping[str, Any], weights: Path, *, force: bool) -> None:
        self.training = training
        self.settings = dict(settings)
        self.weights = weights
        self.seconds = 0.0
        self.run_id: str | None = None
        if not force:
            self._take_up()

    @property
    def checkpoint(self) -> Path:
        """Where an interrupted training goes on from."""
        return self.weights.with_suffix(".training.ckpt")

    def _take_up(self) -> None:
        if not self.checkpoint.is_file():
            if self.weights.is_file():
                raise LabError(
                    f"{self.weights}: is there, and its training cannot go on without {self.checkpoint}. Train it anew "
                    "with force=true, or name another file: weights=."
                )
            return
        content = read_checkpoint(self.checkpoint, "Begin anew with force=true, or name another file: weights=.")
        known = content.get("settings", {})
        if others := [name for name, value in self.settings.items() if known.get(name) != value]:
            raise LabError(
                f"{self.checkpoint}: is of a training with other settings ({', '.join(others)}). Begin anew with "
                "force=true, or name another file: weights=."
            )
        self.training.load_state_dict(content["training"])
        self.seconds, self.run_id = content["seconds"], content["run_id"]

    def step(self, segments: Tensor) -> None:
        """Learns from segments ``(B, T)``."""
        begun = time.perf_counter()
        self.training.step(segments)
        self.seconds += time.perf_counter() - begun

    def save(self) -> None:
        """Writes the checkpoint."""
        content = {"settings": self.settings, "seconds": self.seconds, "run_id": self.run_id}
        write_checkpoint(content | {"training": self.training.state_dict()}, self.checkpoint)

    def save_weights(self) -> None:
        """Writes the vocoder alone."""
        about = {"steps": self.training.steps, "seconds": self.seconds, "run_id": self.run_id, **self.settings}
        write_checkpoint(packed(self.training.generator, self.settings["vocoder"], about), self.weights)

    def recent(self, steps: int) -> dict[str, float]:
        """Mean of each term of the loss over those of the last steps that have it."""
        last = self.training.history[-steps:]
        names = dict.fromkeys(itertools.chain.from_iterable(last))
        terms = {name: [losses[name] for losses in last if name in losses] for name in names}
        return {f"train/{name}": sum(values) / len(values) for name, values in terms.items()}


class Limit:
    """When a training ends: at the first of these that is given.

    Args:
        steps: number of steps.
        minutes: of learning.

    Raises:
        LabError: neither is given, or one is not above 0.
    """

    def __init__(self, steps: int | None, minutes: float | None) -> None:
        given = [limit for limit in (steps, minutes) if limit is not None]
        if not given or min(given) <= 0:
            raise LabError(f"steps={steps} minutes={minutes}: when is training to end? Give a limit above 0.")
        self._steps = steps
        self._seconds = None if minutes is None else 60 * minutes
        self.unit = "seconds" if steps is None else "steps"
        self.total = max(round(60 * (minutes or 0)), 1) if steps is None else steps

    def way(self, session: Session) -> int:
        """How much of `total` is done, in `unit`."""
        return session.training.steps if self._steps is not None else int(session.seconds)

    def reached(self, session: Session) -> bool:
        """Whether a training has come to its end."""
        enough = self._steps is not None and session.training.steps >= self._steps
        return enough or (self._seconds is not None and session.seconds >= self._seconds)


def segments(
    manifest: Manifest, segment_s: float, batch_size: int, *, seed: int, first: int, workers: int
) -> Iterator[Tensor]:
    """Batches of random segments ``(B, T)``, without end; each depends on the seed and the number of its step alone.

    Args:
        manifest: utterances, whose quiet edges are left out.
        segment_s: length of a segment in seconds; shorter utterances are repeated.
        batch_size: segments a step.
        seed: of the choice.
        first: number of the first step.
        workers: reading processes; 0 reads in this one.
    """
    dataset = UtteranceDataset(manifest, segment_s, crop="random", trim=True, seed=seed)
    draws = _draws(len(dataset), batch_size, seed, first)
    return iter(DataLoader(dataset, batch_sampler=draws, num_workers=workers, collate_fn=_wave))


def _draws(size: int, batch_size: int, seed: int, first: int) -> Iterator[list[Any]]:
    for step in itertools.count(first):
        rows = np.random.default_rng([seed, step]).integers(size, size=batch_size)
        yield [Draw(int(row), step) for row in rows]


def _wave(batch: object) -> Tensor:
    return cast(Batch, batch).wave  # the data set makes whole batches
