"""Makes a tiny DEMAND, laid out like the release.

python tests/data/make_demand.py FOLDER
"""

import sys
from pathlib import Path

from signals import write

ENVIRONMENTS = ("DKITCHEN", "DLIVING", "NFIELD", "NPARK", "OHALLWAY", "PCAFETER", "SPSQUARE", "TBUS", "TCAR", "TMETRO")
CHANNELS = 3


def make(folder: Path, rate: int = 16_000) -> dict[str, Path]:
    """Makes `folder/DEMAND` at 16 or 48 kHz; returns the settings that find it."""
    root = folder / "DEMAND"
    for number, environment in enumerate(ENVIRONMENTS):
        for channel in range(1, CHANNELS + 1):
            write(root / environment / f"ch{channel:02d}.wav", 10 * number + channel, rate)
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
