"""What a machine may do to a run, told as what happened and how to go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepfake_lab.data import guards
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.types import LabError, causes

_DEAD = "DataLoader worker (pid"  # how every message of PyTorch about one begins


@contextmanager
def explained(datamodule: CorpusDataModule, run_dir: Path) -> Iterator[None]:
    """Watches over a block that reads a corpus.

    Args:
        datamodule: what reads it.
        run_dir: of the run, which can be resumed.

    Raises:
        LabError: a process that loads data was killed, or the corpus is no longer where it was when the run began.
    """
    try:
        yield
    except Exception as error:  # PyTorch raises its own wherever the main thread is: libraries there may wrap it
        if what := _death(error):
            raise LabError(
                f"{what}. It is one of {datamodule.num_workers} that load data: most likely the machine ran out of "
                "memory (dmesg tells), or of shared memory (df /dev/shm). Go on from the last whole epoch, with fewer "
                f"of them and the same results: resume={run_dir} loader.num_workers={datamodule.num_workers // 2}"
            ) from error
        _look_for(datamodule, run_dir)
        raise


def _death(error: BaseException) -> str:
    """What PyTorch says of a dead worker, in an error or in those that led to it; nothing if none did."""
    said = (str(one).splitlines()[0].rstrip(". ") for one in causes(error) if str(one).startswith(_DEAD))
    return next(said, "")


def _look_for(datamodule: CorpusDataModule, run_dir: Path) -> None:
    try:
        guards.check_files(datamodule.manifest)
    except (LabError, OSError) as gone:
        raise LabError(
            f"the corpus went away while the run read it: {str(gone).partition(' Check data.root')[0]} Is the disk "
            f"still mounted? Once it is back, go on from the last whole epoch: resume={run_dir}"
        ) from gone
