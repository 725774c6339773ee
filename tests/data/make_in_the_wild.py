"""Makes a tiny In-the-Wild, laid out like the release.

python tests/data/make_in_the_wild.py FOLDER
"""

import csv
import sys
from pathlib import Path

from signals import write

SPEAKERS = ("Alan Example", "Eva, the Second", "Ümit")


def make(folder: Path, clips: int = 60) -> dict[str, Path]:
    """Makes `folder/release_in_the_wild` with so many clips, half of them fakes; returns the settings that find it."""
    root = folder / "release_in_the_wild"
    root.mkdir(parents=True)
    with (root / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        meta = csv.writer(file)
        meta.writerow(["file", "speaker", "label"])
        for number in range(clips):
            write(root / f"{number}.wav", number)
            meta.writerow([f"{number}.wav", SPEAKERS[number % 3], "spoof" if number % 2 else "bona-fide"])
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
