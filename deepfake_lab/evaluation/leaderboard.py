"""Detectors side by side over the same trials: how good each is, how sure that is, and what it costs."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, NamedTuple

import pandas as pd

from deepfake_lab.benchmarking.jobs import Failure, Outcome, Plan, failures, mlflow_run_id
from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.compare import SIGNIFICANT, Estimate, compare, p_text, pooled_estimate
from deepfake_lab.evaluation.pages.document import Link, percent, points
from deepfake_lab.evaluation.report import read_scores
from deepfake_lab.evaluation.scores import by_class, of_attacks
from deepfake_lab.metrics.functional import eer
from deepfake_lab.types import BONAFIDE

RANKED: Final = ("eer", "min_dcf", "cllr")
"""Metrics of the test split that the leaderboard gives."""


class Trained(NamedTuple):
    """A detector of one seed.

    Attributes:
        run: name of its run.
        seed: of the training.
        scores: reads its score table of dev and test; a function, since all tables of a large corpus fill the memory.
        wall_s: time of the process that trained and evaluated it, in s; NaN if it was cut off and taken up again.
        processor_s: time that processors spent on it, in s; likewise.
        link: to its run, or the run's id.
    """

    run: str
    seed: int
    scores: Callable[[], pd.DataFrame]
    wall_s: float = math.nan
    processor_s: float = math.nan
    link: str = "-"


@dataclass(frozen=True)
class Candidate:
    """A model with a front-end, over its seeds.

    Attributes:
        name: of both.
        planned: number of seeds that it is to be trained with.
        trained: those that are done.
        failures: those that failed.
        parameters: number of parameters; NaN if unknown.
        real_time_factor: time to score one window alone over its length; NaN if unknown.
    """

    name: str
    planned: int
    trained: Sequence[Trained] = ()
    failures: Sequence[Failure] = ()
    parameters: float = math.nan
    real_time_factor: float = math.nan

    def median(self, time: Literal["wall_s", "processor_s"]) -> float:
        """Median of a time over the seeds where it is known, in s; NaN if it is for none."""
        known = [value for one in self.trained if not math.isnan(value := float(getattr(one, time)))]
        return statistics.median(known) if known else math.nan


@dataclass(frozen=True)
class Row:
    """A candidate and what is estimated of it, over seeds and trials together.

    Attributes:
        candidate: whom the row is about.
        estimates: of each name in `RANKED` on test, of `dev` (EER) and, if there are any, of `unseen` systems (EER).
        seeds: EER of each seed on test (`eer`), on `dev` and, if there are any, of `unseen` systems.
        behind: EER on test less that of the first row, over the same trials; 0 for the first row.
        p_value: probability of at least such a difference where there is none, after Holm's correction.
    """

    candidate: Candidate
    estimates: dict[str, Estimate]
    seeds: dict[str, list[float]]
    behind: Estimate
    p_value: float

    @property
    def worse(self) -> bool:
        """Whether it is shown to be worse than the first row."""
        return self.p_value < SIGNIFICANT

    @property
    def verdict(self) -> str:
        """How it stands to the first row, in words."""
        figures = f"{points(self.behind)}, p {p_text(self.p_value)}"
        return f"worse by {figures}" if self.worse else f"not shown to be worse: {figures}"


@dataclass(frozen=True)
class Leaderboard:
    """Rows by rising EER on test; candidates without a trained detector are in none.

    Attributes:
        rows: of the candidates with trained detectors.
        candidates: all of them.
        unseen: systems of test that training lacks, unless these are all of them.
        groups: number of groups of test trials, the fewer of either class.
    """

    rows: Sequence[Row]
    candidates: Sequence[Candidate]
    unseen: Sequence[str]
    groups: int


def read_candidates(folder: Path) -> list[Candidate]:
    """Candidates out of the folder of a benchmark on one corpus.

    Raises:
        LabError: the folder holds no benchmark.
    """
    plan = Plan.read(folder)
    candidates = []
    for name in dict.fromkeys(job.detector for job in plan.jobs):
        jobs = [job for job in plan.jobs if job.detector == name]
        trained: list[Trained] = []
        parameters, factor = math.nan, math.nan
        for job in jobs:
            place = folder / job.name
            outcome = Outcome.read(place)
            if outcome.state == "finished":
                run = mlflow_run_id(place) or "-"
                link = Link(run[:8], plan.runs_page + run) if plan.runs_page else run
                times = outcome.wall_s, outcome.processor_s
                trained.append(Trained(job.name, job.seed, functools.partial(read_scores, place), *times, link))
            if not math.isnan(outcome.parameters):
                parameters, factor = outcome.parameters, outcome.real_time_factor
        candidates.append(Candidate(name, len(jobs), trained, failures(jobs, folder), parameters, factor))
    return candidates


def rank(
    candidates: Sequence[Candidate], *, unseen: Sequence[str] = (), replicates: int = 1000, seed: int = 0
) -> Leaderboard:
    """Estimates what every candidate is worth, and compares each with the one of the lowest EER.

    Args:
        candidates: with score tables of the same trials.
        unseen: attacks that training lacks.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Raises:
        LabError: the score tables are not of the same trials.
    """
    ordered = sorted((one for one in candidates if one.trained), key=_mean_eer)
    if not ordered:
        return Leaderboard([], candidates, [], 0)
    first = _tables(ordered[0])
    test = _split(first, "test")
    new = _new_systems(test[0], unseen)
    rows = []
    for candidate in ordered:
        tables = first if candidate is ordered[0] else _tables(candidate)
        parts = {"eer": _split(tables, "test"), "dev": _split(tables, "dev")}
        if new:
            parts["unseen"] = [of_attacks(table, new) for table in parts["eer"]]
        compared = compare(test, parts["eer"], measures=RANKED, replicates=replicates, seed=seed)
        found = {one.measure: one.second for one in compared}
        for name in [name for name in parts if name not in found]:
            found[name] = pooled_estimate(parts[name], replicates=replicates, seed=seed)
        seeds = {name: [eer(*by_class(table)) for table in part] for name, part in parts.items()}
        rows.append(Row(candidate, found, seeds, compared[0].difference, compared[0].p_value))
    rows[0] = replace(rows[0], behind=Estimate(0.0, Interval(0.0, 0.0)), p_value=1.0)
    corrected = holm([row.p_value for row in rows[1:]])
    rows[1:] = [replace(row, p_value=value) for row, value in zip(rows[1:], corrected, strict=True)]
    groups = int(test[0].groupby("label")["group"].nunique().min())
    return Leaderboard(rows, candidates, new, groups)


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrects p-values for their number, so that any false one among them is as improbable as a single one was.

    NaN, where nothing could be compared, counts as 1.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", 1979.
    """
    known = [1.0 if math.isnan(value) else value for value in p_values]
    corrected, largest = [1.0] * len(known), 0.0
    for place, number in enumerate(sorted(range(len(known)), key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - place) * known[number]))
        corrected[number] = largest
    return corrected


