"""Makes a tiny MUSAN, laid out like the release.

python tests/data/make_musan.py FOLDER
"""

import sys
from pathlib import Path

from signals import write

SOURCES = {
    "noise": ("free-sound", "sound-bible"),
    "music": ("fma", "fma-western-art", "hd-classical", "jamendo", "rfm"),
    "speech": ("librivox", "us-gov"),
}
FILES = 3  # of each source


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/musan`; returns the settings that find it."""
    root = folder / "musan"
    seed = 0
    for kind, sources in SOURCES.items():
        for source in sources:
            for number in range(FILES):
                seed += 1
                write(root / kind / source / f"{kind}-{source}-{number:04d}.wav", seed)
            (root / kind / source / "LICENSE").write_text("Public domain.\n", encoding="utf-8")
    (root / "README").write_text("A corpus.\n", encoding="utf-8")
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
