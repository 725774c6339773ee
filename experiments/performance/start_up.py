"""Times how long the lab takes to start: its help, and a run until its first training step, beside bare imports."""

import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Measurement, medians, report

HELP_BOUND, STEP_BOUND = 1.5, 12.0
"""Longest times of the help and until the first training step, in s."""
HELP_REPEATS, STEP_REPEATS = 5, 3
BARE_APP = """
import hydra

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    pass

main()
"""
BARE_IMPORTS = "import torch, pytorch_lightning, mlflow, mlflow.store.tracking.sqlalchemy_store"
"""What a script of these libraries imports before it can train and record anything in a database."""


def help_time(folder):
    """Median times of the help and of a bare app's, after one round that fills the page cache."""
    app = Path(folder, "app.py")
    app.write_text(BARE_APP)
    commands = {"lab": ["-m", "deepfake_lab.run", "--help"], "bare": [app.name, "--help"]}
    candidates = {name: functools.partial(python, arguments, folder) for name, arguments in commands.items()}
    seconds = medians(candidates, HELP_REPEATS, warm_up=1)
    figures = f"bare Hydra app {seconds['bare']:.2f} s"
    return [
        Measurement("run --help", seconds["lab"], "s", HELP_BOUND, figures=figures),
        Measurement("that, to a bare Hydra app", seconds["lab"] / seconds["bare"], "x"),
    ]


def python(arguments, folder):
    """Runs the interpreter in a folder, where the callbacks of this one can be imported."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment
    )


def first_step(folder):
    """Times in s until `python -m deepfake_lab.run` has done a training step: on the clock, and of the processor."""
    note = Path(folder, "first_step.json")
    callback = f"+callbacks.first_step={{_target_: clocks.FirstStep, note: {note}}}"
    overrides = ["data=toy", "data.utterances=32", f"data.root={folder}/toy", callback]
    start = time.monotonic()
    python(["-m", "deepfake_lab.run", *overrides], folder)
    passed, used = json.loads(note.read_text())
    return passed - start, used


def imports(folder):
    """Time in s of a process that imports the libraries and does nothing."""
    start = time.monotonic()
    python(["-c", BARE_IMPORTS], folder)
    return time.monotonic() - start


def step_time(folder):
    """Both in turn, after a first run that prepares the corpus and makes the database."""
    anew, _ = first_step(folder)
    imports(folder)
    lab, bare = zip(*((first_step(folder), imports(folder)) for _ in range(STEP_REPEATS)), strict=True)
    passed, used = (statistics.median(times) for times in zip(*lab, strict=True))
    alone = statistics.median(bare)
    figures = f"{used:.1f} s of the processor; bare imports {alone:.1f} s; with a new database {anew:.1f} s"
    return [
        Measurement("run, first training step", passed, "s", STEP_BOUND, figures=figures),
        Measurement("that, to bare imports", passed / alone, "x", figures=BARE_IMPORTS.removeprefix("import ")),
    ]


def measure():
    """All of it on a corpus of a hundred and twenty-eight generated signals."""
    with tempfile.TemporaryDirectory() as folder:
        return help_time(folder) + step_time(folder)


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
