"""A summary and its score table as files for machines, tables for people and figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from deepfake_lab.data.files import write_whole
from deepfake_lab.data.notes import read_note
from deepfake_lab.data.tables import read_parquet
from deepfake_lab.evaluation.compare import Comparison, Estimate, in_words, p_text
from deepfake_lab.evaluation.official import write_official
from deepfake_lab.evaluation.pages.html import render
from deepfake_lab.evaluation.pages.origin import Origin
from deepfake_lab.evaluation.pages.pictures import pictures
from deepfake_lab.evaluation.pages.run import LEARNED_NOTHING, run_page
from deepfake_lab.evaluation.scores import read_table, write_table
from deepfake_lab.evaluation.summary import TITLES, Summary
from deepfake_lab.types import LabError


class Notes(NamedTuple):
    """What a report knows beyond the score table: see `Summary`."""

    notes: tuple[str, ...] = ()
    skipped: int = 0
    control: bool = False


def write_report(table: pd.DataFrame, summary: Summary, folder: Path, origin: Origin | None = None) -> None:
    """Leaves everything that is reported of a run in a folder.

    `report.html`, which needs no other file, is for people. `report.md`, `metrics.json` and `cells.csv` (every cell of
    every condition) hold the numbers; `scores/{split}/` the score table as parquet and in the official ASVspoof 5
    format, and segments of partial spoofs; the PNG files the figures; `confusion_matrix.json` the counts at the dev EER
    threshold, where one is known; `notes.json` what the table does not say.

    Args:
        table: score table.
        summary: what it says.
        folder: where to leave it.
        origin: where the scores come from.
    """
    origin = origin or Origin()
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.md", summary.to_markdown())
    write_whole(folder / "cells.csv", summary.cells.to_csv(index=False))
    metrics = summary.metrics()
    write_whole(folder / "metrics.json", json.dumps(metrics, indent=1))
    notes = Notes(summary.notes, summary.skipped, summary.control)
    write_whole(folder / "notes.json", json.dumps(notes._asdict(), indent=1))
    for split, trials in table.groupby("split"):
        write_table(trials, folder / "scores" / str(split) / "trials.parquet")
        write_official(trials, folder / "scores" / str(split))
    if summary.segments:
        for split, segments in summary.segments.table.groupby("split"):
            write_table(segments, folder / "scores" / str(split) / "segments.parquet")
    if summary.decides:
        cells = {
            split: {cell: metrics[f"{split}/cm/{cell}"] for cell in ("tp", "fp", "tn", "fn")}
            for split in summary.splits
        }
        counts = json.dumps({"threshold": summary.threshold, **cells}, indent=1)
        write_whole(folder / "confusion_matrix.json", counts)
    drawn = pictures(table, summary, origin.curves)
    for name, picture in drawn.items():
        write_whole(folder / f"{name}.png", picture.png)
    write_whole(folder / "report.html", render(run_page(summary, drawn, origin)))


def read_notes(folder: Path) -> Notes:
    """What a run has noted beside its scores; nothing where it has no report.

    Args:
        folder: of a run, or of its report.
    """
    for file in (folder / "report" / "notes.json", folder / "notes.json"):
        if known := read_note(file, {"notes": list, "skipped": int, "control": bool}):
            return Notes(tuple(map(str, known.get("notes", ()))), known.get("skipped", 0), known.get("control", False))
    return Notes()


def read_scores(folder: Path) -> pd.DataFrame:
    """Score table of all splits that a run has left behind.

    Args:
        folder: of a run, of its report, or of its scores.

    Raises:
        LabError: there are no score tables.
    """
    for place in (folder / "report" / "scores", folder / "scores", folder):
        files = sorted(place.glob("*/trials.parquet"))
        if files:
            return pd.concat(map(read_table, files), ignore_index=True)
    raise LabError(f"{folder}: holds no score tables. Name the folder of a run that was evaluated: runs/NAME.")


def read_segments(folder: Path) -> pd.DataFrame | None:
    """Table of segments that a run has left behind; None where it has none.

    Args:
        folder: of a run.
    """
    files = sorted((folder / "report" / "scores").glob("*/segments.parquet"))
    return pd.concat(map(_segments, files), ignore_index=True) if files else None


def _segments(file: Path) -> pd.DataFrame:
    try:
        table: pd.DataFrame = read_parquet(file).to_pandas()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise LabError(f"{file}: not a readable table ({error}). Test the detector again.") from error
    return table


def print_summary(summary: Summary) -> None:
    """Prints the results tables, then the notes."""
    console = Console()
    tables = {condition: summary.condition_rows(condition) for condition in summary.conditions()}
    for title, rows in {"": summary.rows(), **tables}.items():
        name = f"EER % (95 % interval) by {title}" if title else "Results"
        table = Table(*summary.header(), title=name, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for remark in summary.remarks():
        console.print(remark, highlight=False)
    for note in summary.notes:
        console.print(
            f"! {note}",
            style="bold red" if note.startswith(LEARNED_NOTHING) else "yellow",
            highlight=False,
            soft_wrap=True,  # paths stay whole
        )


def print_comparisons(comparisons: Sequence[Comparison], names: tuple[str, str], title: str) -> None:
    """Prints what a comparison of two detectors has found, as a table and in words."""

    def cell(estimate: Estimate, scale: float) -> str:
        low, high = estimate.interval
        return f"{scale * estimate.value:.4g} ({scale * low:.3g} to {scale * high:.3g})"

    table = Table("", *names, "difference (95 %)", "p", title=title, title_justify="left")
    for one in comparisons:
        scale = 100 if one.measure == "eer" else 1
        cells = (cell(estimate, scale) for estimate in (one.first, one.second, one.difference))
        table.add_row(TITLES[one.measure], *cells, p_text(one.p_value).removeprefix("= "))
    console = Console(width=None if sys.stdout.isatty() else 130)
    console.print(table)
    for one in comparisons:
        console.print(in_words(one, *names, TITLES[one.measure]), highlight=False, soft_wrap=True)
