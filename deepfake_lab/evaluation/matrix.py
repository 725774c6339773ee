"""Detectors across corpora: trained on each, tested on each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deepfake_lab.benchmarking.jobs import Failure, Job, Outcome, Plan, failures
from deepfake_lab.data import guards
from deepfake_lab.data.files import write_whole
from deepfake_lab.data.manifest import NO_ATTACK, Manifest
from deepfake_lab.evaluation.audit.overlap import between_corpora
from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.breakdown import Cluster
from deepfake_lab.evaluation.compare import Estimate, pooled_estimate
from deepfake_lab.evaluation.pages.document import percent, picture, write_page
from deepfake_lab.evaluation.pages.html import Listing, Page, Picture, Section, Table
from deepfake_lab.evaluation.plots.style import ORANGE
from deepfake_lab.evaluation.report import read_scores
from deepfake_lab.types import LabError

MARK = "†"
"""Marks results on a corpus that shares something with the one that was trained on."""
READING = "EER % on test with 95 % intervals over seeds and trials together. Rows: trained on; columns: tested on."
OF_ONES_OWN = "folder"
"""Source of recordings of one's own: two such corpora have no more in common than that."""


class Side(NamedTuple):
    """A corpus of a benchmark: its name there, its manifest and the collections that its recordings come from."""

    name: str
    manifest: Manifest
    sources: Sequence[str]

    def why_untrained(self) -> str:
        """Why nothing can be trained on it; empty if it can.

        Raises:
            LabError: nothing can be tested on it either.
        """
        try:
            guards.check(self.manifest)
        except LabError as error:
            guards.check(self.manifest, ("test",))
            return str(error)
        return ""

    def unseen(self, given: Sequence[str] | None = None) -> list[str]:
        """Attacks of the test split that train lacks, or those that are given, by their full names.

        Raises:
            LabError: one that is given is no attack of test.
        """
        train, test = (set(self.manifest.split(name).table["attack"].to_pylist()) for name in ("train", "test"))
        if given is None:
            return sorted(test - train)
        known = {name.rpartition("/")[2]: name for name in test - {NO_ATTACK}}
        last = [name.rpartition("/")[2] for name in given]
        if odd := [name for name in last if name not in known]:
            raise LabError(f"unseen: {odd[0]} is no attack of test. Choose from {', '.join(sorted(known))}.")
        return sorted(known[name] for name in last)


class Cell(NamedTuple):
    """Where the row of a training corpus meets the column of a test corpus.

    Attributes:
        eer: over seeds and trials together.
        seeds: number of seeds that are done.
        shared: what the corpora have in common, in clauses; then the EER may promise too much.
    """

    eer: Estimate
    seeds: int
    shared: Sequence[str]


@dataclass(frozen=True)
class Matrix:
    """EER of one detector, trained on the corpora of the rows and tested on those of the columns.

    Attributes:
        detector: its name.
        rows: names of the corpora that are trained on.
        columns: names of all corpora.
        cells: by row and column; some may be missing as yet.
        planned: number of seeds of a cell.
    """

    detector: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], Cell]
    planned: int


def shared_by(training: Side, evaluation: Side) -> list[str]:
    """What the train and dev splits of a corpus share with the test split of another, or of itself, in clauses.

    Speakers, groups and recordings are told apart by their names and hashes. Corpora made from one collection may share
    voices and sentences even where no name tells.
    """
    parts = [(side.name, side.manifest) for side in (training, evaluation)]
    clauses = [found.text for found in between_corpora(*parts) if found.shared]
    common = sorted(set(training.sources) & set(evaluation.sources) - {OF_ONES_OWN})
    if common and training.name != evaluation.name:
        clauses.append(f"{training.name} and {evaluation.name} are both made from {' and '.join(common)}")
    return clauses


def report_matrices(
    folder: Path, output: Path, *, cluster: Cluster = "group", replicates: int = 1000, seed: int = 0
) -> Page:
    """Leaves `matrix.md`, `matrix.html`, `matrix.csv` and pictures, out of the folder of a benchmark.

    Args:
        folder: of the benchmark.
        output: folder for the files.
        cluster: what the bootstrap draws whole.
        replicates: number of bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        What the files say.

    Raises:
        LabError: the folder holds no benchmark, or its score tables are not of the same trials.
    """
    plan = Plan.read(folder)
    matrices = read_matrices(plan, folder, cluster=cluster, replicates=replicates, seed=seed)
    page = matrix_page(matrices, plan.left_out, failures(plan.jobs, folder))
    write_page(page, output, "matrix")
    write_whole(output / "matrix.csv", to_frame(matrices).to_csv(index=False))
    return page


def read_matrices(plan: Plan, folder: Path, *, cluster: Cluster, replicates: int, seed: int) -> list[Matrix]:
    """The matrix of every detector of a benchmark: see `report_matrices`."""
    rows = list(dict.fromkeys(job.train for job in plan.jobs))
    matrices = []
    for detector in dict.fromkeys(job.detector for job in plan.jobs):
        jobs = [job for job in plan.jobs if job.detector == detector]
        cells = {}
        for place in dict.fromkeys((job.train, job.test) for job in jobs):
            tables = _tables(folder, [job for job in jobs if (job.train, job.test) == place])
            if tables:
                eer = pooled_estimate(tables, cluster=cluster, replicates=replicates, seed=seed)
                cells[place] = Cell(eer, len(tables), plan.shared.get(" > ".join(place), ()))
        planned = len({job.seed for job in jobs})
        matrices.append(Matrix(detector, rows, plan.corpora, cells, planned))
    return matrices


