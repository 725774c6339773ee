"""Makes a small collection of one's own, in the folders and formats that people have.

python tests/data/make_folder.py FOLDER
"""

import csv
import sys
from pathlib import Path

import make_fakeavceleb
from signals import noise, write


def make(folder: Path, sentences: int = 20) -> dict[str, Path]:
    """Makes `folder/mine` with so many sentences, each real and twice faked, and a table of them all.

    Returns the settings that find the table; `root` alone finds the folders.
    """
    root = folder / "mine"
    for number in range(sentences):
        name = f"{number:03d} (take {number % 2})"
        write(root / "bonafide" / f"speaker {number % 4}" / f"{name}.flac", number)
        write(root / "spoof" / "my vocoder" / "best" / f"{name}.WAV", 100 + number, rate=22_050)
        write(root / "spoof" / f"{name}.ogg", 200 + number)
    make_fakeavceleb.write(root / "spoof" / "lips" / "film.mp4", noise(300))
    files = sorted(path.relative_to(root) for path in root.rglob("*.*"))
    with (root / "mine.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["path", "label"], *([path.as_posix(), path.parts[0]] for path in files)])
    write(root / "bonafide" / ".hidden.wav", 0)
    (root / "spoof" / "notes.txt").write_text("No recording.", encoding="utf-8")
    return {"root": root, "manifest": root / "mine.csv"}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
