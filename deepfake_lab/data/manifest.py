"""A corpus is a manifest: one row an utterance, columns as in `SCHEMA`, stored as parquet.

The table stays in Arrow memory from disk to data loader, so that a row costs no Python object.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

from deepfake_lab.data.files import whole
from deepfake_lab.data.spans import SPANS_FORM, are_spans
from deepfake_lab.data.tables import read_parquet
from deepfake_lab.types import BONAFIDE, LABEL_NAMES, SPLITS, SPOOF, LabError, Split

SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # unique name of the utterance (the trial)
        ("path", pa.string()),  # audio file, relative to the corpus root, with forward slashes
        ("start", pa.int64()),  # first sample of the utterance in the file, at the file's own rate
        ("frames", pa.int64()),  # length in samples at the file's own rate
        ("sample_rate", pa.int32()),  # of the file, in Hz
        ("channels", pa.int16()),
        ("speech_start", pa.int64()),  # where the sound begins after a quiet edge: a sample of the file
        ("speech_frames", pa.int64()),  # length from there to the quiet edge at the end
        ("audio_hash", pa.string()),  # of the decoded samples: equal audio, equal hash; "-" where nobody has listened
        ("label", pa.int8()),  # 0 = bona fide, 1 = spoof
        ("attack", pa.string()),  # "bonafide", or the synthesis system as "corpus/name"
        ("codec", pa.string()),  # "-" where nothing is known
        ("speaker", pa.string()),  # "collection/name", alike in every corpus made of that collection
        ("group", pa.string()),  # what must not cross splits (sentence, recording, identity); named likewise
        ("gender", pa.string()),
        ("language", pa.string()),
        ("split", pa.string()),  # train | dev | test
        ("corpus", pa.string()),
        ("spoof_spans", pa.string()),  # what of a partial spoof is fake: see `data.spans`; "-": all that the label says
    ]
)
NO_ATTACK = "bonafide"
UNKNOWN = "-"
_REBUILD = "Rebuild it: prepare with force=true."
_STRANGE_PATH = r"^/|^$|(^|/)\.\.(/|$)|[\x00-\x1f\x7f]"
_FINDINGS = b"deepfake_lab.findings"
_CHECKSUM = b"deepfake_lab.checksum"


class Finding(NamedTuple):
    """Something true of a corpus that a reader of the results must know.

    Attributes:
        code: for tags and metric names.
        text: for people.
        number: of what is counted, such as skipped files; 0 where nothing is.
    """

    code: str
    text: str
    number: int = 0


@dataclass(frozen=True)
class Listing:
    """Stretches of audio files, a row each, in the columns that a subclass names.

    Attributes:
        table: rows in the columns of `schema`.
        root: folder that the paths are relative to.
        source: where the rows came from, for messages.
        findings: what was noticed while they were prepared; stored with the rows.
    """

    schema: ClassVar[pa.Schema]
    optional: ClassVar[tuple[str, ...]] = ()  # text columns, the last ones, which older files need not have

    table: pa.Table
    root: Path
    source: str
    findings: Sequence[Finding] = ()

    @classmethod
    def read(cls, path: Path, root: Path) -> Self:
        """Reads what `write` has written and validates it.

        Raises:
            LabError: the file is not such a table, or its rows contradict each other.
        """
        try:
            table = read_parquet(path)
            for name in cls.optional:
                if name not in table.column_names:
                    table = table.append_column(name, pa.array([UNKNOWN] * len(table), pa.string()))
            if table.schema.names != cls.schema.names:
                raise LabError(f"{path}: columns {table.schema.names}, expected {cls.schema.names}. {_REBUILD}")
            told = table.schema.metadata or {}
            noted = json.loads(told.get(_FINDINGS, b"[]"))
            listing = cls(table.cast(cls.schema), root, str(path), tuple(Finding(*note) for note in noted))
        except (OSError, pa.ArrowException, ValueError, TypeError) as error:
            raise LabError(f"{path}: not a readable manifest ({error}). {_REBUILD}") from error
        # a file from before there were checksums has none; one whose directory is damaged may seem to have none
        if told.get(_CHECKSUM) != listing._checksum and (_CHECKSUM in told or _CHECKSUM in path.read_bytes()):
            raise LabError(f"{path}: damaged: its rows are not those that were written. {_REBUILD}")
        listing.validate()
        return listing

    def write(self, path: Path) -> None:
        """Writes the table atomically: a reader sees the old file or the whole new one.

        Raises:
            LabError: the disk is full or does not let itself be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as partial:
                noted = {_FINDINGS: json.dumps(self.findings), _CHECKSUM: self._checksum}
                pq.write_table(self.table.replace_schema_metadata(noted), partial, write_page_checksum=True)
        except OSError as error:
            raise LabError(f"{path}: cannot be written ({error}). Make room, or name another folder.") from error

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def split(self, name: Split) -> Self:
        """Rows of one split, in manifest order."""
        return replace(self, table=self.table.filter(pc.equal(self.table["split"], name)))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the rows (not of the file that holds them), in hexadecimal."""
        rows = pa.BufferOutputStream()
        silent = [name for name in self.optional if not pc.any(pc.not_equal(self.table[name], UNKNOWN)).as_py()]
        table = self.table.drop_columns(silent)
        csv.write_csv(table, rows)  # the values alone, however Arrow has laid them out in memory
        return hashlib.sha256(rows.getvalue()).hexdigest()

    @property
    def _checksum(self) -> bytes:
        """SHA-256 of the rows and of what was noticed of them; a file's own checksums leave out its directory."""
        return hashlib.sha256(f"{self.digest} {json.dumps(self.findings)}".encode()).hexdigest().encode()

    def validate(self) -> None:
        """Checks each column's values and the keys.

        Raises:
            LabError: naming the first offending rows.
        """
        for name in self.schema.names:
            self._refuse(pc.is_null(self.table[name]), f"no value for '{name}'")
        check_paths(self.table["path"], self.source)
        self._refuse(
            pc.invert(pc.is_in(self.table["split"], pa.array(SPLITS))), f"split is not one of {', '.join(SPLITS)}"
        )
        for name in ("frames", "sample_rate", "channels"):
            self._refuse(pc.less_equal(self.table[name], 0), f"'{name}' is not positive")
        self._refuse(pc.less(self.table["start"], 0), "'start' is negative")
        keys = self.table.group_by("key").aggregate([([], "count_all")])
        twice = keys.filter(pc.greater(keys["count_all"], 1))["key"].to_pylist()
        if twice:
            such = ", ".join(twice[:3])
            raise LabError(f"{self.source}: {len(twice)} duplicate keys, such as {such}. Keep one row for each.")

    def _refuse(self, bad: pa.ChunkedArray, why: str) -> None:
        keys = self.table.filter(pc.fill_null(bad, True))["key"].to_pylist()
        if keys:
            such = ", ".join(map(str, keys[:3]))
            raise LabError(f"{self.source}: {why} in {len(keys)} rows, such as {such}. Mend the rows. {_REBUILD}")


