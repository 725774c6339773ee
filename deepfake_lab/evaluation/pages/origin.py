"""Where scores come from: what a run's folder says of itself, as far as it does."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Origin:
    """What a report says of the run behind it; what is not known is empty.

    Attributes:
        name: of the run, or of what was scored.
        command: that repeats it.
        config: its composed configuration, as YAML.
        run_id: its MLflow run.
        curves: losses and errors by epoch: see `deepfake_lab.tasks.curves`.
    """

    name: str = "Scores"
    command: str = ""
    config: str = ""
    run_id: str = ""
    curves: pd.DataFrame | None = None

    @classmethod
    def of_run(cls, run_dir: Path) -> Origin:
        """Reads `config.yaml`, `run.json` and `curves.csv` where they are there."""
        config, note, curves = (run_dir / name for name in ("config.yaml", "run.json", "curves.csv"))
        known = json.loads(note.read_text()) if note.is_file() else {}
        return cls(
            name=run_dir.resolve().name,
            command=known.get("command", ""),
            config=config.read_text() if config.is_file() else "",
            run_id=known.get("mlflow_run_id", ""),
            curves=pd.read_csv(curves) if curves.is_file() else None,
        )
