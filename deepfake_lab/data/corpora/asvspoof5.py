"""ASVspoof 5, Track 1: crowd-sourced English read speech and 32 attacks on it (Wang et al., arXiv 2408.08739).

The protocols have ten fields: speaker, file, gender, codec, its quality, the uncoded original, how the attack adapts
to detectors (not in the manifest: it is no codec), attack, key, and one without use. Lists of the challenge's own time
have six (without quality, original and adaptation) or one (the file alone). All are parted by blanks, also in *.tsv.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora.asvspoof import named, odd_attacks, unknown, verdicts
from deepfake_lab.data.lists import first_line, read_list, wrong_fields
from deepfake_lab.data.manifest import UNKNOWN, Finding
from deepfake_lab.data.release import Parsed, Release, table_of
from deepfake_lab.types import LabError, Split

FULL: Final = ("speaker", "file", "gender", "codec", "quality", "original", "adaptation", "attack", "key", "unused")
FIELDS: Final = {10: FULL, 6: ("speaker", "file", "gender", "codec", "attack", "key"), 1: ("file",)}
"""Names of a list's fields, by their number; the better list comes first."""
CODECS: Final = (UNKNOWN, *(f"C{number:02d}" for number in range(1, 12)))


class Part(NamedTuple):
    """Where a split lies: the word for it in the names of lists, its folders, the official list, its attacks."""

    word: str
    folders: tuple[str, ...]
    official: str
    attacks: tuple[str, ...]


def _attacks(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"A{number:02d}" for number in range(first, last + 1))


PARTS: Final[dict[Split, Part]] = {
    "train": Part("train", ("flac_T",), "ASVspoof5.train.tsv", _attacks(1, 8)),
    "dev": Part("dev", ("flac_D",), "ASVspoof5.dev.track_1.tsv", _attacks(9, 16)),
    "test": Part("eval", ("flac_E_eval", "flac_E"), "ASVspoof5.eval.track_1.tsv", _attacks(17, 32)),
}


class ASVspoof5(Release):
    """ASVspoof 5, Track 1, as far as it has been downloaded: a split without its folder or its list is left out.

    A group is a family: an original and its coded copies, which say the same thing in the same voice.
    """

    name = "asvspoof5"
    sources = ("mls",)
    layout = ("flac_T", "flac_D", "flac_E_eval", "flac_E")
    published: ClassVar = {"train": (18_797, 163_560), "dev": (31_334, 109_616), "test": (138_688, 542_086)}
    rates = frozenset({16_000})

    def parse(self) -> Parsed:
        """Reads the best list of each split; see `Release.parse`."""
        tables: list[pa.Table] = []
        findings: list[Finding] = []
        for split, part in PARTS.items():
            folder = next((name for name in part.folders if (self.root / name).is_dir()), None)
            lists = self._lists(part.word)
            if folder is None or not lists:
                lacking = f"no folder {' or '.join(part.folders)}" if folder is None else f"no list {part.official}"
                findings.append(Finding("absent", f"{split}: left out, since there is {lacking}"))
                continue
            rows, found = self._read(split, lists[0], folder)
            tables.append(rows)
            findings += found
        if not tables:
            raise LabError(
                f"data.root={self.root}: no split is complete ({'; '.join(found.text for found in findings)}). "
                "Unpack ASVspoof5_protocols.tar.gz and the flac_*.tar of at least one split there."
            )
        return Parsed(pa.concat_tables(tables), findings)

    def _lists(self, word: str) -> list[Path]:
        """Lists of a split, the best one first: by number of fields, then by name. Those of Track 2 are not meant."""
        found = [
            path
            for folder in (self.root, self.root / "ASVspoof5_protocols")
            for ending in ("tsv", "txt")
            for path in folder.glob(f"ASVspoof5.*{word}*.{ending}")
            if "track_2" not in path.name
        ]
        return sorted(found, key=lambda path: (list(FIELDS).index(_number_of_fields(path)), path.name))

    def _read(self, split: Split, path: Path, folder: str) -> tuple[pa.Table, list[Finding]]:
        """Rows of one split."""
        part, number = PARTS[split], _number_of_fields(path)
        if number == 1:
            raise LabError(
                f"{path}: names files but holds no keys, so that nothing can be measured with it. Put {part.official} "
                "(in ASVspoof5_protocols.tar.gz) beside it, or move it away to go without this split."
            )
        rows = read_list(path, FIELDS[number])
        original = rows["original"] if number == len(FULL) else pa.chunked_array([pa.repeat(UNKNOWN, len(rows))])
        table = table_of(
            len(rows),
            key=named(self.name, rows["file"], "-"),
            path=pc.binary_join_element_wise(folder + "/", rows["file"], ".flac", ""),
            **verdicts(rows, self.name, path),
            codec=rows["codec"],
            speaker=named("mls", rows["speaker"]),
            group=named("mls", pc.if_else(pc.equal(original, UNKNOWN), rows["file"], original)),
            gender=rows["gender"],
            language="en",
            split=split,
            corpus=self.name,
        )
        return table, list(_remarks(rows, split, path))


def _remarks(rows: pa.Table, split: Split, path: Path) -> Iterator[Finding]:
    """What a reader of the results must know of a list."""
    yield from odd_attacks(rows, PARTS[split].attacks, split)
    yield from unknown(rows["codec"], CODECS, "codec", split)
    if split == "test" and "original" not in rows.column_names:
        text = f"{path.name} does not tell coded copies from originals: intervals take them for independent"
        yield Finding("no_families", text)


def _number_of_fields(path: Path) -> int:
    line = first_line(path)
    number = len(line.split(" "))
    if number not in FIELDS:
        raise wrong_fields(path, line, number, list(FIELDS))
    return number
