"""Processes that work on many files side by side, and what a person sees of it meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from deepfake_lab.types import LabError

MOST_WORKERS = 8
"""Processes taken unless a number is given; more seldom help, since a disk or memory sets the pace."""

Task = TypeVar("Task")
Result = TypeVar("Result")

Advance = Callable[[int], None]
"""Tells a progress bar that so many more are done."""


def workers_for(wanted: int) -> int:
    """Number of processes: as many as wanted, or for 0 one a core and `MOST_WORKERS` at most."""
    return wanted or min(os.cpu_count() or 1, MOST_WORKERS)


@contextmanager
def pool(workers: int, start: Callable[..., None] | None = None, *arguments: object) -> Iterator[ProcessPoolExecutor]:
    """Processes of one thread each that end with the block, or with their parent.

    Args:
        workers: see `workers_for`.
        start: called with `arguments` in every process before it begins.
        arguments: of `start`.

    Raises:
        LabError: one of them died.
    """
    spawn = multiprocessing.get_context("spawn")  # forking a process that runs torch's threads may hang it
    with ProcessPoolExecutor(workers_for(workers), spawn, initializer=_start, initargs=(start, arguments)) as processes:
        try:
            yield processes
        except BrokenProcessPool as error:
            raise LabError(
                f"one of {workers_for(workers)} worker processes died, most likely killed for lack of memory (dmesg "
                "tells). What has been done is kept: run the same command again to go on, with data.workers=1, or "
                "workers=1 where the command has that."
            ) from error
        finally:
            processes.shutdown(cancel_futures=True)


def results(work: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    """What comes of tasks, in the order in which they are done: side by side, but for a single one.

    Args:
        work: does a task; can be pickled, as tasks can.
        tasks: what is to be done.
        workers: see `workers_for`.

    Raises:
        LabError: see `pool`.
    """
    if len(tasks) < 2 or workers_for(workers) == 1:  # a process takes a second to start
        yield from map(work, tasks)
        return
    with pool(workers) as processes:
        for future in as_completed([processes.submit(work, task) for task in tasks]):
            yield future.result()


def say(text: str) -> None:
    """Tells a person what is going on, on standard error."""
    Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)


@contextmanager
def progress(title: str, done: int, total: int) -> Iterator[Advance]:
    """A progress bar on a terminal, a line every tenth of the way elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(console=console) as bar:
            task = bar.add_task(title, total=total, completed=done)
            yield lambda number: bar.advance(task, number)
        return
    count = done

    def advance(number: int) -> None:
        nonlocal count
        count += number
        if count * 10 // total > (count - number) * 10 // total:
            say(f"{title}: {count:,} of {total:,}")

    yield advance


def _start(start: Callable[..., None] | None, arguments: tuple[object, ...]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries not loaded yet
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if start is not None:
        start(*arguments)


def _end_with_parent() -> None:
    """Ends this process with its parent: an idle worker would otherwise outlive a killed one forever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
