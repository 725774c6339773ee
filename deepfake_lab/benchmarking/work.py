"""Jobs as processes of their own: one at a time, taken up again where they were cut off."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import resource
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deepfake_lab.benchmarking.jobs import OUTPUT, Job, Outcome, Plan, mlflow_run_id
from deepfake_lab.tracking import Tracking


@contextmanager
def alone(folder: Path) -> Iterator[int]:
    """Keeps other calls out of a benchmark's folder for the length of the block, and for that of the jobs begun in it.

    The lock belongs to an open file, which jobs inherit: where a benchmark was killed and its job goes on, the next
    call waits for that, so that two processes never write to one run.

    Returns:
        Descriptor of the file.
    """
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: another call, or a run that it began, is still at work here; waiting for it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@dataclass(frozen=True)
class Worker:
    """Does the jobs of a benchmark.

    Attributes:
        folder: of the benchmark.
        lock: descriptor of the file that `alone` has locked.
        command: program and arguments for a job; where its folder holds a run that can be resumed, they resume it.
        environment: variables of the processes.
        tracking: where their runs are recorded.
    """

    folder: Path
    lock: int
    command: Callable[[Job], Sequence[str]]
    environment: Mapping[str, str]
    tracking: Tracking

    def work(self, plan: Plan, *, minutes: float | None = None, retry: bool = False) -> None:
        """Does what is left to do, and prints how each job ended.

        Args:
            plan: which jobs there are.
            minutes: begin no job after so many.
            retry: take up again what has failed.
        """
        end = time.monotonic() + 60 * (math.inf if minutes is None else minutes)
        bar = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*bar) as progress:
            shown = progress.add_task("", total=len(plan.jobs))
            for job in plan.jobs:
                if self._is_wanted(job, retry=retry):
                    if time.monotonic() >= end:
                        break
                    progress.update(shown, description=f"{job.name}{self._time_left(plan)}")
                    said = self._in_words(job, self._do(job))
                    progress.console.print(said, highlight=False, markup=False, soft_wrap=True)
                progress.advance(shown)
            progress.update(shown, description="")

    def _is_wanted(self, job: Job, *, retry: bool) -> bool:
        """Whether a job is left to do, and can be done."""
        state = Outcome.read(self.folder / job.name).state
        able = job.trains or Outcome.read(self.folder / job.trainer.name).state == "finished"
        return able and (state in ("new", "running") or (state == "failed" and retry))

    def _time_left(self, plan: Plan) -> str:
        """What the jobs that are left may take: as much as others of their kind on average."""
        outcomes = {job: Outcome.read(self.folder / job.name) for job in plan.jobs}
        known = {job: one.wall_s for job, one in outcomes.items() if not math.isnan(one.wall_s)}
        if not known:
            return ""
        left = 0.0
        for job in (job for job, one in outcomes.items() if one.state in ("new", "running")):
            of_kind = [time_s for other, time_s in known.items() if other.trains == job.trains]
            alike = [time_s for other, time_s in known.items() if job._replace(seed=other.seed) == other]
            left += statistics.mean(alike or of_kind or known.values())
        return f", about {left / 60:.0f} min left in all"

    def _do(self, job: Job) -> Outcome:
        """Does a job, and records how it ended."""
        place = self.folder / job.name
        before, command = Outcome.read(place), self.command(job)
        if before.state == "running" and not any(word.startswith("resume=") for word in command):
            self._bury(place)
        begun = Outcome("running", before.attempts + 1)
        begun.write(place)
        wall, processor = time.monotonic(), _processor_s()
        status = self._call(command, place / OUTPUT)
        ended = dataclasses.replace(begun, state="failed" if status else "finished", status=status)
        if begun.attempts == 1:  # else what earlier attempts took is not known
            ended = dataclasses.replace(ended, wall_s=time.monotonic() - wall, processor_s=_processor_s() - processor)
        ended.write(place)
        if status < 0:
            self._bury(place)
        return ended

    def _call(self, command: Sequence[str], output: Path) -> int:
        """Runs a command, with its output appended to a file, and returns its exit status."""
        with output.open("ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                pass_fds=(self.lock,),
                start_new_session=True,  # so that an interruption reaches it once, from here
            )
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
                process.wait()
                raise

    def _bury(self, place: Path) -> None:
        """Ends the MLflow run of a process that was killed, which could not do so."""
        if run_id := mlflow_run_id(place):
            self.tracking.annotate(run_id, {}, {"benchmark": self.folder.name}, killed=True)

    def _in_words(self, job: Job, outcome: Outcome) -> str:
        """How a job ended."""
        place = self.folder / job.name
        if outcome.state == "failed":
            return f"{job.name}: FAILED with exit status {outcome.status}: {place / OUTPUT}"
        metrics = json.loads((place / "report" / "metrics.json").read_text())
        split = "dev" if job.trains else "test"
        took = "" if math.isnan(outcome.wall_s) else f", {outcome.wall_s:.0f} s"
        return f"{job.name}: {split} EER {100 * metrics[f'{split}/eer']:.2f} %{took}"


def _processor_s() -> float:
    """Time that processors have spent on the processes that were begun here and have ended, in s."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
