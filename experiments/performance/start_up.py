"""Times `python -m deepfake_lab.run --help` next to the help of a bare Hydra app."""

import subprocess
import sys
import tempfile
from pathlib import Path

from bench import Measurement, medians, report

BOUND = 1.5
"""Longest time of the help, in s."""
REPEATS = 5
BARE = """
import hydra

@hydra.main(version_base="1.3", config_path=None)
def main(config):
    pass

main()
"""


def measure():
    """Median times of both, each in a process of its own, after one round that fills the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        app = Path(folder, "app.py")
        app.write_text(BARE)
        commands = {"lab": ["-m", "deepfake_lab.run", "--help"], "bare": [app.name, "--help"]}
        candidates = {
            name: lambda arguments=arguments: subprocess.run(
                [sys.executable, *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
            for name, arguments in commands.items()
        }
        seconds = medians(candidates, REPEATS, warm_up=1)
    return [Measurement("run --help", seconds["lab"], "s", BOUND, figures=f"bare Hydra app {seconds['bare']:.2f} s")]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
