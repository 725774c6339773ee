"""What is to be recorded of a run, in order: sent at once, or kept in a file for as long as the store is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

from deepfake_lab.data.files import disk_error, is_disk_failure, write_whole
from deepfake_lab.types import LabError

NAME: Final = "outbox.jsonl"
"""Of the file in a run's folder."""
_AWAY: Final = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
_PATIENCE: Final = 10.0
"""A store that is away is asked again after so many times the time that asking took, and not before so many seconds."""

Entry = dict[str, Any]
"""Plain values, the `kind` of record among them."""


class Outbox:
    """A file of entries, a line of JSON each, that are sent in order and then forgotten.

    An entry is in the file before it is sent, so that a kill loses none. One that was sent, but is still in the file,
    is sent again, which changes nothing in the store: metrics carry the time at which they were measured.

    Args:
        file: where entries wait; None: an entry that cannot be sent is an error.
        send: records an entry in the store.
    """

    def __init__(self, file: Path | None, send: Callable[[Entry], None]) -> None:
        self._file = file
        self._send = send
        self._next_try = 0.0
        self._waiting: list[Entry] = []
        if file is not None and file.is_file():
            self._waiting = _read(file)
            self._keep()  # without half a line, to which the next one would be added

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: Entry) -> None:
        """Sends an entry, after those that wait, or has it wait.

        Raises:
            LabError: it cannot be kept.
            MlflowException: the store refuses it.
        """
        if self._file is None:
            self._send(entry)
            return
        self._waiting.append(entry)
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            if is_disk_failure(error):
                raise disk_error(self._file, error.errno or 0) from error
            raise LabError(f"{self._file}: cannot be written ({error}). Make room.") from error
        if time.monotonic() >= self._next_try:
            self.flush()

    def flush(self) -> None:
        """Sends what waits, as far as the store answers.

        Raises:
            MlflowException: the store refuses an entry, which waits no longer.
        """
        begun, sent = time.monotonic(), 0
        try:
            for entry in self._waiting:
                sent += 1
                self._send(entry)
        except (MlflowException, RequestException, OSError) as error:
            if not is_outage(error):
                raise
            sent -= 1
            now = time.monotonic()
            self._next_try = now + _PATIENCE * max(now - begun, 1.0)
        finally:
            self._forget(sent)

    def _forget(self, sent: int) -> None:
        """Takes the first entries out of the file."""
        del self._waiting[:sent]
        if self._file is None or not sent:
            return
        self._keep()

    def _keep(self) -> None:
        """Writes the file anew, or removes it where nothing waits."""
        assert self._file is not None  # for the type checker
        if self._waiting:
            write_whole(self._file, "".join(json.dumps(entry) + "\n" for entry in self._waiting))
        else:
            self._file.unlink()


def is_outage(error: Exception) -> bool:
    """Whether a store did not answer, or not in earnest, or has no room, so that asking again may help."""
    if isinstance(error, MlflowException):
        return error.error_code in _AWAY
    return isinstance(error, RequestException) or is_disk_failure(error)


def _read(file: Path) -> list[Entry]:
    """Entries of a file; a kill may have cut off the last line."""
    entries = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entries.append(json.loads(line))
        except ValueError as error:
            if not line.endswith("}"):
                continue
            raise LabError(f"{file}: line {number} is no JSON ({error}). Mend the line or take it out.") from error
    return entries
