"""Runs the measurements of this folder, each script in a process of its own; one table of them all, and a history."""

import argparse
import csv
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import Measurement, machine, table

HOME = Path(__file__).resolve().parent
MINUTES = 15
"""Longest time of them all."""
SCRIPTS = {
    "start_up": (),
    "training_step": (),
    "epochs": (),
    "records": (),
    "augmentation": (),
    "loading": (),
    "frontends": (),
    "aasist": (),
    "metrics": (),
    "breakdown": (),
    "protocol": (),
    "listening": (),
    "serving": ("--clients", "1", "8", "--seconds", "4", "--stream-seconds", "8", "--bare-seconds", "4"),
}
"""Scripts with their settings; `cost_curves` and `in_turn` take too long, and the latter wants a corpus."""
COLUMNS = ("date", "commit", "machine", "measurement", "value", "unit", "bound", "verdict")


def arguments():
    """Which scripts, and whether it is to be remembered."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="some of the scripts; no history then")
    parser.add_argument("--no-history", action="store_true", help="leave history.csv as it is")
    return parser.parse_args()


def measured(script, folder):
    """Measurements of a script, and the time in s that it took.

    Raises:
        SystemExit: it failed, and has said why.
    """
    file, start = Path(folder, f"{script}.json"), time.monotonic()
    command = [sys.executable, HOME / f"{script}.py", *SCRIPTS[script], "--json", file]
    # waiting threads that spin would measure each other, where anything else runs; the lab's commands set this too
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    process = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    if not file.exists():
        raise SystemExit(process.returncode or f"{script}: left no numbers.")
    return [Measurement(**row) for row in json.loads(file.read_text())], time.monotonic() - start


def measure(scripts):
    """Measurements of all scripts, the last of them the time of the whole."""
    found, seconds = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for script in scripts:
            print(f"{script} ...", end=" ", flush=True, file=sys.stderr)
            measurements, seconds[script] = measured(script, folder)
            print(f"{seconds[script]:.0f} s", file=sys.stderr)
            found += measurements
    longest = sorted(seconds, key=seconds.get, reverse=True)[:3]
    figures = ", ".join(f"{script} {seconds[script]:.0f} s" for script in longest)
    return [*found, Measurement("all of this", sum(seconds.values()) / 60, "min", MINUTES, figures=figures)]


def remember(measurements):
    """Adds them to the history, a row each."""
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(describe, cwd=HOME, capture_output=True, text=True).stdout.strip()
    now, file = datetime.datetime.now().isoformat(timespec="seconds"), HOME / "history.csv"
    begun = file.is_file()
    with file.open("a", newline="") as history:
        writer = csv.writer(history)
        if not begun:
            writer.writerow(COLUMNS)
        for m in measurements:
            bound = "" if m.bound is None else f"{'>=' if m.at_least else '<='} {m.bound:g}"
            writer.writerow((now, commit, machine(), m.what, f"{m.value:.4g}", m.unit, bound, m.verdict))


def main():
    """Prints machine and table; exits with status 1 where a bound is broken; stops at a script that fails."""
    options = arguments()
    busy = os.getloadavg()[0]
    measurements = measure(options.only or SCRIPTS)
    if not (options.no_history or options.only):
        remember(measurements)
    print(f"{machine()}; load average before {busy:.1f}", table(measurements), sep="\n\n")
    return int(any(m.verdict == "FAIL" for m in measurements))


if __name__ == "__main__":
    raise SystemExit(main())
