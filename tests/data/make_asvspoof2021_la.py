"""Makes a tiny ASVspoof 2021 LA, laid out like the release, with its keys.

python tests/data/make_asvspoof2021_la.py FOLDER
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from signals import noise, write

LINES = ("none -", "alaw ita_tx", "pstn mad_tx", "g722 loc_tx", "ulaw sin_tx", "gsm ita_tx", "opus loc_tx")
SUBSETS = ["notrim eval"] * 40 + ["notrim progress"] * 10 + ["trim hidden"] * 10
ODD = 5
"""Number of the utterance that libsndfile does not read."""


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/ASVspoof2021` with 60 utterances, 40 of them of the evaluation; returns what finds it."""
    return lay_out(folder, "LA", map(line, range(len(SUBSETS))))


def line(number: int) -> str:
    """One trial: speaker, file, codec, transmission, attack, key, trimming, subset."""
    verdict = f"A{7 + number % 13:02d} spoof" if number % 2 else "bonafide bonafide"
    return f"LA_{39 + number % 3:04d} LA_E_{9332881 + number} {LINES[number % 7]} {verdict} {SUBSETS[number]}"


def lay_out(folder: Path, track: str, lines: Iterable[str]) -> dict[str, Path]:
    """Audio in `ASVspoof2021_{track}_eval`, keys beside it."""
    root = folder / "ASVspoof2021"
    flac = root / f"ASVspoof2021_{track}_eval" / "flac"
    keys = root / "keys" / track / "CM"
    keys.mkdir(parents=True)
    listed = list(lines)
    (keys / "trial_metadata.txt").write_text("".join(f"{one}\n" for one in listed))
    names = [one.split(" ")[1] for one in listed]
    for number, name in enumerate(names):
        if number == ODD:
            write_odd(flac / f"{name}.flac", number)
        else:
            write(flac / f"{name}.flac", number, samples=1600)
    listed_without_keys = flac.parent / f"ASVspoof2021.{track}.cm.eval.trl.txt"
    listed_without_keys.write_text("".join(f"{name}\n" for name in names))
    return {"root": root}


def write_odd(path: Path, seed: int) -> None:
    """Writes noise as FFmpeg does in an Ogg container called .flac: PyAV reads it, libsndfile does not."""
    steps = np.rint(noise(seed, 1600) * 32767).astype(np.int16)
    with av.open(str(path), "w", format="ogg") as file:
        stream = file.add_stream("flac", rate=16_000)
        stream.layout, stream.format = "mono", "s16"
        frame = av.AudioFrame.from_ndarray(steps[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
