"""The MLflow run of a folder of results, so that a repeated command adds to it and makes no second one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deepfake_lab.data.files import write_whole
from deepfake_lab.data.notes import read_note
from deepfake_lab.tracking.run import Run, source_tags
from deepfake_lab.tracking.store import Tracking

NOTE = "mlflow.json"


@contextmanager
def run_of_folder(tracking: Tracking, folder: Path, command: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """Opens the run that a folder's `NOTE` tells of, or begins one and leaves the note.

    Args:
        tracking: where runs are recorded.
        folder: whose name the run gets.
        command: that makes the folder.
        tags: of the run, beside those of the source.
    """
    note = folder / NOTE
    known = read_note(note, {"run_id": str, "tracking_uri": str})
    run_id = known.get("run_id") if known.get("tracking_uri") == tracking.uri else None
    with tracking.run(folder.name, tags=source_tags() | dict(tags), run_id=run_id) as tracked:
        write_whole(note, json.dumps({"run_id": tracked.id, "tracking_uri": tracking.uri, "command": command}))
        yield tracked