def in_words(board: Leaderboard) -> list[str]:
    """Sentences: what is ahead, by how much, how surely, what is not told apart from it, what fails on new systems."""
    if not board.rows:
        return ["No run is finished."]
    first, others = board.rows[0], board.rows[1:]
    ahead = "the lowest EER on test:" if others else "an EER on test of"
    said = [f"{first.candidate.name} has {ahead} {percent(first.estimates['eer'])} %."]
    tied = [row.candidate.name for row in others if not row.worse]
    worse = [row for row in others if row.worse]
    if tied:
        said.append(f"Not shown to be worse: {', '.join(tied)}.")
    if worse:
        gaps = sorted(100 * row.behind.value for row in worse)
        span = f"{gaps[0]:.1f} to {gaps[-1]:.1f}" if len(gaps) > 1 else f"{gaps[0]:.1f}"
        said.append(f"Shown to be worse, by {span} points: {', '.join(row.candidate.name for row in worse)}.")
    if others:
        chosen = min(board.rows, key=lambda row: row.estimates["dev"].value)
        both = " %, test ".join(percent(chosen.estimates[name]) for name in ("dev", "eer"))
        said.append(f"By dev one would choose {chosen.candidate.name}: dev {both} %.")
    if board.unseen:
        rates = {row.candidate.name: row.estimates["unseen"] for row in board.rows}
        ends = [end(rate.value for rate in rates.values()) for end in (min, max)]
        best, worst = (", ".join(name for name, rate in rates.items() if rate.value == end) for end in ends)
        systems = f"{len(board.unseen)} systems" if len(board.unseen) > 3 else ", ".join(board.unseen)
        said.append(f"On what training lacks ({systems}) the lowest EER is {100 * ends[0]:.2f} %: {best}")
        said[-1] += f"; the highest {100 * ends[1]:.2f} %: {worst}." if ends[1] > ends[0] else "."
    return said


def to_frame(board: Leaderboard) -> pd.DataFrame:
    """A row a candidate, in numbers; rates are not in per cent."""
    lines = []
    for row in board.rows:
        line: dict[str, object] = {"detector": row.candidate.name, "seeds": len(row.candidate.trained)}
        for name, estimate in {**row.estimates, "behind": row.behind}.items():
            line |= {name: estimate.value, f"{name}_low": estimate.interval.low, f"{name}_high": estimate.interval.high}
        line |= {"p_value": row.p_value, "shown_to_be_worse": row.worse}
        line |= {"parameters": row.candidate.parameters, "real_time_factor": row.candidate.real_time_factor}
        line |= {"wall_s": row.candidate.median("wall_s"), "processor_s": row.candidate.median("processor_s")}
        lines.append(line | {"failed": len(row.candidate.failures)})
    return pd.DataFrame(lines)


def _tables(candidate: Candidate) -> list[pd.DataFrame]:
    return [one.scores() for one in candidate.trained]


def _split(tables: Sequence[pd.DataFrame], split: str) -> list[pd.DataFrame]:
    return [table[table["split"] == split] for table in tables]


def _mean_eer(candidate: Candidate) -> float:
    return statistics.mean(eer(*by_class(table)) for table in _split(_tables(candidate), "test"))


def _new_systems(table: pd.DataFrame, unseen: Sequence[str]) -> list[str]:
    """Systems to report apart: none where all are new, and the EER is of unseen systems as it is."""
    systems = set(table["attack"][table["label"] != BONAFIDE])
    return sorted(systems & set(unseen)) if systems - set(unseen) else []
