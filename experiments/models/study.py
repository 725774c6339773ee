"""Trains every model with its usual front-end, and two models with every front-end, on openprompts `small`.

Each run is a process of its own; what is done is left alone and what was interrupted goes on, so that the study can be
stopped and started at any time. `times.csv` gets a row each: name, time and processor time in s of the process that
finished it.

Usage: python study.py FOLDER [--minutes M] [--share K/N]: runs go to FOLDER, and no new one begins after M minutes.
With a share it does every Nth run, from the Kth on: N processes of one thread use N cores better than one of N threads.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

MODELS = ("crnn", "crnn_mfcc", "attention_crnn", "lcnn", "resnet18")
FRONTENDS = ("mel", "mfcc", "lfcc", "cqt", "spectral_flux", "phase", "stft", "mfcc_cqt_flux")
SEEDS = (0, 1, 2)
SETTINGS = (
    "data=openprompts",
    "loader.window_s=2.0",  # half of the usual crops, so that the whole fits into hours
    "trainer.max_epochs=8",
    "tracking.experiment=models",
    "tracking.system_metrics=false",
)


class Job(NamedTuple):
    """One run: a model, a front-end (None: its usual one) and a seed."""

    model: str
    frontend: str | None
    seed: int

    @property
    def name(self):
        """Name of the run's folder."""
        return f"{self.model}-{self.frontend or 'usual'}-seed{self.seed}"

    @property
    def overrides(self):
        """What the command line says."""
        chosen = [f"model={self.model}", f"seed={self.seed}"]
        return chosen + ([f"frontend={self.frontend}"] if self.frontend else [])


def jobs():
    """Every run, the first seeds of everything first."""
    return [
        *(Job(model, None, seed) for seed in SEEDS for model in MODELS),
        *(Job("attention_crnn", frontend, 0) for frontend in FRONTENDS if frontend != "mel"),
        *(Job("lcnn", frontend, seed) for seed in SEEDS for frontend in FRONTENDS if frontend != "lfcc"),
    ]


def command(job, folder):
    """The command that does a run or goes on with it."""
    if (folder / "checkpoints" / "last.ckpt").is_file():
        return [sys.executable, "-m", "deepfake_lab.run", f"resume={folder}"]
    return [sys.executable, "-m", "deepfake_lab.run", *SETTINGS, *job.overrides, f"hydra.run.dir={folder}"]


def processor_time():
    """Processor time in s of every run so far; other work on the machine lengthens it less than time on the wall."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main():
    """Does what is left to do; exits with status 1 if a run fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--share", default="1/1")
    arguments = parser.parse_args()
    first, step = map(int, arguments.share.split("/"))
    end = time.monotonic() + 60 * arguments.minutes
    for job in jobs()[first - 1 :: step]:
        folder = arguments.folder / job.name
        if (folder / "report" / "metrics.json").is_file():
            continue
        if time.monotonic() > end:
            break
        start = time.monotonic(), processor_time()
        status = subprocess.run(command(job, folder)).returncode
        if status:
            print(f"{job.name}: exit status {status}", file=sys.stderr)
            return 1
        with (arguments.folder / "times.csv").open("a") as file:
            file.write(f"{job.name},{time.monotonic() - start[0]:.0f},{processor_time() - start[1]:.0f}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
