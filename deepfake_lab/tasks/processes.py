"""Several processes that work on one detector: how they start on one machine, and which of them keeps the records.

Elsewhere torchrun or Slurm starts them. Lightning tells by the environment, in the same way for all three.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from deepfake_lab.types import LabError

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from torch.multiprocessing.spawn import ProcessContext

T = TypeVar("T")

_GRACE_S: Final = 5.0
"""How long processes get to end by themselves once one of them has failed, in s."""


def leads() -> bool:
    """Whether this process keeps the records: the first of those that work together, or the only one."""
    from pytorch_lightning.utilities import rank_zero_only

    return bool(rank_zero_only.rank == 0)  # type: ignore[attr-defined]  # Lightning sets it on the function


def wanted(settings: Mapping[str, Any], make: Callable[[], pl.Trainer]) -> int:
    """Number of processes that are to be started; 0 if the work is to be done in this one.

    A strategy of several processes has one of its own for a single device, too: it leaves its mark on the process.

    Args:
        settings: of the trainer.
        make: makes it.

    Raises:
        LabError: several machines are asked for, and nothing has started processes on them.
    """
    if "strategy" not in settings and settings.get("devices") == 1 and settings.get("num_nodes", 1) == 1:
        return 0  # without loading Lightning
    trainer = make()
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if environment is None or environment.creates_processes_externally:
        return 0
    if trainer.num_nodes > 1:
        raise LabError(
            f"trainer.num_nodes={trainer.num_nodes}: one command starts processes on its own machine alone. Start it "
            "on all of them by Slurm (hydra/launcher=submitit_slurm, or srun) or torchrun: see docs/scale.md."
        )
    return trainer.num_devices


def together(work: Callable[..., T], count: int, *arguments: object) -> T:
    """Has new processes of this machine do the same work together.

    Args:
        work: a function at the top of a module.
        count: number of processes.
        arguments: of `work`.

    Returns:
        What the first of them returns.

    Raises:
        LabError: what one of them raised; or it was killed. The others have ended then too.
    """
    from lightning_fabric.plugins.environments.lightning import find_free_network_port
    from torch.multiprocessing.spawn import ProcessException, start_processes

    answers: SimpleQueue[tuple[bool, Any]] = get_context("spawn").SimpleQueue()
    begin = partial(_begin, work, count, find_free_network_port(), answers)
    context = start_processes(begin, arguments, nprocs=count, join=False)  # type: ignore[no-untyped-call]
    try:
        while not context.join(grace_period=_GRACE_S):
            pass
    except KeyboardInterrupt:
        _interrupt(context)
        raise
    except ProcessException as error:
        if not answers.empty() and not (told := answers.get())[0]:
            raise LabError(told[1]) from None
        raise _death(context) or error from error
    answer: T = answers.get()[1]
    return answer


def part() -> None:
    """Ends what processes talk through, if they do, once all is said.

    A process that has failed must not: it would wait for the others.
    Left to the end of the interpreter, a thread of gloo that is about to free a tensor is ended by Python in a way that
    aborts the process (pytorch issues 179291 and 190489).
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        gc.collect()  # trainers and networks hold on to the group, and its threads end with its last holder
        distributed.destroy_process_group()


def _begin(work: Callable[..., T], count: int, port: int, answers: SimpleQueue[Any], rank: int, *given: object) -> None:
    """Does the work in a process of its own, told by the environment who it is, as torchrun does."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()}
    # which the death of the process that began it sends; shells have what they start in the background ignore it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from pytorch_lightning.utilities import rank_zero_only

    rank_zero_only.rank = rank  # type: ignore[attr-defined]  # where a main module has loaded Lightning before
    try:
        result = work(*given)
    except LabError as error:
        answers.put((False, str(error)))
        sys.exit(2)
    if rank == 0:
        answers.put((True, result))


def _interrupt(context: ProcessContext) -> None:
    """Ends processes as Ctrl-C does, which has reached them already unless this one alone was told."""
    for signum in (0, signal.SIGINT, signal.SIGKILL):
        for process in context.processes:
            if signum and process.is_alive():
                os.kill(process.pid, signum)
        context._join_procs_with_timeout(_GRACE_S)


def _death(context: ProcessContext) -> LabError | None:
    """What to say of processes that something else has killed: the others fail for want of them."""
    codes = {rank: process.exitcode or 0 for rank, process in enumerate(context.processes)}
    killed = [(rank, -code) for rank, code in codes.items() if code < 0 and code != -signal.SIGTERM]
    if not killed:
        return None
    rank, signum = killed[0]
    return LabError(
        f"process {rank} of {len(codes)} was killed by {signal.Signals(signum).name}, so the others have stopped. Look "
        "whether memory ran out (dmesg); resume=RUN_DIR goes on from the last whole epoch."
    )
