"""Collections to disturb speech with: noise, music, other voices, rooms. They hold recordings, and no trials."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, get_args

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.download import Download, OnError
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.manifest import Finding, Listing
from deepfake_lab.data.splits import SHARES, deal
from deepfake_lab.types import SPLITS, LabError, Split

Kind = Literal["noise", "music", "speech", "rir"]
"""What a recording is good for; "rir" is the impulse response of a room."""

NOISE_SCHEMA = pa.schema(
    [
        ("key", pa.string()),  # unique name of the recording
        ("path", pa.string()),  # relative to the collection's root, with forward slashes
        ("start", pa.int64()),  # first sample in the file, at the file's own rate
        ("frames", pa.int64()),  # length in samples at the file's own rate
        ("sample_rate", pa.int32()),  # of the file, in Hz
        ("channels", pa.int16()),
        ("audio_hash", pa.string()),  # of the decoded samples; "-" where nobody has listened
        ("kind", pa.string()),  # see `Kind`
        ("group", pa.string()),  # environment, room or recording: what must not cross splits
        ("split", pa.string()),  # train | dev | test: what trains a detector does not measure it
        ("corpus", pa.string()),
    ]
)


class Contents(NamedTuple):
    """How much there is of one kind in one split."""

    kind: str
    split: str
    files: int
    hours: float


@dataclass(frozen=True)
class NoiseManifest(Listing):
    """Recordings of a noise collection, or of one split of it."""

    schema = NOISE_SCHEMA

    def validate(self) -> None:
        """Checks kinds and groups too; see `Listing.validate`."""
        super().validate()
        kinds = get_args(Kind)
        self._refuse(pc.invert(pc.is_in(self.table["kind"], pa.array(kinds))), f"kind is not one of {', '.join(kinds)}")
        groups = self.table.group_by("group").aggregate([("split", "count_distinct")])
        torn = groups.filter(pc.greater(groups["split_count_distinct"], 1))["group"]
        self._refuse(pc.is_in(self.table["group"], pc.unique(torn)), "the group lies in several splits")

    def contents(self) -> list[Contents]:
        """Files and hours by kind and split."""
        seconds = pc.divide(self.table["frames"].cast(pa.float64()), self.table["sample_rate"].cast(pa.float64()))
        table = self.table.append_column("seconds", seconds).group_by(["kind", "split"])
        found = {
            (row["kind"], row["split"]): row
            for row in table.aggregate([([], "count_all"), ("seconds", "sum")]).to_pylist()
        }
        return [
            Contents(kind, split, row["count_all"], row["seconds_sum"] / 3600)
            for kind in get_args(Kind)
            for split in SPLITS
            if (row := found.get((kind, split)))
        ]


class Recording(NamedTuple):
    """A file of a noise collection.

    Attributes:
        path: relative to the root.
        kind: what it is good for.
        group: what must not cross splits, named "collection/name".
        part: of the collection; the groups of each part are dealt to the splits by themselves, so that none lacks it.
    """

    path: str
    kind: Kind
    group: str
    part: str = ""


class NoiseCollection(Download, ABC):
    """A downloaded collection of noise. One subclass knows one on-disk layout.

    Args:
        root: see `Download`.
        work: see `Download`.
        shares: of the groups that each split gets.
        seed: decides which groups.
        check: see `Download`.
        on_error: see `Download`.
        workers: see `Download`.

    Attributes:
        groups: number of groups that its authors state; 0 if it is not compared.
    """

    groups: ClassVar[int] = 0

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
    ) -> None:
        super().__init__(root, work, check=check, on_error=on_error, workers=workers)
        self.shares = dict(shares)
        self.seed = seed

    @abstractmethod
    def recordings(self) -> Iterator[Recording]:
        """The collection's files, in the same order every time. Called once the folder has been recognised."""

    @property
    def settings(self) -> dict[str, object]:
        """See `Download.settings`."""
        return {**super().settings, "shares": self.shares, "seed": self.seed}

    def prepare(self, *, force: bool = False) -> NoiseManifest:
        """Checks every file and writes the manifest unless it is there already; one process at a time.

        Raises:
            LabError: the folder is another one, or files cannot be used.
        """
        if force or not self.manifest_path.is_file():
            with self.alone():
                if force or not self.manifest_path.is_file():
                    manifest = self._build(force=force)
                    manifest.validate()
                    manifest.write(self.manifest_path)
        return NoiseManifest.read(self.manifest_path, self.base)

    def _build(self, *, force: bool) -> NoiseManifest:
        self.recognise()
        found = list(self.recordings())
        if not found:
            raise LabError(f"{self.root}: holds no recording of {self.name}. Look whether the download is complete.")
        if force:
            self.forget()
        paths, kinds, groups, _ = zip(*found, strict=True)
        rows = {
            "key": [f"{self.name}-{path}" for path in paths],
            "path": list(paths),
            "kind": list(kinds),
            "group": list(groups),
            "split": _splits(found, self.shares, self.seed),
            "corpus": [self.name] * len(found),
        }
        schema = pa.schema([NOISE_SCHEMA.field(name) for name in rows])
        table, findings = self.inspected(pa.table(rows, schema=schema), NOISE_SCHEMA)
        number = len(set(groups))
        if self.groups and number != self.groups:
            findings.append(Finding("counts", f"{number:,} groups, {self.groups:,} published"))
        return NoiseManifest(table, self.base, self.name, findings)


def with_trials(collection: Corpus | NoiseCollection) -> Corpus:
    """The corpus that it is.

    Raises:
        LabError: it is a noise collection, from which nothing can be learnt or measured by itself.
    """
    if isinstance(collection, NoiseCollection):
        raise LabError(
            f"data={collection.name}: holds noise, no trials. It can be prepared, and mixed with speech. "
            "Choose a corpus (data=openprompts)."
        )
    return collection


def _splits(recordings: Sequence[Recording], shares: Mapping[Split, float], seed: int) -> list[str]:
    split_of: dict[str, str] = {}
    for part in sorted({recording.part for recording in recordings}):
        names = sorted({recording.group for recording in recordings if recording.part == part})
        dealt = deal(pa.chunked_array([pa.array(names)]), shares, seed)
        split_of |= zip(names, dealt.to_pylist(), strict=True)
    return [split_of[recording.group] for recording in recordings]
