"""Audio files as others released them: found on disk, every one checked, nothing changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.files import write_whole
from deepfake_lab.data.inspection import INSPECTED, Depth, inspect_all
from deepfake_lab.data.manifest import SCHEMA, Finding
from deepfake_lab.data.turns import alone
from deepfake_lab.types import LabError

OnError = Literal["raise", "skip"]
"""What to do about files that cannot be used."""


class Download:
    """Audio files that were downloaded: recognised by what their folder holds, checked, never changed.

    Args:
        root: folder of the download; never written to.
        work: folder for what is found out about it: manifest, notes on files, list of problems.
        check: "full" decodes every file, "header" believes the headers (and so finds no equal audio).
        on_error: "raise" stops at files that cannot be used, "skip" leaves them out, counts and lists them.
        workers: processes that check files; 0 takes one a core, eight at most.

    Attributes:
        name: of the collection.
        layout: glob patterns of what tells the folder; one has to match.
        rates: sample rates in Hz that its files are known to have; empty: any.
    """

    name: ClassVar[str]
    layout: ClassVar[tuple[str, ...]]
    rates: ClassVar[frozenset[int]] = frozenset()

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
    ) -> None:
        self.root = Path(root)
        self.work = Path(work)
        self.check = check
        self.on_error = on_error
        self.workers = workers

    @property
    def base(self) -> Path:
        """Folder that the manifest's paths are relative to."""
        return self.root

    @property
    def downloaded(self) -> Path:
        """Folder that the paths of `parse` are relative to: `base`, unless the corpus makes audio of what it finds."""
        return self.base

    @property
    def settings(self) -> dict[str, object]:
        """What the manifest depends on; a subclass adds its own arguments."""
        return {"root": str(self.root.resolve()), "check": self.check, "on_error": self.on_error}

    @property
    def manifest_path(self) -> Path:
        """One manifest for each combination of settings, so that none is ever read in another's place."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()
        return self.work / f"manifest-{digest[:8]}.parquet"

    @property
    def problems_path(self) -> Path:
        """List of the files that cannot be used, and why."""
        return self.work / "problems.tsv"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Makes the work folder and lets one process at a time into the block."""
        with alone(self.work, f"prepares {self.name}"):
            yield

    def recognise(self) -> None:
        """Checks that the folder is the right one.

        Raises:
            LabError: see `locate`.
        """
        locate(self.root, self.layout, name=self.name)

    def forget(self) -> None:
        """Throws the notes on files away, so that every file is looked at anew."""
        shutil.rmtree(self.work / "files", ignore_errors=True)

    def inspected(self, parsed: pa.Table, schema: pa.Schema = SCHEMA) -> tuple[pa.Table, list[Finding]]:
        """Fills the columns of `schema` by what the files say, without the rows whose files cannot be used.

        Raises:
            LabError: files cannot be used, and `on_error` is "raise"; they are listed in `problems_path`.
        """
        title = f"{self.name}: checking files"
        folder = self.work / "files" / hashlib.sha256(str(self.downloaded.resolve()).encode()).hexdigest()[:8]
        notes = inspect_all(
            self.downloaded, parsed["path"], folder, depth=self.check, workers=self.workers, title=title
        )
        bad = pc.not_equal(notes["problem"], "")
        findings = self._skipped(notes.filter(bad))
        findings += self._odd(notes.filter(pc.invert(bad)))
        return joined(parsed, notes, schema).filter(pc.invert(bad)), findings

    def _skipped(self, bad: pa.Table) -> list[Finding]:
        """Lists the files that cannot be used, and stops or says so."""
        self.problems_path.unlink(missing_ok=True)
        if not len(bad):
            return []
        files = {row["path"]: row["problem"] for row in bad.select(["path", "problem"]).to_pylist()}
        write_whole(self.problems_path, "".join(f"{path}\t{problem}\n" for path, problem in sorted(files.items())))
        missing = sum(problem == "missing" for problem in files.values())
        number = f"{len(files):,} files cannot be used ({missing:,} missing, {len(files) - missing:,} unreadable)"
        shown = "; ".join(f"{path}: {problem}" for path, problem in sorted(files.items())[:3])
        if self.on_error == "raise":
            raise LabError(
                f"{self.downloaded}: {number}, such as {shown}. All are listed in {self.problems_path}. "
                "Complete the download, or leave them out with data.on_error=skip."
            )
        text = f"{number} and {len(bad):,} rows were skipped: {self.problems_path}"
        return [Finding("skipped", text, len(bad))]

    def _odd(self, good: pa.Table) -> Iterator[Finding]:
        """What the usable files have that they should not."""
        silent = good.filter(good["silent"])["path"].to_pylist()
        if silent:
            text = f"{len(silent):,} files hold digital silence alone, such as {silent[0]}"
            yield Finding("silent", text, len(silent))
        if self.rates:
            known = " or ".join(f"{rate} Hz" for rate in sorted(self.rates))
            other = good.filter(pc.invert(pc.is_in(good["sample_rate"], pa.array(sorted(self.rates), pa.int32()))))
            if len(other):
                first = other.slice(0, 1).to_pylist()[0]
                such = f"{first['path']} ({first['sample_rate']} Hz)"
                yield Finding("sample_rate", f"{len(other):,} files are not at {known}, such as {such}", len(other))


def joined(parsed: pa.Table, notes: pa.Table, schema: pa.Schema = SCHEMA) -> pa.Table:
    """Rows in the columns of `schema`, out of what the lists and what the files say of each utterance."""
    columns = {name: parsed[name] for name in parsed.column_names}
    columns |= {name: notes[name] for name in INSPECTED.names if name in schema.names and name != "path"}
    columns["start"] = pa.repeat(pa.scalar(0, pa.int64()), len(parsed))
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def locate(root: Path, layout: Sequence[str], *, name: str, key: str = "data.root") -> None:
    """Recognises the folder of a release by what it holds.

    Raises:
        LabError: it is another folder; the message names the right one where that is a level or two higher or lower.
    """
    if not root.is_dir():
        raise LabError(f"{key}={root}: no such folder. Name the folder that holds {' or '.join(layout)}.")
    if _matches(root, layout):
        return
    for candidate in (*root.resolve().parents[:2], *_below(root, 2)):
        if _matches(candidate, layout):
            found = f"The {name} release is here: {key}={candidate}"
            raise LabError(f"{key}={root}: holds no {' or '.join(layout)}. {found}")
    raise LabError(f"{key}={root}: holds no {' or '.join(layout)}. Name the folder of the {name} release that does.")


def _matches(folder: Path, layout: Sequence[str]) -> bool:
    return any(next(folder.glob(pattern), None) is not None for pattern in layout)


def _below(folder: Path, levels: int) -> Iterator[Path]:
    children = sorted(child for child in folder.iterdir() if child.is_dir())
    yield from children
    if levels > 1:
        for child in children:
            yield from _below(child, levels - 1)
