"""Multiruns: one parent in MLflow, under which the jobs nest."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from deepfake_lab.config.checks import build

PARENT_RUN_VARIABLE = "DEEPFAKE_LAB_PARENT_RUN"
"""Environment variable that tells the jobs of a multirun their parent's run id."""


class MultirunParent(Callback):
    """Hydra callback: one parent run for a multirun, under which its jobs nest."""

    def __init__(self) -> None:
        self._close: Callable[..., None] | None = None

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Opens the parent and tells the jobs, through the environment, which every launcher passes on."""
        tracking = build(config.tracking)
        run_id = tracking.open_parent(Path(config.hydra.sweep.dir).name)
        os.environ[PARENT_RUN_VARIABLE] = run_id
        self._close = functools.partial(tracking.close_parent, run_id)
        atexit.register(self._end, finished=False)

    def on_multirun_end(self, config: DictConfig, **_: object) -> None:
        """Closes the parent. A multirun that fails never comes here: `atexit` closes its parent as failed."""
        self._end(finished=True)

    def _end(self, *, finished: bool) -> None:
        if self._close is not None:
            self._close(finished=finished)
            self._close = None
            os.environ.pop(PARENT_RUN_VARIABLE)
