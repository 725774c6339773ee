"""An Optuna study that several processes share and that outlives each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from deepfake_lab.tuning.space import Space
from deepfake_lab.types import LabError

DIRECTIONS = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
"""Optuna's word for each mode."""

FAILURES = 3
"""So many failed trials in a row mean that something is wrong with all of them."""


class SharedStudy:
    """A study in an SQLite file. Any number of processes claim trials from it; each trial is counted once.

    Whoever works on a trial holds a file lock. The system frees it when the process dies, in whatever way: that is how
    others tell a trial that is being worked on from one that was killed. Killed trials fail, and are made up for.

    Args:
        name: of the study; the file may hold others.
        storage: SQLite file.
        folder: where the trials leave their runs; made if it is missing.
        mode: `min` or `max`.
        sampler: called with `seed` for each trial, so that a study that was interrupted goes on as if it had not been.
        pruner: gives up hopeless trials; None gives up none.
    """

    def __init__(
        self,
        name: str,
        storage: Path,
        folder: Path,
        mode: str,
        sampler: Callable[..., BaseSampler],
        pruner: BasePruner | None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder = folder
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        storage.parent.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(f"{storage}.lock")
        """To be held while the study is read in order to be written."""
        self._sampler = sampler
        self._mine: dict[int, FileLock] = {}
        with self.lock:
            try:
                self.study = optuna.create_study(
                    study_name=name,
                    storage=f"sqlite:///{storage.resolve()}",
                    direction=DIRECTIONS[mode],
                    pruner=pruner or NopPruner(),
                    load_if_exists=True,
                )
            except Exception as error:  # SQLAlchemy's, Alembic's and Optuna's own
                raise LabError(
                    f"sweep.storage={storage}: cannot be used ({str(error).splitlines()[0]}). "
                    "Name an SQLite file of Optuna's, or one that does not exist yet."
                ) from error

    def agree(self, settings: Mapping[str, str]) -> None:
        """Keeps what all trials have in common, or compares it.

        Raises:
            LabError: the study was begun with other settings, so that its values would not compare.
        """
        with self.lock:
            begun = self.study.user_attrs.get("settings")
            if begun is None:
                self.study.set_user_attr("settings", dict(settings))
                return
        for key in sorted(begun.keys() | settings.keys()):
            before, now = begun.get(key, "nothing"), settings.get(key, "nothing")
            if before != now:
                raise LabError(
                    f"sweep.study={self.study.study_name} was begun with {key}={before}, not {now}: values of its "
                    "trials would not compare. Begin another one: sweep.study=NAME."
                )

    def claim(self, space: Space, trials: int, seed: int) -> optuna.Trial | None:
        """A new trial with its parameters, for this process alone; None when `trials` are done or being worked on."""
        with self.lock:
            number = len(self.counted())
            if number >= trials:
                return None
            # the draw of the n-th trial depends on seed, n and what is known by then, not on earlier interruptions
            self.study.sampler = self._sampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
            trial = self.study.ask(space)
            self._mine[trial.number] = self._lock_of(trial.number)
            self._mine[trial.number].acquire()
            return trial

    def tell(self, trial: optuna.Trial, value: float | None = None, *, error: str | None = None) -> None:
        """Ends a claimed trial: complete with a value, failed with an error, pruned with neither."""
        if error is not None:
            trial.set_user_attr("error", error)
        state = TrialState.FAIL if error is not None else TrialState.PRUNED if value is None else TrialState.COMPLETE
        self.study.tell(trial, value, state)
        self._mine.pop(trial.number).release()

    def check_failures(self) -> None:
        """Looks at how the latest trials ended.

        Raises:
            LabError: one after the other has failed.
        """
        ended = [trial for trial in self.counted() if trial.state.is_finished()][-FAILURES:]
        if len(ended) == FAILURES and all(trial.state == TrialState.FAIL for trial in ended):
            raise LabError(f"{FAILURES} trials in a row have failed, the last: {ended[-1].user_attrs['error']}")

    def fail_dead(self) -> list[FrozenTrial]:
        """Fails the trials whose process is gone, and returns them."""
        with self.lock:
            dead = [trial for trial in self.trials(TrialState.RUNNING) if self._abandoned(trial.number)]
            for trial in dead:
                self.study.tell(trial.number, state=TrialState.FAIL)
            return dead

    def _abandoned(self, number: int) -> bool:
        if number in self._mine:
            return False
        try:
            with self._lock_of(number).acquire(timeout=0):
                return True
        except Timeout:
            return False

    def _lock_of(self, number: int) -> FileLock:
        return FileLock(self.folder / "locks" / f"{number}.lock")

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Trials in some states, or all, in the order of their numbers."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> list[FrozenTrial]:
        """All trials but those that were killed: a trial that failed by itself says why."""
        return [trial for trial in self.trials() if trial.state != TrialState.FAIL or "error" in trial.user_attrs]
