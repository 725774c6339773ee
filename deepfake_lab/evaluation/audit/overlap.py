"""What occurs on both sides of a boundary that nothing should cross: between splits, and between two corpora."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.manifest import UNKNOWN, Manifest
from deepfake_lab.evaluation.audit.verdict import PURPOSES, Concern, Purpose
from deepfake_lab.types import SPLITS, Split

COMPARED: Final = {
    "speaker": "speakers",
    "group": "groups",
    "audio_hash": "identical recordings",
}
"""Columns of the manifest that are compared, and what people call their values."""
_SPLIT: Final[dict[Purpose, Split]] = {"training": "train", "evaluation": "test"}
_SHOWN: Final = 3


class Overlap(NamedTuple):
    """Values of a column on both sides of a boundary.

    Attributes:
        column: one of `COMPARED`.
        here: name of one side, such as "train".
        there: name of the other, such as "test" or "wavefake/test".
        shared: number of values on both sides.
        utterances: number of utterances there that have such a value.
        total: number of utterances there.
        examples: the first few values.
        known: whether both sides give the column at all; if not, nothing can be said.
    """

    column: str
    here: str
    there: str
    shared: int
    utterances: int
    total: int
    examples: tuple[str, ...]
    known: bool

    @property
    def text(self) -> str:
        """The overlap as a clause."""
        such = ", ".join(self.examples)
        return (
            f"{self.shared:,} {COMPARED[self.column]} occur in {self.here} and in {self.there}, "
            f"where they make {self.utterances:,} of {self.total:,} utterances (such as {such})"
        )


def between_splits(manifest: Manifest) -> list[Overlap]:
    """Overlaps of every two splits of a corpus that hold utterances."""
    parts = [(name, part.table) for name in SPLITS if len(part := manifest.split(name))]
    return [_overlap(column, here, there) for column in COMPARED for here, there in combinations(parts, 2)]


def between_corpora(training: tuple[str, Manifest], evaluation: tuple[str, Manifest]) -> list[Overlap]:
    """Overlaps of what one corpus trains a detector on (train and dev) with what another would measure it on (test).

    A corpus that lacks those splits is compared as a whole.

    Args:
        training: name and manifest of the one.
        evaluation: name and manifest of the other.
    """
    here, there = _part(*training, ("train", "dev")), _part(*evaluation, ("test",))
    return [_overlap(column, here, there) for column in COMPARED]


def two_labels(manifest: Manifest) -> list[str]:
    """Hashes of audio that occurs both as bona fide and as spoof: one of the labels is wrong."""
    labels = manifest.table.group_by("audio_hash").aggregate([("label", "count_distinct")])
    return _known(labels.filter(pc.greater(labels["label_count_distinct"], 1))["audio_hash"])


def repeated(manifest: Manifest) -> int:
    """Number of utterances whose very audio another utterance of the same split has already."""
    known = manifest.table.filter(pc.not_equal(manifest.table["audio_hash"], UNKNOWN))
    return len(known) - len(known.group_by(["audio_hash", "split"]).aggregate([]))


def audio_concerns(manifest: Manifest) -> Iterator[Concern]:
    """What repeated audio means: under two labels one of them is wrong, in one split there is less than it seems."""
    if both := two_labels(manifest):
        text = f"{len(both):,} recordings occur both as bona fide and as spoof (audio_hash {', '.join(both[:_SHOWN])})"
        yield Concern("two_labels", text, PURPOSES)
    if copies := repeated(manifest):
        yield Concern("repeated", f"{copies:,} utterances repeat the very audio of another in their split")


def split_concerns(overlaps: Sequence[Overlap]) -> Iterator[Concern]:
    """What overlaps of splits mean: shared audio or groups are leaks, shared speakers a reservation."""
    for found in overlaps:
        forbids = tuple(purpose for purpose, split in _SPLIT.items() if split in (found.here, found.there))
        yield from _concern(found, () if found.column == "speaker" else forbids, "overlap")


def corpus_concerns(
    overlaps: Sequence[Overlap], sources: Sequence[str], other_sources: Sequence[str]
) -> Iterator[Concern]:
    """What overlaps of a training and an evaluation corpus mean, whose recordings come from these collections."""
    for found in overlaps:
        yield from _concern(found, () if found.column == "speaker" else ("evaluation",), "against")
    if common := sorted(set(sources) & set(other_sources)):
        text = (
            f"both corpora are made from {' and '.join(common)}: expect its voices, rooms and sentences on both sides, "
            "even where no name tells"
        )
        yield Concern("against/lineage", text)


def _concern(found: Overlap, forbids: tuple[Purpose, ...], code: str) -> Iterator[Concern]:
    if found.shared:
        yield Concern(f"{code}/{found.column}", found.text, forbids)


def _part(name: str, manifest: Manifest, splits: Sequence[str]) -> tuple[str, pa.Table]:
    table = manifest.table.filter(pc.is_in(manifest.table["split"], pa.array(splits)))
    return (f"{name} {'+'.join(splits)}", table) if len(table) else (name, manifest.table)


def _overlap(column: str, here: tuple[str, pa.Table], there: tuple[str, pa.Table]) -> Overlap:
    (here_name, here_table), (there_name, there_table) = here, there
    values, others = _known(here_table[column]), _known(there_table[column])
    shared = sorted(set(values) & set(others))
    affected = pc.sum(pc.is_in(there_table[column], pa.array(shared, pa.string()))).as_py() or 0
    return Overlap(
        column=column,
        here=here_name,
        there=there_name,
        shared=len(shared),
        utterances=affected,
        total=len(there_table),
        examples=tuple(shared[:_SHOWN]),
        known=bool(values) and bool(others),
    )


def _known(column: pa.ChunkedArray) -> list[str]:
    return [value for value in pc.unique(column).to_pylist() if value != UNKNOWN]
