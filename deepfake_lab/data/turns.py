"""One process at a time: the others wait, and say for whom."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import filelock

from deepfake_lab.data.files import write_whole
from deepfake_lab.data.workers import say


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[bool]:
    """Makes a folder and lets one process at a time into the block.

    When that process ends, by a kill too, the system lets in the next.

    Args:
        folder: what the process works on.
        doing: what it does there, for those who wait.

    Yields:
        Whether it had to wait.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, note = filelock.FileLock(folder / ".prepare.lock"), folder / ".prepare.json"
    waited = False
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"{folder}: {_told(note)} {doing}; waiting for it.")
        lock.acquire()
        waited = True
    try:
        if note.is_file():
            say(f"{folder}: {_told(note)} was stopped before it was done; going on from there.")
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        write_whole(note, json.dumps(about))
        yield waited
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _told(note: Path) -> str:
    """Who is in the block, or was last."""
    try:
        return "process {pid} on {host} (since {since})".format(**json.loads(note.read_text()))
    except (OSError, ValueError, KeyError):  # it has only just come in
        return "another process"
