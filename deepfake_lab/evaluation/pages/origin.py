"""Where scores come from: what a run's folder says of itself, as far as it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from deepfake_lab.data.notes import RUN_NOTE, read_note
from deepfake_lab.types import LabError


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
        known = read_note(note, RUN_NOTE)
        return cls(
            name=run_dir.resolve().name,
            command=known.get("command", ""),
            config=config.read_text() if config.is_file() else "",
            run_id=known.get("mlflow_run_id", ""),
            curves=_curves(curves) if curves.is_file() else None,
        )


def _curves(file: Path) -> pd.DataFrame:
    try:
        curves = pd.read_csv(file).astype({"epoch": int, "kept": bool})
        return curves.astype(dict.fromkeys(("train/loss", "dev/loss", "dev/eer"), float))
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"{file}: no learning curves of a run ({error}). Delete it, and they are left out.") from error
