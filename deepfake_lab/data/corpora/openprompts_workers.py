"""The processes that survey prompts and make clips of openprompts, and what they say when something goes wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from deepfake_lab.data.corpora.openprompts_clips import Clip, Prompt, System, make, survey
from deepfake_lab.data.corpora.openprompts_voices import Voice
from deepfake_lab.data.files import DiskError
from deepfake_lab.data.workers import pool, progress
from deepfake_lab.types import LabError

_BYTES_A_SAMPLE = 1.6  # of 16-bit FLAC with line noise in it, on the generous side
_KEPT = "The clips made so far are kept: run the same command again to go on."

Result = TypeVar("Result")


class _Work(NamedTuple):
    """What every task of a worker needs."""

    systems: Mapping[str, System]
    folders: Mapping[str, Path]
    root: Path


class Workers:
    """A pool of single-threaded processes; leave it as a context manager.

    Args:
        workers: number of processes; 0 takes one a core, eight at most.
        systems: synthesis systems by name.
        folders: folder of the recordings in each package.
        root: folder of the corpus.
    """

    def __init__(self, workers: int, systems: Mapping[str, System], folders: Mapping[str, Path], root: Path) -> None:
        self.root = root
        self._processes = pool(workers, _start, _Work(systems, folders, root))

    def __enter__(self) -> Self:
        self._pool = self._processes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._processes.__exit__(kind, error, trace)

    def survey(self, files: Sequence[tuple[Voice, str]]) -> list[Prompt]:
        """Finds the speech in recordings, given as (voice, file); in order."""
        futures = [self._pool.submit(_survey, *file) for file in files]
        with progress("openprompts: looking through the prompts", 0, len(futures)) as advance:
            for future in futures:
                _result(future, "the survey of the prompts")
                advance(1)
        return [future.result() for future in futures]

    def make(self, clips: Sequence[Clip], title: str) -> None:
        """Makes the clips that are not there yet.

        Raises:
            LabError: the disk is full, a library is missing, a process was killed.
            RuntimeError: a synthesis system failed; it names the clip.
        """
        missing = [clip for clip in clips if not (self.root / clip.path).is_file()]
        futures = {self._pool.submit(_make, clip): clip for clip in missing}
        with progress(title, len(clips) - len(missing), len(clips)) as advance:
            for number, future in enumerate(as_completed(futures)):
                try:
                    _result(future, f"clip {futures[future].key}")
                except DiskError as error:
                    raise self._what_is_needed(error, missing[number:]) from error
                except OSError as error:
                    raise LabError(f"{self.root / futures[future].path}: {error}. {_KEPT}") from error
                advance(1)

    def _what_is_needed(self, error: DiskError, missing: Sequence[Clip]) -> DiskError:
        needed = sum(clip.piece.stop - clip.piece.start for clip in missing) * _BYTES_A_SAMPLE / 1e6
        return DiskError(f"{error} About {needed:.1f} MB more are needed; data.root=DIR names another folder. {_KEPT}")


def _result(future: Future[Result], what: str) -> Result:
    """The result of a task, or an error that says which task failed."""
    try:
        return future.result()
    except (LabError, OSError, BrokenProcessPool):
        raise
    except ImportError as error:
        raise LabError(
            f"{what}: {error}. Install the synthesis systems: pip install 'deepfake-lab[synthesis]'. {_KEPT}"
        ) from error
    except Exception as error:
        raise RuntimeError(f"{what} failed: {type(error).__name__}: {error}. {_KEPT}") from error


_work: _Work


def _start(work: _Work) -> None:
    """Hands a worker process what it works with."""
    global _work
    _work = work


def _survey(voice: Voice, file: str) -> Prompt:
    return survey(_work.folders[voice.package], voice, file)


def _make(clip: Clip) -> None:
    make(clip, _work.systems.get(clip.system), _work.folders[clip.package], _work.root)
