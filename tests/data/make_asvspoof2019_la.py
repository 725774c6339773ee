"""Makes a tiny ASVspoof 2019 LA, laid out like the release.

python tests/data/make_asvspoof2019_la.py FOLDER
"""

import sys
from pathlib import Path

from signals import write

PARTS = {
    "train": ("train.trn", "T", 79, ("A01", "A06")),
    "dev": ("dev.trl", "D", 69, ("A01", "A06")),
    "eval": ("eval.trl", "E", 39, ("A07", "A11", "A19")),
}
"""By the word for a split: the list's ending, the letter of its utterances, its first speaker, its systems."""


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/LA`, 24 utterances of three speakers in each split; returns the settings that find it."""
    root = folder / "LA"
    protocols = root / "ASVspoof2019_LA_cm_protocols"
    protocols.mkdir(parents=True)
    (root / "ASVspoof2019_LA_asv_protocols").mkdir()
    (root / "README.LA.txt").write_text("ASVspoof 2019\n")
    for word, (ending, letter, first, systems) in PARTS.items():
        lines = []
        for number in range(24):
            name = f"LA_{letter}_{1000000 + 7 * number}"
            verdict = f"{systems[number // 2 % len(systems)]} spoof" if number % 2 else "- bonafide"
            lines.append(f"LA_{first + number % 3:04d} {name} - {verdict}\n")
            write(root / f"ASVspoof2019_LA_{word}" / "flac" / f"{name}.flac", 1000 * ord(letter) + number, samples=1600)
        (protocols / f"ASVspoof2019.LA.cm.{ending}.txt").write_text("".join(lines))
        (root / f"ASVspoof2019_LA_{word}" / "LICENSE.txt").write_text("ODC-By\n")
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
