"""What a benchmark consists of, as it stands in its folder: which jobs there are, and how each of them ended."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from deepfake_lab.data.files import write_whole
from deepfake_lab.data.notes import RUN_NOTE, read_note
from deepfake_lab.types import LabError

PLAN = "benchmark.json"
OUTCOME = "job.json"
OUTPUT = "output.log"


class Job(NamedTuple):
    """A process of its own: it trains a detector and tests it, or tests one that another job has trained.

    Attributes:
        model: name of the model.
        frontend: name of the front-end.
        seed: of the training.
        train: name of the corpus that is trained on.
        test: name of the corpus that is tested on; the same where the job trains.
        recipe: name of the recipe that it trains by; empty where there are none.
    """

    model: str
    frontend: str
    seed: int
    train: str
    test: str
    recipe: str = ""

    @property
    def detector(self) -> str:
        """What it trains or tests, for people."""
        return " + ".join(filter(None, (self.model, self.frontend, self.recipe)))

    @property
    def trains(self) -> bool:
        """Whether it trains the detector itself."""
        return self.train == self.test

    @property
    def trainer(self) -> Job:
        """The job that trains the detector."""
        return self._replace(test=self.train)

    @property
    def name(self) -> str:
        """Name of the folder that it leaves, and of its run in MLflow."""
        tested = "" if self.trains else f"-on-{self.test}"
        trained = "-".join(filter(None, (self.model, self.frontend, self.recipe)))
        return f"{trained}-seed{self.seed}-{self.train}{tested}"


@dataclass(frozen=True)
class Outcome:
    """How far a job has come.

    Attributes:
        state: "running" also stands for a job that was cut off, and goes on when the benchmark is called again.
        attempts: how often it was begun or taken up again.
        status: exit status of the last attempt; negative: the signal that ended it.
        wall_s: time that the process took, in s: start, training, evaluation.
        processor_s: time that processors spent on it, in s; other work on the machine lengthens it less.
        parameters: number of parameters of the detector; NaN unless it was measured.
        real_time_factor: time to score one window alone on the CPU over its length; NaN unless it was measured.
    """

    state: Literal["new", "running", "finished", "failed"] = "new"
    attempts: int = 0
    status: int = 0
    wall_s: float = math.nan
    processor_s: float = math.nan
    parameters: float = math.nan
    real_time_factor: float = math.nan

    @classmethod
    def read(cls, place: Path) -> Outcome:
        """Outcome of the job whose folder this is; one that lacks what finished jobs leave has to go on."""
        if not (place / OUTCOME).is_file():
            return cls()
        try:
            found = cls(**json.loads((place / OUTCOME).read_text()))
        except (ValueError, TypeError) as error:
            raise LabError(f"{place / OUTCOME}: damaged ({error}). Delete it, and the job is done again.") from error
        left = (place / "report" / "metrics.json").is_file() and any(place.glob("report/scores/*/trials.parquet"))
        return found if left or found.state != "finished" else dataclasses.replace(found, state="running")

    def write(self, place: Path) -> None:
        """Leaves it in the job's folder."""
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / OUTCOME, json.dumps(dataclasses.asdict(self), indent=1))


@dataclass(frozen=True)
class Plan:
    """What a benchmark is.

    Attributes:
        jobs: all of them, in the order in which they are done.
        left_out: detectors that make no sense and corpora that nothing can be trained on, and why.
        shared: what the train and dev splits of one corpus have in common with the test split of another, in clauses;
            by "TRAIN > TEST".
        unseen: attacks of the test split that training lacks, where there is one corpus.
        settings: flattened configurations that must not change while the benchmark lasts.
        command: how it was called last.
        tracking_uri: where its runs are recorded.
        mlflow_run_id: their parent.
        runs_page: what precedes a run's id in the address of its page; empty where no server shows it.
    """

    jobs: Sequence[Job]
    left_out: Mapping[str, str]
    shared: Mapping[str, Sequence[str]]
    unseen: Sequence[str]
    settings: Mapping[str, Mapping[str, str]]
    command: str
    tracking_uri: str
    mlflow_run_id: str
    runs_page: str

    @property
    def corpora(self) -> list[str]:
        """Names of all corpora, those that are trained on first."""
        return list(dict.fromkeys([job.train for job in self.jobs] + [job.test for job in self.jobs]))

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """Reads the plan that `write` left in a folder.

        Raises:
            LabError: there is none.
        """
        if not (folder / PLAN).is_file():
            raise LabError(f"{folder}: holds no {PLAN}. Name the folder of a benchmark: runs/benchmark/NAME.")
        try:
            content = json.loads((folder / PLAN).read_text())
            return cls(**{**content, "jobs": [Job(*job) for job in content["jobs"]]})
        except (ValueError, TypeError, KeyError) as error:
            raise LabError(f"{folder / PLAN}: damaged ({error}). Begin the benchmark in another folder.") from error

    def going_on(self, folder: Path) -> Plan:
        """The plan as it continues the one in the folder, if there is one: with its settings and its parent run.

        Raises:
            LabError: that one was begun with other settings.
        """
        if not (folder / PLAN).is_file():
            return self
        before = Plan.read(folder)
        for name, now in self.settings.items():
            then = before.settings.get(name, now)
            for key in sorted(then.keys() | now.keys()):
                if then.get(key) != now.get(key):
                    raise LabError(
                        f"{folder}: was begun with {key}={then.get(key)} ({name}), and it is {now.get(key)} now. "
                        "Call it as before, or name another folder=..."
                    )
        parent = before.mlflow_run_id if before.tracking_uri == self.tracking_uri else ""
        return dataclasses.replace(self, settings={**before.settings, **self.settings}, mlflow_run_id=parent)

    def write(self, folder: Path) -> None:
        """Leaves the plan in the benchmark's folder."""
        write_whole(folder / PLAN, json.dumps(dataclasses.asdict(self), indent=1))


class Failure(NamedTuple):
    """A job that ended in an error: its name, exit status and last words."""

    run: str
    status: int
    output: str

    @property
    def title(self) -> str:
        """Name and exit status."""
        return f"{self.run}: exit status {self.status}"


def failures(jobs: Sequence[Job], folder: Path) -> list[Failure]:
    """Those jobs of a benchmark's folder that have failed."""
    outcomes = {job.name: Outcome.read(folder / job.name) for job in jobs}
    return [
        Failure(name, outcome.status, _last_lines(folder / name))
        for name, outcome in outcomes.items()
        if outcome.state == "failed"
    ]


def _last_lines(place: Path, count: int = 12) -> str:
    log = place / OUTPUT
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:]) if log.is_file() else ""


def mlflow_run_id(place: Path) -> str | None:
    """MLflow run of a job, if it has come so far."""
    return read_note(place / "run.json", RUN_NOTE).get("mlflow_run_id")
