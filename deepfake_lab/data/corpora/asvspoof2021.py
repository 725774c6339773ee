"""ASVspoof 2021, logical access and deepfake: attacks as telephones and the web hand them on (Liu et al., TASLP 2023).

Both are for evaluation alone. The audio comes without keys; those are another download, one line a trial, parted by
blanks: speaker, file, codec, then the transmission (LA) or the data set it is from (DF), attack, key, whether silence
was trimmed, subset. DF goes on with vocoder, task, team, genders and language.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora.asvspoof import named, odd_attacks, unknown, verdicts
from deepfake_lab.data.corpora.asvspoof2019 import UNSEEN
from deepfake_lab.data.download import OnError
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.lists import read_list, translate
from deepfake_lab.data.manifest import UNKNOWN, Finding
from deepfake_lab.data.release import Parsed, Release, table_of
from deepfake_lab.types import LabError, Split

Subset = Literal["eval", "progress", "hidden", "all"]
"""Trials of the evaluation phase (published numbers are of these), of the phase before, of the hidden track, or all."""

KEYS_FILE: Final = "CM/trial_metadata.txt"
SHARED: Final = ("attack", "key", "trimmed", "subset")
COLLECTIONS: Final = {"asvspoof": "vctk", "vcc2018": "vcc2018", "vcc2020": "vcc2020"}
"""Origin of the recordings, by the data set that DF took them from."""


class _ASVspoof2021(Release):
    """One track of ASVspoof 2021, a test split alone.

    A group is a speaker: the keys do not say which trials are copies of one recording, and the copies share their
    speaker at least.

    Args:
        root: folder that holds `ASVspoof2021_{LA,DF}_eval`; never written to.
        work: see `Release`.
        keys: folder of the keys, where they are neither in `root` nor inside `ASVspoof2021_{LA,DF}_eval`.
        subset: trials to take.
        check: see `Release`.
        on_error: see `Release`.
        workers: see `Release`.
        shuffle_labels: see `Corpus`.
    """

    track: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    language: ClassVar[str] = UNKNOWN
    rates = frozenset({16_000})

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        keys: str | Path | None = None,
        subset: Subset = "eval",
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, work, check=check, on_error=on_error, workers=workers, shuffle_labels=shuffle_labels)
        self.keys = None if keys is None else Path(keys)
        self.subset = subset

    @property
    def settings(self) -> dict[str, object]:
        """What the manifest depends on."""
        return {**super().settings, "keys": self.keys and str(self.keys.resolve()), "subset": self.subset}

    def expected(self) -> Mapping[Split, tuple[int, int]]:
        """The published counts, which are those of the evaluation phase."""
        return self.published if self.subset == "eval" else {}

    def parse(self) -> Parsed:
        """Reads the keys and takes a subset; see `Release.parse`."""
        path = self._keys_file()
        listed = read_list(path, self.columns)
        rows, chosen = self._chosen(listed, path)
        speaker = self.speakers(rows, path)
        folder = f"ASVspoof2021_{self.track}_eval/flac/"
        table = table_of(
            len(rows),
            key=named(self.name, rows["file"], "-"),
            path=pc.binary_join_element_wise(folder, rows["file"], ".flac", ""),
            **verdicts(rows, self.name, path),
            codec=self.codecs(rows),
            speaker=speaker,
            group=speaker,
            language=self.language,
            split="test",
            corpus=self.name,
        )
        return Parsed(table, [chosen, *self.remarks(rows)])

    @abstractmethod
    def speakers(self, rows: pa.Table, path: Path) -> pa.ChunkedArray:
        """Names of the speakers, with the collections that they come from."""

    @abstractmethod
    def codecs(self, rows: pa.Table) -> pa.ChunkedArray:
        """What each trial went through."""

    @abstractmethod
    def remarks(self, rows: pa.Table) -> Iterator[Finding]:
        """What the corpus's description does not tell."""

    def _keys_file(self) -> Path:
        """The list of keys, wherever it was unpacked.

        Raises:
            LabError: it is nowhere.
        """
        places = [self.root, self.root / f"ASVspoof2021_{self.track}_eval"] if self.keys is None else [self.keys]
        ways = ("keys", ".", "..", f"{self.track}-keys-full/keys")
        files = [place / way / self.track / KEYS_FILE for place in places for way in ways]
        for file in files:
            if file.is_file():
                return file
        raise LabError(
            f"{' and '.join(map(str, places))}: no keys/{self.track}/{KEYS_FILE}. The audio comes without keys: unpack "
            f"{self.track}-keys-full.tar.gz (from www.asvspoof.org) there, or name its folder keys by data.keys=DIR."
        )

    def _chosen(self, listed: pa.Table, path: Path) -> tuple[pa.Table, Finding]:
        """The trials of the subset, and the note that it is one.

        Raises:
            LabError: there is none.
        """
        rows = listed if self.subset == "all" else listed.filter(pc.equal(listed["subset"], self.subset))
        if not len(rows):
            there = ", ".join(sorted(pc.unique(listed["subset"]).to_pylist()))
            raise LabError(f"{path}: no trial of data.subset={self.subset}. It has {there}; all takes every trial.")
        text = f"subset {self.subset}: {len(rows):,} of {len(listed):,} trials"
        return rows, Finding("subset", text, len(rows))


