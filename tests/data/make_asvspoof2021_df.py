"""Makes a tiny ASVspoof 2021 DF, laid out like the release, with its keys.

python tests/data/make_asvspoof2021_df.py FOLDER
"""

import sys
from pathlib import Path

from make_asvspoof2021_la import lay_out

CODECS = ("nocodec", "low_mp3", "high_mp3", "low_m4a", "high_m4a", "low_ogg", "high_ogg", "mp3m4a", "oggm4a")
SOURCES = (("asvspoof", "LA_0023", "A14"), ("vcc2018", "VCC2TF1", "N03"), ("vcc2020", "TEF2", "Task1-team20"))
"""Data set, speaker and attack as the keys name them."""


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/ASVspoof2021` with 40 utterances, 30 of them of the evaluation; returns what finds it."""
    return lay_out(folder, "DF", map(line, range(40)))


def line(number: int) -> str:
    """One trial: speaker, file, codec, data set, attack, key, trimming, subset, vocoder and the fields of VCC."""
    source, speaker, attack = SOURCES[number % 3]
    spoof = number % 2
    verdict = f"{attack} spoof" if spoof else "- bonafide"
    subset = "eval" if number < 30 else "progress"
    made = "traditional_vocoder" if spoof else "bonafide"
    more = "Task1 team20 FF E" if source == "vcc2020" and spoof else "- - - -"
    name = f"DF_E_{2000011 + number}"
    return f"{speaker} {name} {CODECS[number % 9]} {source} {verdict} notrim {subset} {made} {more}"


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
