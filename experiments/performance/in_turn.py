"""Compares the speed of training with that of an earlier version of the lab, on one corpus, in turn.

The earlier version is taken out of the history into a temporary folder. Each training is a process of its own, run by
`python -m deepfake_lab.run model=crnn` of its version; epochs count without validation, and the first not at all.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from bench import Measurement, told

HOME = Path(__file__).resolve().parents[2]
FIRST = "9307f39"
"""The first version that trained a CRNN by a command."""
BOUND = 1.0
"""Smallest ratio allowed: it must not have become slower."""


def arguments():
    """What to compare, on what, how long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=HOME / "corpora" / "openprompts-small", help="prepared corpus")
    parser.add_argument("--commit", default=FIRST, help="the earlier version")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each version")
    parser.add_argument("--epochs", type=int, default=3, help="of each training; the first does not count")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    if not (options.corpus / "manifest.parquet").is_file():
        parser.error(f"--corpus {options.corpus}: has no manifest. Make it: python -m deepfake_lab.prepare")
    if options.epochs < 2:
        parser.error(f"--epochs {options.epochs}: the first does not count, so that two are the least.")
    return options


def check_out(commit, folder):
    """Puts a version of the lab into a folder."""
    archive = subprocess.run(["git", "archive", commit], cwd=HOME, check=True, stdout=subprocess.PIPE).stdout
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, check=True, input=archive)


def python(version, *arguments):
    """What the interpreter says in the folder of a version, whose package it imports then."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=version, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def adapt(corpus, version, folder):
    """A corpus as a version reads it: the same files, and those columns of the manifest that it knows."""
    folder.mkdir()
    known = python(version, "-c", "from deepfake_lab.data.manifest import SCHEMA; print(*SCHEMA.names)").split()
    rows = pq.read_table(corpus / "manifest.parquet").select(known)
    pq.write_table(rows, folder / "manifest.parquet", write_page_checksum=True)
    for first in {path.partition("/")[0] for path in rows["path"].to_pylist()}:
        (folder / first).symlink_to((corpus / first).resolve())


def train(version, corpus, epochs, folder):
    """Clips a second of one training: the median of its epochs but the first."""
    folder = Path(tempfile.mkdtemp(dir=folder))  # a run goes on with what it finds
    note = folder / "rates.json"
    settings = {"data": "toy", "data.root": corpus, "model": "crnn", "stages": "[fit]", "trainer.accelerator": "cpu"}
    settings |= {"run_dir": folder / "run", "hydra.run.dir": folder / "run", "trainer.max_epochs": epochs}
    settings |= {"tracking.uri": f"sqlite:///{folder}/mlflow.db", "tracking.artifact_location": folder / "artifacts"}
    settings |= {"+callbacks.clock": f"{{_target_: clocks.Epochs, note: {note}}}"}
    python(version, "-m", "deepfake_lab.run", *(f"{key}={value}" for key, value in settings.items()))
    return statistics.median(json.loads(note.read_text())[1:])


def measure(options):
    """Ratio of the medians of trainings that take turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_out(options.commit, folder / "earlier")
        trainings = {}
        for which, version in {"now": HOME, "then": folder / "earlier"}.items():
            corpus, home = folder / f"corpus-{which}", folder / f"home-{which}"
            adapt(options.corpus, version, corpus)
            home.mkdir()
            trainings[which] = functools.partial(train, version, corpus, options.epochs, home)
        rounds = [{which: training() for which, training in trainings.items()} for _ in range(options.rounds)]
    rates = {which: statistics.median(one[which] for one in rounds) for which in trainings}
    figures = f"{rates['now']:.1f} clips/s, {options.commit} {rates['then']:.1f} clips/s; {options.rounds} rounds"
    return Measurement("training, crnn, to the first version", rates["now"] / rates["then"], "x", BOUND, True, figures)


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    options = arguments()
    return told([measure(options)], options.json)


if __name__ == "__main__":
    raise SystemExit(main())
