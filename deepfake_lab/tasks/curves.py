"""Learning curves as a file in the run's folder, so that a report can draw them without asking anybody."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from deepfake_lab.data.files import whole


class LearningCurves(pl.Callback):
    """Writes a CSV with a row an epoch: `epoch` from 1, `train/loss`, all numbers of dev, and which epoch is `kept`.

    The rows so far are part of the checkpoint, so that a resumed run goes on where its weights do.

    Args:
        path: of the file.
        monitor: metric that chooses the epoch.
        mode: whether it is to be small or large.
    """

    def __init__(self, path: str, monitor: str = "dev/eer", mode: Literal["min", "max"] = "min") -> None:
        self._path = Path(path)
        self._monitor = monitor
        self._best = min if mode == "min" else max
        self._rows: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Adds the epoch. Of train only the loss is new by now: the task measures the rest after its callbacks."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        dev = {name: value for name, value in values.items() if name.startswith("dev/")}
        self._rows.append({"epoch": trainer.current_epoch + 1, "train/loss": values["train/loss"], **dev})
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        kept = -1
        if self._monitor in self._rows[0]:  # other numbers of train are not known yet
            monitored = [row[self._monitor] for row in self._rows]
            kept = monitored.index(self._best(monitored))  # the first of equals, as Lightning keeps it
        with whole(self._path) as partial, partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*self._rows[0], "kept"])
            writer.writeheader()
            writer.writerows({**row, "kept": place == kept} for place, row in enumerate(self._rows))

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up the rows."""
        self._rows = list(state_dict["rows"])
