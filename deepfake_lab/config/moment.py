"""What names a run's folder: the time, or the job where several processes must come to the same name."""

from __future__ import annotations

import os
from datetime import datetime

from deepfake_lab.types import LabError


def moment(form: str) -> str:
    """The time, or the name of the job that Slurm or torchrun has started this process in among others.

    Args:
        form: of the time, as `strftime` takes it.

    Raises:
        LabError: torchrun has not named its job.
    """
    if int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        return f"slurm{os.environ['SLURM_JOB_ID']}.{os.environ.get('SLURM_STEP_ID', 0)}"
    if "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        name = os.environ["TORCHELASTIC_RUN_ID"]
        if name == "none":
            raise LabError("torchrun has not named its job: add --standalone, or --rdzv-id=NAME, or hydra.run.dir=DIR.")
        return name
    return datetime.now().strftime(form)