def check_paths(paths: pa.ChunkedArray, source: object) -> None:
    """Checks that paths stay below the folder that they are relative to: a list must not open other files of a machine.

    Raises:
        LabError: one is absolute, climbs by "..", or has a character that ends or hides a name.
    """
    strange = pc.match_substring_regex(paths, _STRANGE_PATH)
    if (row := pc.index(strange, True).as_py()) >= 0:
        such = paths[row].as_py()
        raise LabError(
            f"{source}: the path {such!r:.200} leads out of the root or holds control characters. Mend the list, or "
            "name a folder above all files: data.root=DIR."
        )


@dataclass(frozen=True)
class Manifest(Listing):
    """Utterances of a corpus, or of one split of it."""

    schema = SCHEMA
    optional = ("spoof_spans",)

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, object]], root: Path, source: str) -> Manifest:
        """Builds a manifest from one mapping a row.

        Absent text columns become "-", an absent `start` 0, and absent speech fills the utterance.
        """
        texts = ("codec", "speaker", "gender", "language", "audio_hash", "spoof_spans")
        unknown: dict[str, object] = {**dict.fromkeys(texts, UNKNOWN), "start": 0}
        complete = [{**unknown, **row} for row in rows]
        for row in complete:
            row.setdefault("speech_start", row["start"])
            row.setdefault("speech_frames", row["frames"])
        return cls(pa.Table.from_pylist(complete, schema=SCHEMA), root, source)

    def counts(self) -> dict[Split, tuple[int, int]]:
        """Numbers of (bona fide, spoof) utterances of each split."""
        tally = self.table.group_by(["split", "label"]).aggregate([([], "count_all")]).to_pylist()
        by_class = {(row["split"], row["label"]): row["count_all"] for row in tally}
        return {name: (by_class.get((name, BONAFIDE), 0), by_class.get((name, SPOOF), 0)) for name in SPLITS}

    def with_shuffled_labels(self, seed: int) -> Manifest:
        """The label-permutation control: (label, attack) pairs change places at random within each split.

        What of a partial spoof is fake is forgotten.
        """
        split = self.table["split"].to_numpy()
        order = np.arange(len(self))
        rng = np.random.default_rng(seed)
        for name in SPLITS:
            rows = np.flatnonzero(split == name)
            order[rows] = rng.permutation(rows)
        table = self.table
        for column in ("label", "attack"):
            moved = table[column].take(pa.array(order))
            table = table.set_column(SCHEMA.get_field_index(column), SCHEMA.field(column), moved)
        place = SCHEMA.get_field_index("spoof_spans")
        table = table.set_column(place, SCHEMA.field(place), pa.array([UNKNOWN] * len(self), pa.string()))
        return replace(self, table=table, source=f"{self.source} with shuffled labels")

    def validate(self) -> None:
        """Checks labels and attacks too; see `Listing.validate`."""
        super().validate()
        labels = pa.array([BONAFIDE, SPOOF], pa.int8())
        self._refuse(
            pc.invert(pc.is_in(self.table["label"], labels)),
            f"label is not 0 ({LABEL_NAMES[0]}) or 1 ({LABEL_NAMES[1]})",
        )
        bonafide = pc.equal(self.table["label"], BONAFIDE)
        self._refuse(
            pc.not_equal(bonafide, pc.equal(self.table["attack"], NO_ATTACK)), "label and attack contradict each other"
        )
        part = self.partial_spoofs()
        part._refuse(pc.equal(part.table["label"], BONAFIDE), "bona fide, and yet with 'spoof_spans',")
        seconds = pc.divide(part.table["frames"].cast(pa.float64()), part.table["sample_rate"])
        told = zip(part.table["spoof_spans"].to_pylist(), seconds.to_pylist(), strict=True)
        wrong = pa.array([not are_spans(text, duration_s) for text, duration_s in told], pa.bool_())
        part._refuse(pa.chunked_array([wrong]), f"'spoof_spans' are not {SPANS_FORM}")

    def partial_spoofs(self) -> Manifest:
        """Rows of real speech with stretches of fake in it, which are known."""
        return replace(self, table=self.table.filter(pc.not_equal(self.table["spoof_spans"], UNKNOWN)))
