"""Makes a tiny ASVspoof 5, laid out like the release, or its evaluation protocol in full size.

python tests/data/make_asvspoof5.py FOLDER [--full]
"""

import sys
from itertools import count
from pathlib import Path

import numpy as np

FULL_SIZE = (138_688, 542_086)
"""Bona fide and spoofed trials of the evaluation."""
SPEAKERS = 737
FOLDERS = {"T": "flac_T", "D": "flac_D", "E": "flac_E_eval"}
LISTS = {"T": "ASVspoof5.train.tsv", "D": "ASVspoof5.dev.track_1.tsv", "E": "ASVspoof5.eval.track_1.tsv"}
ATTACKS = {"T": ("A01", "A05", "A08"), "D": ("A09", "A11", "A16"), "E": ("A17", "A26", "A32")}


def make(folder: Path) -> dict[str, Path]:
    """Makes `folder/ASVspoof5`, 80 utterances; returns the settings that find it."""
    root = folder / "ASVspoof5"
    protocols = root / "ASVspoof5_protocols"
    protocols.mkdir(parents=True)
    lines = {"T": originals("T", 24), "D": originals("D", 24), "E": [*originals("E", 24), *copies()]}
    for part, rows in lines.items():
        (protocols / LISTS[part]).write_text("".join(f"{row}\n" for row in rows))
        write_audio(root / FOLDERS[part], [row.split(" ")[1] for row in rows])
    write_what_is_not_track_1(root, protocols)
    return {"root": root}


def originals(part: str, number: int) -> list[str]:
    """Lines of utterances of four speakers, half of them fakes; the evaluation gives them a codec quality, 0."""
    quality = "0" if part == "E" else "-"
    lines = []
    for n in range(number):
        voice = f"{part}_{4850 + n % 4} {part}_{n:010d} {'FM'[n % 2]} - {quality} -"
        real = n % 4 in (1, 2)
        lines.append(
            f"{voice} - bonafide bonafide -" if real else f"{voice} AC{n % 3 + 1} {ATTACKS[part][n % 3]} spoof -"
        )
    return lines


def copies() -> list[str]:
    """Lines of coded copies of the first two utterances of the evaluation, a fake and a real one."""
    numbers = count(100)
    return [
        f"E_{4850 + n} E_{next(numbers):010d} {'FM'[n]} {codec} {quality} E_{n:010d} {rest}"
        for n, rest in ((0, "AC1 A17 spoof -"), (1, "- bonafide bonafide -"))
        for codec, quality in (("C01", 1), ("C05", 2), ("C07", 5), ("C11", 8))
    ]


def write_audio(folder: Path, names: list[str]) -> None:
    """A clip of noise for each name."""
    from signals import write  # here, so that the protocol alone is made without audio libraries

    for number, name in enumerate(names):
        write(folder / f"{name}.flac", 1000 * ord(name[0]) + number, samples=1600)


def write_what_is_not_track_1(root: Path, protocols: Path) -> None:
    """Track 2 shares folders with Track 1; its enrolment files are listed elsewhere (here they do not even decode)."""
    (root / "flac_D" / "D_0000009999.flac").write_bytes(b"enrolment")
    (root / "flac_E_eval" / "E_0000009999.flac").write_bytes(b"enrolment")
    for part, word in (("D", "dev"), ("E", "eval")):
        (protocols / f"ASVspoof5.{word}.track_2.enroll.tsv").write_text(f"{part}_4850 {part}_0000009999\n")
        (protocols / f"ASVspoof5.{word}.track_2.trial.tsv").write_text(
            f"{part}_4850 {part}_0000000000 spoof nontarget\n"
        )
    (protocols / "ASVspoof5.codec.config.csv").write_text("codec,quality,bitrate\nC01,1,6\n")


def make_full(folder: Path) -> dict[str, Path]:
    """Makes the evaluation protocol with all its 680,774 lines and an empty folder for its audio.

    A quarter of the lines are originals, the others coded copies of these; within a class, speakers, attacks, codecs
    and qualities are equally frequent.
    """
    root = folder / "ASVspoof5"
    (root / "flac_E_eval").mkdir(parents=True)
    rng = np.random.default_rng(5)
    ids = iter(rng.permutation(sum(FULL_SIZE)).tolist())
    lines = [line for label, number in enumerate(FULL_SIZE) for line in full_lines(rng, ids, number, spoof=bool(label))]
    rng.shuffle(lines)
    (root / LISTS["E"]).write_text("\n".join(lines) + "\n")
    return {"root": root}


def full_lines(rng, ids, number, *, spoof):
    """As many lines of one class, with file numbers from `ids`."""
    sources = []
    for _, speaker, attack, adapted in zip(range(number // 4), *draws(rng, number // 4, SPEAKERS, 16, 4), strict=True):
        verdict = f"{f'AC{adapted}' if adapted else '-'} A{17 + attack} spoof" if spoof else "- bonafide bonafide"
        sources.append((f"E_{speaker:04d}", f"E_{next(ids):010d}", "FM"[speaker % 2], verdict))
    for speaker, file, gender, verdict in sources:
        yield f"{speaker} {file} {gender} - 0 - {verdict} -"
    left = number - number // 4
    for source, codec, quality in zip(*draws(rng, left, len(sources), 11, 40), strict=True):
        speaker, file, gender, verdict = sources[source]
        coded = f"C{codec + 1:02d} {quality % (8 if codec == 10 else 5) + 1} {file}"
        yield f"{speaker} E_{next(ids):010d} {gender} {coded} {verdict} -"


def draws(rng, number, *ends):
    """For each end, as many whole numbers below it."""
    return [rng.integers(end, size=number).tolist() for end in ends]


if __name__ == "__main__":
    print((make_full if "--full" in sys.argv else make)(Path(sys.argv[1])))