def _tables(folder: Path, jobs: Sequence[Job]) -> list[pd.DataFrame]:
    """Score tables of the test split, of those jobs that are done."""
    places = [folder / job.name for job in jobs]
    tables = [read_scores(place) for place in places if Outcome.read(place).state == "finished"]
    return [table[table["split"] == "test"] for table in tables]


def in_words(matrix: Matrix) -> str:
    """How well the detector does within corpora and across them."""
    said = []
    for where, inside in (("the corpus that it was trained on", True), ("another", False)):
        rates = [cell.eer for (row, column), cell in matrix.cells.items() if (row == column) == inside]
        if not rates:
            continue
        values = sorted(100 * rate.value for rate in rates)
        span = f"{values[0]:.1f} to {values[-1]:.1f}" if len(values) > 1 else f"{values[0]:.1f}"
        chance = sum(rate.interval.high >= 0.5 for rate in rates)
        lost = f", not shown to be better than chance in {chance} of {len(rates)} cells" if chance else ""
        said.append(f"on {where} its EER is {span} %{lost}")
    return f"{matrix.detector}: {'; '.join(said)}." if said else f"{matrix.detector}: no run is finished."


def matrix_page(matrices: Sequence[Matrix], left_out: Mapping[str, str], failed: Sequence[Failure] = ()) -> Page:
    """What matrices say: the words, a picture and a table each, what is shared, what failed and what was left out."""
    verdict, *reasons = map(in_words, matrices)
    shared = {place: cell.shared for matrix in matrices for place, cell in matrix.cells.items() if cell.shared}
    clauses = [(" > ".join(place), clause) for place, found in shared.items() for clause in found]
    warnings = [f"{len(failed)} runs failed, see below."] if failed else []
    if shared:
        warnings.append(f"Where {MARK} stands, training and test share something, and the EER promises too much.")
    return Page(
        title="Across corpora",
        alarm="doubt" if warnings else "fine",
        verdict=verdict,
        reasons=reasons,
        warnings=warnings,
        sections=[
            *(Section(one.detector, [_picture(one), _table(one)] if one.cells else [], READING) for one in matrices),
            Section(f"{MARK} Shared", [Table("", ("trained on > tested on", "what"), clauses)] if clauses else []),
            Section(
                "Failed runs", [Listing(one.title, one.output) for one in failed], "retry=true takes them up again."
            ),
            Section("Left out", [Table("", ("what", "why"), list(left_out.items()))] if left_out else []),
        ],
    )


def to_frame(matrices: Sequence[Matrix]) -> pd.DataFrame:
    """A row a cell; rates are not in per cent."""
    return pd.DataFrame(
        {
            "detector": matrix.detector,
            "train": train,
            "test": test,
            "seeds": cell.seeds,
            "eer": cell.eer.value,
            "eer_low": cell.eer.interval.low,
            "eer_high": cell.eer.interval.high,
            "shared": "; ".join(cell.shared),
        }
        for matrix in matrices
        for (train, test), cell in matrix.cells.items()
    )


def figure(matrix: Matrix) -> Figure:
    """Heat map of the EER; white to dark from 0 to 50 %, which is chance."""
    rates = np.array([[100 * _cell(matrix, row, column).eer.value for column in matrix.columns] for row in matrix.rows])
    size = (2.4 + 1.7 * len(matrix.columns), 1.7 + 0.9 * len(matrix.rows))
    drawn = Figure(figsize=size, layout="constrained")
    axes = drawn.subplots()
    image = axes.imshow(rates, cmap="Blues", vmin=0, vmax=50, aspect="auto")
    for (row, column), rate in np.ndenumerate(rates):
        cell = _cell(matrix, matrix.rows[row], matrix.columns[column])
        text = _text(cell, matrix.planned).replace(" (", "\n(").replace(", ", "\n")
        axes.text(column, row, text, ha="center", va="center", color="white" if rate > 30 else "black", fontsize=11)
        if cell.shared:
            frame = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, color=ORANGE, linewidth=2.5)
            axes.add_patch(frame)
    axes.set_xticks(range(len(matrix.columns)), matrix.columns)
    axes.set_yticks(range(len(matrix.rows)), matrix.rows)
    axes.set_xticks(np.arange(1, len(matrix.columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(matrix.rows)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=3)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("tested on")
    axes.set_ylabel("trained on")
    axes.set_title(f"{matrix.detector}: EER % (95 %), {MARK} corpora share something", fontsize=11)
    drawn.colorbar(image, ax=axes, label="EER (%); 50: chance", extend="max")
    return drawn


def _picture(matrix: Matrix) -> Picture:
    caption = f"Dark cells are where the detector fails; framed ones promise too much: {MARK}."
    return picture(figure(matrix), caption, f"EER of {matrix.detector} by corpus of training and corpus of test")


def _table(matrix: Matrix) -> Table:
    rows = [
        (row, *(_text(_cell(matrix, row, column), matrix.planned) for column in matrix.columns)) for row in matrix.rows
    ]
    return Table("", ("trained on", *matrix.columns), rows)


def _cell(matrix: Matrix, row: str, column: str) -> Cell:
    nothing = Cell(Estimate(math.nan, Interval(math.nan, math.nan)), 0, ())
    return matrix.cells.get((row, column), nothing)


def _text(cell: Cell, planned: int) -> str:
    if not cell.seeds:
        return "-"
    missing = "" if cell.seeds == planned else f", {cell.seeds} of {planned} seeds"
    return f"{percent(cell.eer)}{missing}{f' {MARK}' if cell.shared else ''}"
