"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to; at the end of the block the file takes its place under `path`.

    A reader sees the old file or the whole new one. An error leaves the old file and nothing else; only a kill can
    leave the temporary file, whose name begins with a dot and keeps the ending that tells writers the format.
    """
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
