"""ASVspoof 2019, logical access: 19 attacks on the voices of VCTK (Wang et al., Computer Speech & Language 64, 2020).

`LA/` holds a folder of FLAC files for each split and, apart, the protocols: speaker, utterance, a field that logical
access does not use, system and key, parted by blanks.
"""

from __future__ import annotations

from typing import ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora.asvspoof import named, odd_attacks, verdicts
from deepfake_lab.data.lists import read_list
from deepfake_lab.data.manifest import Finding
from deepfake_lab.data.release import Parsed, Release, table_of
from deepfake_lab.types import Split

SEEN: Final = tuple(f"A{number:02d}" for number in range(1, 7))
UNSEEN: Final = tuple(f"A{number:02d}" for number in range(7, 20))
"""Systems of the evaluation; A16 and A19 are A04 and A06 again, trained on other data."""
LISTS: Final[dict[Split, tuple[str, str, tuple[str, ...]]]] = {
    "train": ("train", "train.trn", SEEN),
    "dev": ("dev", "dev.trl", SEEN),
    "test": ("eval", "eval.trl", UNSEEN),
}
"""By split: the word for it in names of folders, in names of lists, and its systems."""


class ASVspoof2019LA(Release):
    """ASVspoof 2019, logical access.

    A group is a speaker: the lists do not say which sentence is spoken, the splits share no speaker, and all that a
    voice says, and all that is made of it, goes wrong together.
    """

    name = "asvspoof2019_la"
    sources = ("vctk",)
    layout = ("ASVspoof2019_LA_cm_protocols",)
    published: ClassVar = {"train": (2_580, 22_800), "dev": (2_548, 22_296), "test": (7_355, 63_882)}
    rates = frozenset({16_000})

    def parse(self) -> Parsed:
        """Reads the three protocols; see `Release.parse`."""
        parts = [self._read(split) for split in LISTS]
        return Parsed(
            pa.concat_tables([table for table, _ in parts]), [found for _, findings in parts for found in findings]
        )

    def _read(self, split: Split) -> tuple[pa.Table, list[Finding]]:
        word, ending, attacks = LISTS[split]
        path = self.root / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{ending}.txt"
        rows = read_list(path, ("speaker", "file", "unused", "attack", "key"))
        folder = f"ASVspoof2019_LA_{word}/flac/"
        speaker = named("vctk", rows["speaker"])
        table = table_of(
            len(rows),
            key=named(self.name, rows["file"], "-"),
            path=pc.binary_join_element_wise(folder, rows["file"], ".flac", ""),
            **verdicts(rows, self.name, path),
            speaker=speaker,
            group=speaker,
            language="en",
            split=split,
            corpus=self.name,
        )
        return table, list(odd_attacks(rows, attacks, split))
