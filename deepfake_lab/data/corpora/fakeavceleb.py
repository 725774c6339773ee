"""FakeAVCeleb v1.2: celebrities of VoxCeleb2 with changed faces, cloned voices, or both (Khalid et al., NeurIPS 2021).

`FakeAVCeleb_v1.2/` holds `meta_data.csv` and the videos, by what was changed in them:

* A, `RealVideo-RealAudio`, and C, `FakeVideo-RealAudio`: the voice is bona fide;
* B, `RealVideo-FakeAudio`, and D, `FakeVideo-FakeAudio`: SV2TTS speaks.

The fakes begin with a silence that alone tells them apart ("Circumventing shortcuts in audio-visual deepfake detection
datasets", arXiv 2412.00175): report results with and without `treatment.trim=true`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.download import OnError
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.lists import read_list, translate
from deepfake_lab.data.manifest import NO_ATTACK, Finding
from deepfake_lab.data.release import PARSED, Parsed, Release, table_of
from deepfake_lab.data.splits import SHARES, deal
from deepfake_lab.types import BONAFIDE, SPOOF, LabError, Split

Category = Literal["A", "B", "C", "D"]
CATEGORIES: Final[dict[Category, int]] = {"A": 500, "B": 500, "C": 9_709, "D": 10_835}
"""Videos of each category in the release."""

_LABELS = {
    "RealVideo-RealAudio": BONAFIDE,
    "RealVideo-FakeAudio": SPOOF,
    "FakeVideo-RealAudio": BONAFIDE,
    "FakeVideo-FakeAudio": SPOOF,
}
_NEEDED = ("source", "category", "type", "gender")
_PLACES = ("path", "filename", "")  # the column without a name follows the comma that ends the header


class FakeAVCeleb(Release):
    """The sound of FakeAVCeleb, split by identity.

    The videos of C and D reuse the sound of A and B, so that each sound is kept once: of the first category that has
    it, and there of the video that is listed first. That holds across identities too: the sound then counts for the
    identity that it is kept with, and no split hears what another has heard. A sound that is listed both as real and
    as cloned is left out altogether, since nobody can say which it is.

    Args:
        root: folder with `meta_data.csv`.
        work: see `Download`.
        categories: which of A, B, C, D to take.
        shares: of the identities that each split gets.
        seed: decides which identities.
        check: see `Download`; "header" finds no equal sound.
        on_error: see `Download`.
        workers: see `Download`.
        shuffle_labels: see `Corpus`.
    """

    name = "fakeavceleb"
    sources = ("voxceleb2",)
    layout = ("meta_data.csv",)

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        categories: Sequence[Category] = ("A", "B", "C", "D"),
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, work, check=check, on_error=on_error, workers=workers, shuffle_labels=shuffle_labels)
        self.categories = sorted(set(categories))
        self.shares = dict(shares)
        self.seed = seed

    @property
    def settings(self) -> dict[str, object]:
        """See `Download.settings`."""
        return {**super().settings, "categories": self.categories, "shares": self.shares, "seed": self.seed}

    def parse(self) -> Parsed:
        """Reads `meta_data.csv`; see `Release.parse`. Rows are ordered by category."""
        path = self.root / "meta_data.csv"
        meta = read_list(path, delimiter=",", quoting=True)
        if missing := set(_NEEDED) - set(meta.column_names):
            raise LabError(f"{path}: no column {', '.join(sorted(missing))}. Is this the release's own meta_data.csv?")
        if not len(meta):
            return Parsed(PARSED.empty_table())
        category = translate(meta["category"], {letter: letter for letter in CATEGORIES}, path, first=2)
        label = translate(meta["type"], _LABELS, path, first=2)
        person = pc.binary_join_element_wise("voxceleb2", meta["source"], "/")
        video = _videos(meta, path)
        rows = table_of(
            len(meta),
            key=pc.binary_join_element_wise(self.name, pc.replace_substring_regex(video, r"\.mp4$", ""), "-"),
            path=video,
            label=label,
            attack=pc.if_else(pc.equal(label, BONAFIDE), NO_ATTACK, f"{self.name}/sv2tts"),
            speaker=person,
            group=person,
            gender=pc.if_else(pc.equal(meta["gender"], "men"), "M", "F"),
            split=deal(person, self.shares, self.seed),
            corpus=self.name,
        )
        order = pc.sort_indices(category)
        rows, category = rows.take(order), category.take(order)
        chosen = pc.is_in(category, pa.array(self.categories))
        rows, category = rows.filter(chosen), category.filter(chosen)
        once = rows.take(_firsts(_numbered(rows).group_by(rows.column_names).aggregate([("row", "min")])))
        findings = list(self._counted(rows.append_column("category", category), once))
        return Parsed(once, findings)

    def _counted(self, listed: pa.Table, once: pa.Table) -> Iterator[Finding]:
        """Rows that occur twice, and categories that have grown or shrunk."""
        if again := len(listed) - len(once):
            yield Finding("duplicate_rows", f"{again:,} videos are listed twice; each was taken once", again)
        videos = listed.group_by("category").aggregate([("path", "count_distinct")]).to_pylist()
        found = {row["category"]: row["path_count_distinct"] for row in videos}
        for category, published in CATEGORIES.items():
            number = found.get(category, 0)
            if category in self.categories and number != published:
                yield Finding("counts", f"category {category}: {number:,} videos, {published:,} published")

    def select(self, table: pa.Table) -> tuple[pa.Table, Sequence[Finding]]:
        """Keeps each sound once; see the class."""
        if self.check == "header":
            text = "equal sound in several videos was not looked for: that needs data.check=full"
            return table, [Finding("not_deduplicated", text)]
        sounds = (
            _numbered(table)
            .group_by("audio_hash")
            .aggregate([("row", "min"), ("row", "count"), ("label", "count_distinct"), ("group", "count_distinct")])
        )
        torn = pc.greater(sounds["label_count_distinct"], 1)
        agreed, contradictory = sounds.filter(pc.invert(torn)), sounds.filter(torn)
        return table.take(_firsts(agreed)), list(_told(agreed, contradictory))


def _numbered(table: pa.Table) -> pa.Table:
    return table.append_column("row", pa.array(np.arange(len(table))))


def _firsts(grouped: pa.Table) -> pa.Array:
    """The first row of each group, in the order of the table that was grouped."""
    return pa.array(np.sort(grouped["row_min"].to_numpy()))


def _told(agreed: pa.Table, contradictory: pa.Table) -> Iterator[Finding]:
    """What was found out about sounds that occur in several videos, alike and unlike in label."""
    if copies := sum(agreed["row_count"].to_pylist()) - len(agreed):
        yield Finding("duplicate_audio", f"{copies:,} videos repeat the sound of another and were left out", copies)
    if shared := pc.sum(pc.greater(agreed["group_count_distinct"], 1)).as_py():
        text = f"{shared:,} sounds occur with several identities; each was kept with one"
        yield Finding("shared_audio", text, shared)
    if left_out := sum(contradictory["row_count"].to_pylist()):
        text = f"{left_out:,} videos were left out whose sound is listed both as real and as cloned"
        yield Finding("contradictory_audio", text, left_out)


def _videos(meta: pa.Table, path: Path) -> pa.ChunkedArray:
    """Paths below the root: of the two columns that tell them, the one whose fields end in .mp4 has the file names.

    What the folders begin with, `FakeAVCeleb/`, is not on disk.
    """
    places = [name for name in _PLACES if name in meta.column_names]
    if len(places) < 2:
        raise LabError(
            f"{path}: its header is {', '.join(meta.column_names)}; expected path and a comma at the end, or filename "
            "and path. Is this the release's own meta_data.csv?"
        )
    is_video = {name: pc.ends_with(meta[name], ".mp4") for name in places}
    file = max(places, key=lambda name: pc.sum(is_video[name]).as_py() or 0)
    folder = next(name for name in places if name != file)
    wrong = pc.index(is_video[file], False).as_py()
    if wrong >= 0:
        raise LabError(f"{path}, line {wrong + 2}: {meta[file][wrong].as_py()!r} is no .mp4 file. Mend the line.")
    below = pc.replace_substring_regex(meta[folder], "^.*?((?:Real|Fake)Video-)", r"\1")
    return pc.binary_join_element_wise(pc.utf8_rtrim(below, "/"), meta[file], "/")
