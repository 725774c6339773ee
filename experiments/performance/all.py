"""Runs every measurement of this folder, each in a process of its own, and prints one Markdown table of them all."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import Measurement, machine, table

SCRIPTS = (
    "training_step",
    "augmentation",
    "loading",
    "frontends",
    "aasist",
    "start_up",
    "metrics",
    "breakdown",
    "protocol",
)


def main():
    """Prints machine and table; exits with status 1 where a bound is broken; stops at a script that fails."""
    measurements = []
    with tempfile.TemporaryDirectory() as folder:
        for script in SCRIPTS:
            print(f"{script} ...", file=sys.stderr)
            file = Path(folder, f"{script}.json")
            command = [sys.executable, Path(__file__).with_name(f"{script}.py"), "--json", file]
            process = subprocess.run(command, stdout=subprocess.DEVNULL)
            if not file.exists():
                return process.returncode
            measurements += [Measurement(**row) for row in json.loads(file.read_text())]
    print(machine(), table(measurements), sep="\n\n")
    return int(any(m.verdict == "FAIL" for m in measurements))


if __name__ == "__main__":
    raise SystemExit(main())
