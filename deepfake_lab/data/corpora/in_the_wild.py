"""In-the-Wild: 58 public figures, real and faked, collected from the web (Müller et al., Interspeech 2022).

`release_in_the_wild/` holds `meta.csv` (file, speaker, label) and the clips. For evaluation alone: nothing is trained
on it, and how its fakes were made is not known.
"""

from __future__ import annotations

from typing import ClassVar

import pyarrow.compute as pc

from deepfake_lab.data.lists import read_list, translate
from deepfake_lab.data.manifest import NO_ATTACK
from deepfake_lab.data.release import Parsed, Release, table_of
from deepfake_lab.types import BONAFIDE, SPOOF, LabError


class InTheWild(Release):
    """In-the-Wild, a test split alone; a group is a person, so that intervals speak of new people."""

    name = "in_the_wild"
    sources = ("in_the_wild",)
    layout = ("meta.csv",)
    published: ClassVar = {"test": (19_963, 11_816)}
    rates = frozenset({16_000})

    def parse(self) -> Parsed:
        """Reads `meta.csv`; see `Release.parse`."""
        path = self.root / "meta.csv"
        meta = read_list(path, delimiter=",", quoting=True)
        if missing := {"file", "speaker", "label"} - set(meta.column_names):
            raise LabError(f"{path}: no column {', '.join(sorted(missing))}. Is this the release's own meta.csv?")
        person = pc.binary_join_element_wise("in_the_wild", meta["speaker"], "/")
        rows = table_of(
            len(meta),
            key=pc.binary_join_element_wise("in_the_wild", pc.replace_substring(meta["file"], ".wav", ""), "-"),
            path=meta["file"],
            label=translate(meta["label"], {"bona-fide": BONAFIDE, "spoof": SPOOF}, path, first=2),
            attack=translate(meta["label"], {"bona-fide": NO_ATTACK, "spoof": f"{self.name}/unknown"}, path, first=2),
            speaker=person,
            group=person,
            language="en",
            split="test",
            corpus=self.name,
        )
        return Parsed(rows)
