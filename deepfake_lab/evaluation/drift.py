"""Whether a service hears what its detector was trained on: a table and a picture."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from deepfake_lab.evaluation.plots.drift import TITLES, drift
from deepfake_lab.serving.census import Census

_STEADY, _FAR = 0.1, 0.25  # of the population stability index, by habit


def report_drift(before: Census, later: Census, folder: Path) -> dict[str, float]:
    """Prints how far what was judged is from training, and draws it as `drift.png` in a folder.

    Returns:
        Population stability index by measure; see `Census.shift`.
    """
    judged = int(later.counts["score"].sum())
    table = Table("measure", "PSI", "", title=f"{judged:,} recordings judged", title_justify="left")
    shift = before.shift(later)
    for name, value in shift.items():
        said = "as in training" if value < _STEADY else "moved" if value < _FAR else "another kind of recordings"
        table.add_row(TITLES[name], f"{value:.3f}", said)
    Console().print(table)
    folder.mkdir(parents=True, exist_ok=True)
    drift(before, later).savefig(folder / "drift.png", dpi=120)
    return shift
