"""Windows of concurrent recordings and streams, scored together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.models.detector import Detector
from deepfake_lab.serving.scoring import Scorer, Scores, score_windows


class Batcher:
    """A thread that scores the windows of whoever asks, in batches.

    A batch takes windows of each asker in turn, so that a long recording does not hold up a stream. Those that are to
    be scored by different detectors, or with and without scores over time, take turns by batches.

    Args:
        batch_size: windows of a batch, at most.
        wait_s: how long a batch that is not full waits for more, in s.
        tell: is told how many windows a batch had, and how long it took in s.
    """

    def __init__(
        self, batch_size: int, wait_s: float, tell: Callable[[int, float], None] = lambda windows, seconds: None
    ) -> None:
        self._batch_size = batch_size
        self._wait_s = wait_s
        self._tell = tell
        self._jobs: list[_Job] = []
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="scorer", daemon=True)
        self._thread.start()

    def scorer(self, detector: Detector) -> Scorer:
        """Asks a detector through this thread."""
        return lambda waves, frames: self._ask(_Job(detector, waves, frames))

    @property
    def waiting(self) -> int:
        """Windows that no batch has taken yet."""
        with self._changed:
            return sum(job.left for job in self._jobs)

    def close(self) -> None:
        """Ends the thread, after the batch at hand; who still waits gets an error."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        for job in self._jobs:
            job.future.set_exception(RuntimeError("the service has stopped"))

    def _ask(self, job: _Job) -> Scores:
        with self._changed:
            if self._closed:
                raise RuntimeError("the service has stopped")
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future.result()

    def _work(self) -> None:
        while batch := self._next():
            self._score(batch)
            del batch  # or it would keep a detector that has been replaced

    def _next(self) -> list[tuple[_Job, int]]:
        """The windows of the next batch, as asker and place; none once this is closed."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            until = time.monotonic() + self._wait_s
            while not self._closed and self._fits() < self._batch_size and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return [] if self._closed else self._take()

    def _fits(self) -> int:
        """How many windows could be in one batch with the first."""
        return sum(job.left for job in self._jobs if job.kind == self._jobs[0].kind)

    def _take(self) -> list[tuple[_Job, int]]:
        kind = self._jobs[0].kind
        askers = [job for job in self._jobs if job.kind == kind]
        taken: list[tuple[_Job, int]] = []
        while askers and len(taken) < self._batch_size:
            for job in askers[: self._batch_size - len(taken)]:
                taken.append((job, job.take()))
            askers = [job for job in askers if job.left]
        others = [job for job in self._jobs if job.kind != kind]
        self._jobs = others + [job for job in self._jobs if job.kind == kind and job.left]
        return taken

    def _score(self, batch: Sequence[tuple[_Job, int]]) -> None:
        detector, frames = batch[0][0].kind
        begun = time.monotonic()
        try:
            scores = score_windows(detector, [job.waves[place] for job, place in batch], frames)
        except Exception as error:  # whatever it is, it belongs to those who asked, and the thread goes on
            with self._changed:
                failed = {id(job) for job, _ in batch}
                self._jobs = [job for job in self._jobs if id(job) not in failed]
            for job, _ in batch:
                if not job.future.done():
                    job.future.set_exception(error)
            return
        self._tell(len(batch), time.monotonic() - begun)
        for row, (job, place) in enumerate(batch):
            job.put(place, scores, row)


class _Job:
    """Windows that somebody wants scored."""

    def __init__(self, detector: Detector, waves: Sequence[Wave], frames: bool) -> None:
        self.kind = (detector, frames)
        self.waves = waves
        self.left = len(waves)
        self.future: Future[Scores] = Future()
        self._rows: dict[int, Scores] = {}

    def take(self) -> int:
        """Place of the next window."""
        self.left -= 1
        return len(self.waves) - self.left - 1

    def put(self, place: int, scores: Scores, row: int) -> None:
        """Takes the scores of a window; answers with those of all once they are there."""
        self._rows[place] = Scores(scores.whole[row : row + 1], scores.local[row : row + 1], scores.times)
        if len(self._rows) == len(self.waves):
            rows = [self._rows[place] for place in range(len(self.waves))]
            whole, local = (np.concatenate(parts) for parts in list(zip(*rows, strict=True))[:2])
            self.future.set_result(Scores(whole, local, scores.times))
