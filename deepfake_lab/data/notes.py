"""Small JSON files that a run leaves beside its results; they may have come from anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from deepfake_lab.types import LabError

RUN_NOTE: Final = {"mlflow_run_id": str, "tracking_uri": str, "command": str}
"""What `run.json` in a run's folder tells."""


def read_note(path: Path, kinds: Mapping[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Reads some values of a note; what else it holds is left out.

    Args:
        path: of the note.
        kinds: types of the values wanted, by name; absent ones are left out.

    Returns:
        The values by name; nothing where there is no such file.

    Raises:
        LabError: the file is no note, or a value is of another type.
    """
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"holds a {type(found).__name__}")
        known = {name: found[name] for name in kinds if name in found}
        for name, value in known.items():
            if not isinstance(value, kinds[name]):
                raise TypeError(f"{name} is {value!r:.80}")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise LabError(f"{path}: not a note that a run has left ({error}). Do the run again.") from error
    return known
