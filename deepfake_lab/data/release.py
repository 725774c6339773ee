"""A corpus as others released it: found on disk, parsed from its own lists, every file checked, nothing changed."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.download import Download, OnError
from deepfake_lab.data.inspection import INSPECTED, Depth
from deepfake_lab.data.manifest import SCHEMA, UNKNOWN, Finding, Manifest, check_paths
from deepfake_lab.types import BONAFIDE, LABEL_NAMES, SPOOF, LabError

PARSED = pa.schema([field for field in SCHEMA if field.name not in (*INSPECTED.names, "start") or field.name == "path"])
"""Columns that a corpus's own lists give; the others come from the audio files."""


class Parsed(NamedTuple):
    """What the lists of a release say: rows in the columns of `PARSED`, and what is remarkable about them."""

    table: pa.Table
    findings: Sequence[Finding] = ()


class Release(Download, Corpus):
    """A downloaded corpus.

    A subclass says in `layout` how to recognise its folder and in `parse` what its lists say.

    Args:
        root: see `Download`.
        work: see `Download`.
        check: see `Download`.
        on_error: see `Download`.
        workers: see `Download`.
        shuffle_labels: see `Corpus`.
    """

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        Download.__init__(self, root, work, check=check, on_error=on_error, workers=workers)
        Corpus.__init__(self, root, shuffle_labels=shuffle_labels)

    @abstractmethod
    def parse(self) -> Parsed:
        """Reads the release's own lists.

        Called once the folder has been recognised. Paths are relative to `downloaded`. `table_of` makes the table.

        Raises:
            LabError: a list does not have its format; it names file, line and text.
        """

    def prepare(self, *, force: bool = False) -> Manifest:
        """Builds the manifest unless it is there already; one process at a time."""
        if force or not self.manifest_path.is_file():
            with self.alone():
                return super().prepare(force=force)
        return super().prepare()

    def build(self, *, force: bool) -> Manifest:
        """Parses the lists, checks every file and joins the two; see `Corpus.build`."""
        self.recognise()
        parsed = self.parse()
        _check_rows(parsed.table, self.name)
        if force:
            self.forget()
        table, found = self.inspected(parsed.table)
        table, chosen = self.select(table)
        findings = [*self._compared(parsed.table), *parsed.findings, *found, *chosen]
        return Manifest(table, self.base, self.name, findings)

    def select(self, table: pa.Table) -> tuple[pa.Table, Sequence[Finding]]:
        """Chooses among the rows of usable files once their audio is known; keeps all unless a subclass differs."""
        return table, ()

    def _compared(self, parsed: pa.Table) -> Iterator[Finding]:
        """Where the lists hold other numbers of utterances than published; an absent split is no difference."""
        counts = Manifest(parsed, self.base, self.name).counts()
        for split, stated in self.expected().items():
            for label in (BONAFIDE, SPOOF):
                if any(counts[split]) and counts[split][label] != stated[label]:
                    found = f"{counts[split][label]:,} {LABEL_NAMES[label]} utterances"
                    yield Finding("counts", f"{split}: {found}, {stated[label]:,} published")


def table_of(length: int, **columns: object) -> pa.Table:
    """A table in the columns of `PARSED`; one text or number stands for a column, "-" for an absent one."""
    missing = {"codec", "speaker", "gender", "language", "spoof_spans"} - set(columns)
    columns |= dict.fromkeys(missing, UNKNOWN)
    arrays = {}
    for field in PARSED:
        value = columns[field.name]
        single = isinstance(value, str | int)
        arrays[field.name] = pa.repeat(pa.scalar(value, field.type), length) if single else value
    return pa.table(arrays, schema=PARSED) if length else PARSED.empty_table()


def check_names(names: Iterable[str], known: Sequence[str], key: str) -> None:
    """Checks that every name is one of the known ones.

    Raises:
        LabError: one is not; the message has the nearest that is.
    """
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name.lower(), known, n=2, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}? " if near else ""
            raise LabError(f"{key}: there is no {name!r}. {hint}Choose from: {', '.join(known)}.")


def _check_rows(parsed: pa.Table, name: str) -> None:
    if not len(parsed):
        raise LabError(f"{name}: its lists hold no utterance. Look whether the download is complete.")
    check_paths(parsed["path"], name)  # before any file is looked for
    keys = parsed.group_by("key").aggregate([([], "count_all")])
    twice = keys.filter(pc.greater(keys["count_all"], 1))["key"].to_pylist()
    if twice:
        raise LabError(f"{name}: {len(twice):,} utterances are listed twice, such as {', '.join(twice[:3])}.")