class ASVspoof2021LA(_ASVspoof2021):
    """Logical access: speech of the 2019 evaluation and its attacks, sent through telephone networks."""

    name = "asvspoof2021_la"
    sources = ("vctk",)
    layout = ("ASVspoof2021_LA_eval/flac",)
    published: ClassVar = {"test": (14_816, 133_360)}
    track = "LA"
    columns = ("speaker", "file", "codec", "transmission", *SHARED)
    language = "en"

    def speakers(self, rows: pa.Table, path: Path) -> pa.ChunkedArray:
        """Speakers of VCTK, by the names that the 2019 corpus gave them."""
        return named("vctk", rows["speaker"])

    def codecs(self, rows: pa.Table) -> pa.ChunkedArray:
        """Codec and line, such as "alaw-ita_tx"."""
        sent = pc.binary_join_element_wise(rows["codec"], rows["transmission"], "-")
        return pc.if_else(pc.equal(rows["transmission"], UNKNOWN), rows["codec"], sent)

    def remarks(self, rows: pa.Table) -> Iterator[Finding]:
        """Other attacks and codecs than the description's."""
        yield from odd_attacks(rows, UNSEEN, "test")
        yield from unknown(rows["codec"], ("none", "alaw", "ulaw", "g722", "gsm", "opus", "pstn"), "codec", "test")


class ASVspoof2021DF(_ASVspoof2021):
    """Deepfake: the 2019 evaluation and two voice conversion challenges after lossy compression."""

    name = "asvspoof2021_df"
    sources = tuple(COLLECTIONS.values())
    layout = ("ASVspoof2021_DF_eval/flac",)
    published: ClassVar = {"test": (14_869, 519_059)}
    track = "DF"
    columns = ("speaker", "file", "codec", "source", *SHARED, "vocoder", "task", "team", "genders", "language")

    def speakers(self, rows: pa.Table, path: Path) -> pa.ChunkedArray:
        """Speakers of the three data sets."""
        return pc.binary_join_element_wise(translate(rows["source"], COLLECTIONS, path), rows["speaker"], "/")

    def codecs(self, rows: pa.Table) -> pa.ChunkedArray:
        """Compression, such as "low_mp3" or "mp3m4a" (one after the other)."""
        return rows["codec"]

    def remarks(self, rows: pa.Table) -> Iterator[Finding]:
        """Other attacks (those of the voice conversion challenges are named by team, freely) and codecs."""
        yield from odd_attacks(rows.filter(pc.equal(rows["source"], "asvspoof")), UNSEEN, "test")
        lossy = [f"{rate}_{kind}" for rate in ("low", "high") for kind in ("mp3", "m4a", "ogg")]
        yield from unknown(rows["codec"], ("nocodec", *lossy, "mp3m4a", "oggm4a"), "codec", "test")
