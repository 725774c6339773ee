"""What stays to be looked at when training breaks down: the batch, the terms of the loss, every layer's gradient."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from deepfake_lab.data.files import whole, write_whole
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import Batch, LabError

_SHOWN = 3  # keys in the message; the file has all


class Diagnosis(pl.Callback):
    """Stops training at the first loss or gradient that is not finite, and keeps the batch that made it.

    It stops before the optimizer has spread it over the weights, and so before any checkpoint holds it. A last step of
    an epoch that ruins the weights shows in the dev loss, before the epoch's checkpoint is written.

    Args:
        run_dir: folder of the run; what there is to look at goes to `diagnosis/` in it.
    """

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self._batch: Batch | None = None
        self._number = 0
        self._loss = torch.zeros(())

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Remembers the batch."""
        self._batch, self._number = batch, batch_idx

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Remembers the loss."""
        self._loss = loss.detach()

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at the loss and at the norm of all gradients, which a device has to be waited for once.

        Raises:
            LabError: one of them is not finite.
        """
        gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
        # a scaler of half precision tries scales that are too large, and leaves out the steps that overflow
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        norm = torch.zeros_like(self._loss) if scaled else torch.nn.utils.get_total_norm(gradients)
        if bool(torch.isfinite(self._loss + norm)):
            return
        named = {"loss": float(self._loss), "gradient": float(norm)}
        what, value = next((name, value) for name, value in named.items() if not math.isfinite(value))
        self._stop(trainer, pl_module, f"the training {what} is {value}")

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Looks at the dev loss of an epoch of training.

        Raises:
            LabError: it is not finite.
        """
        value = float(trainer.callback_metrics.get("dev/loss", 0.0))
        if trainer.state.fn == TrainerFn.FITTING and not math.isfinite(value):
            self._stop(trainer, pl_module, f"the dev loss is {value} after the last step")

    def _stop(self, trainer: pl.Trainer, pl_module: pl.LightningModule, what: str) -> None:
        assert isinstance(pl_module, DetectionTask)  # for the type checker
        assert self._batch is not None
        keys, rate = self._batch.key, trainer.optimizers[0].param_groups[0]["lr"]
        shown = ", ".join(keys[:_SHOWN]) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
        kept = self._keep(trainer, pl_module, self._batch, what)
        raise LabError(
            f"{what} in epoch {trainer.current_epoch + 1}, batch {self._number + 1} ({shown}): training stopped. "
            f"{kept} holds the batch and {kept.with_suffix('.json').name} beside it the gradients; docs/faults.md says "
            "how to listen to it. Go on from the last whole epoch, with a lower learning rate than this one of "
            f"{rate:g}, or in full precision (trainer.precision=32-true): resume={self.run_dir} optim.lr={rate / 10:g}"
        )

    def _keep(self, trainer: pl.Trainer, task: DetectionTask, batch: Batch, what: str) -> Path:
        """Writes the batch, as it was read and as it was heard, and what is known of the step; returns the former."""
        # draws again what it drew then; features out of a cache are all that was heard
        heard = task.augmented(batch, self._number)[0] if batch.features is None else batch
        folder = self.run_dir / "diagnosis"
        folder.mkdir(parents=True, exist_ok=True)
        process = f"-process{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = folder / f"epoch{trainer.current_epoch + 1:03d}-batch{self._number + 1:05d}{process}.npz"
        with whole(path) as partial:
            arrays = {name: getattr(batch, name).cpu().numpy() for name in ("wave", "label", "row")}
            arrays["heard"] = (heard.wave if heard.features is None else heard.features).cpu().numpy()
            np.savez(partial, **arrays, key=np.array(batch.key))
        about = {
            "what": what,
            "epoch": trainer.current_epoch + 1,
            "batch": self._number + 1,
            "step": trainer.global_step,
            "seed": task.seed,
            "loss": float(self._loss),
            "terms": {name: float(term) for name, term in task.terms.items()},
            "learning_rates": [group["lr"] for group in trainer.optimizers[0].param_groups],
            "peaks": dict(
                zip(batch.key, np.abs(arrays["heard"]).reshape(len(batch.label), -1).max(1).tolist(), strict=False)
            ),
            "gradient_norms": {
                name: float(weight.grad.norm()) for name, weight in task.named_parameters() if weight.grad is not None
            },
            "not_finite": [name for name, value in task.detector.state_dict().items() if not _finite(value)],
        }
        write_whole(path.with_suffix(".json"), json.dumps(_plain(about), indent=1, ensure_ascii=False))
        return path


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _plain(value: Any) -> Any:  # noqa: ANN401  # whatever JSON takes
    """The same, with numbers that JSON does not know as text: "nan", "inf"."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
