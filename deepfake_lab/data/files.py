"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from deepfake_lab.types import LabError

_ROOM = "Make room, then go on: a run with resume=RUN_DIR, all else by the same command."
_DISK_FAILURES: Final = {
    errno.ENOSPC: ("no space is left on its disk ({free} free)", _ROOM),
    errno.EDQUOT: ("your quota on its disk is used up", _ROOM),
    errno.EFBIG: ("it is larger than its disk or a limit (ulimit -f) lets a file be", "Raise the limit."),
    errno.EROFS: ("its disk lets itself only be read", "Name another folder, or mount it to be written."),
    errno.EIO: ("its disk fails (input/output error)", "Look at the disk (dmesg), or name a folder on another."),
}
"""What is wrong with a disk, and what to do, by number of the system's error."""

_PROBE_BYTES = 1 << 20


class DiskError(LabError):
    """A disk that is full or does not let itself be written."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a temporary path to write to; at the end of the block the file takes its place under `path`.

    A reader sees the old file or the whole new one. An error leaves the old file and nothing else; only a kill can
    leave the temporary file, whose name begins with a dot and keeps the ending that tells writers the format.

    Raises:
        DiskError: the disk is full or does not let itself be written, also where the writer hides that.
    """
    partial = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield partial
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        number = _disk_failure(error, partial)
        _remove(partial)
        if number is None:
            raise
        raise disk_error(path, number) from error
    finally:
        _remove(partial)


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a small file, text in UTF-8, as `whole` does."""
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


class Rows:
    """A file of rows that are there as soon as they are written, each whole or not at all; a context manager.

    A file of before stays as `NAME.before` until the new one is complete.

    Args:
        path: of the file; what is no plain file, such as a pipe, is written to as it stands.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._before = path.with_name(f"{path.name}.before")
        if path.is_file() and not self._before.exists():  # else what is there is not complete itself
            path.replace(self._before)
        self._file = path.open("wb", buffering=0)
        self._end = 0

    def write(self, row: str) -> None:
        """Writes a row with the end of its line.

        Raises:
            DiskError: the disk is full or does not let itself be written; the rows of before are still there.
        """
        content = left = row.encode()
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with suppress(OSError):  # of a pipe
                self._file.truncate(self._end)
            if not is_disk_failure(error):
                raise
            before = f" {self._before.name} is the file of before." if self._before.exists() else ""
            raise DiskError(f"{disk_error(self._path, error.errno or 0)}{before}") from error
        self._end += len(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if error is None:
            self._before.unlink(missing_ok=True)


def is_disk_failure(error: BaseException) -> bool:
    """Whether the system says that a disk is full or does not let itself be written."""
    return isinstance(error, OSError) and error.errno in _DISK_FAILURES


def disk_error(path: Path, number: int) -> DiskError:
    """What to say of a file that a disk does not take.

    Args:
        path: of the file, for people.
        number: of the system's error.
    """
    reason, remedy = _DISK_FAILURES[number]
    return DiskError(f"{path}: cannot be written: {reason.format(free=_free(path))}. What was whole is kept. {remedy}")


def _disk_failure(error: Exception, partial: Path) -> int | None:
    """Number of the system's error behind a failed write, None if the disk is well.

    NumPy, torch and libsndfile say that they failed and not why, so that the disk is asked again.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno if is_disk_failure(error) else None
    try:
        with partial.open("ab", buffering=0) as file:
            written = file.write(bytes(_PROBE_BYTES))
            file.write(bytes(_PROBE_BYTES - written))
    except OSError as again:
        return again.errno if is_disk_failure(again) else None
    return None


def _remove(partial: Path) -> None:
    with suppress(OSError):  # a disk that fails keeps it; the error that is on its way says more
        partial.unlink(missing_ok=True)


def _free(path: Path) -> str:
    """Free space where a file was to go, for people."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    free = float(shutil.disk_usage(folder).free)
    for unit in ("bytes", "kB", "MB"):
        if free < 1000:
            return f"{free:.3g} {unit}"
        free /= 1000
    return f"{free:.3g} GB"
