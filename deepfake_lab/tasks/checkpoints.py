"""A training's own checkpoints: there whole or not at all, and gone on from only if every bit is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import CheckpointIO

from deepfake_lab.data.tensors import read_checkpoint, write_checkpoint
from deepfake_lab.types import LabError


class WholeCheckpoints(CheckpointIO):
    """Writes and reads Lightning's checkpoints.

    Lightning's own way makes a file in the system's temporary folder and moves it, which is a copy where that is
    another disk: a kill or a full disk would leave part of a checkpoint in the place of a good one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a checkpoint.

        Args:
            checkpoint: its content.
            path: of the file; its folder is made.
            storage_options: Lightning hands none on.

        Raises:
            DiskError: the disk is full or does not let itself be written; a checkpoint of before is still there.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self, path: str | Path, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Reads a checkpoint to the CPU; nothing is unpickled but tensors and plain containers.

        Args:
            path: of the file.
            map_location: tensors go to the CPU, whatever it says.
            weights_only: always.

        Raises:
            LabError: the file is damaged; the message names one to go on from.
        """
        try:
            return read_checkpoint(path, advice="")
        except LabError as error:
            raise LabError(f"{str(error).rstrip()} {_way_on(Path(path))}") from error

    def remove_checkpoint(self, path: str | Path) -> None:
        """Removes a checkpoint."""
        Path(path).unlink(missing_ok=True)


def _way_on(damaged: Path) -> str:
    """What to do instead of going on from a damaged checkpoint: take the latest other one of its folder."""
    epochs: dict[Path, int] = {}
    for other in set(damaged.parent.glob("*.ckpt")) - {damaged}:
        try:
            epochs[other] = int(read_checkpoint(other)["epoch"]) + 1
        except (LabError, KeyError, TypeError, ValueError):
            continue  # no better than the damaged one
    if not epochs:
        return f"No other checkpoint beside it is whole: delete it to train from the beginning (rm {damaged})."
    latest = max(epochs, key=lambda path: (epochs[path], path.name))
    return f"To go on after epoch {epochs[latest]} instead: cp {latest} {damaged}, then the same command."
