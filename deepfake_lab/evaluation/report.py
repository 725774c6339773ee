"""A summary and its score table as files for machines, tables for people and figures."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from deepfake_lab.evaluation import plots
from deepfake_lab.evaluation.scores import write_official, write_table
from deepfake_lab.evaluation.summary import Summary


def write_report(table: pd.DataFrame, summary: Summary, folder: Path) -> None:
    """Leaves everything that is reported of a run in a folder.

    `report.md` and `metrics.json` hold the numbers; `scores/{split}/` the score table as parquet and in the official
    ASVspoof 5 format; the PNG files the figures; `confusion_matrix.json` the counts at the dev EER threshold,
    where one is known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(summary.to_markdown())
    metrics = summary.metrics()
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    for split, trials in table.groupby("split"):
        write_table(trials, folder / "scores" / str(split) / "trials.parquet")
        write_official(trials, folder / "scores" / str(split))
    figures = {
        "det": plots.det(table, {split: numbers.overall.interval for split, numbers in summary.splits.items()}),
        "roc": plots.roc(table),
        "score_distributions": plots.score_distributions(table, summary.threshold),
    }
    if summary.decides:
        cells = {
            split: {cell: metrics[f"{split}/cm/{cell}"] for cell in ("tp", "fp", "tn", "fn")}
            for split in summary.splits
        }
        (folder / "confusion_matrix.json").write_text(json.dumps({"threshold": summary.threshold, **cells}, indent=1))
        figures["confusion_matrix"] = plots.confusion_matrix(table, summary.threshold)
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)


def print_summary(summary: Summary) -> None:
    """Prints the results tables, then the notes."""
    console = Console()
    for title, rows in (
        ("Results", summary.rows()),
        ("EER % (95 % interval) of each synthesis system against all bona fide trials", summary.attack_rows()),
    ):
        table = Table(*summary.header(), title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in summary.notes:
        console.print(
            f"! {note}",
            style="bold red" if note.startswith("LEARNED NOTHING") else "yellow",
            highlight=False,
            soft_wrap=True,  # paths stay whole
        )
