"""MLAAD: speech of many text-to-speech models in many languages (Müller et al., IJCNN 2024), all of it fake.

`fake/LANGUAGE/MODEL/` holds the clips and a `meta.csv` that names the recording of M-AILABS whose text each one speaks.
For want of real speech it is of use within data=mix alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyarrow as pa

from deepfake_lab.data.download import OnError
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.manifest import Finding
from deepfake_lab.data.release import Parsed, Release, table_of
from deepfake_lab.data.splits import SHARES, dealt
from deepfake_lab.types import SPOOF, LabError, Split


class Mlaad(Release):
    """MLAAD; a group is a recording of M-AILABS, whatever the models and languages that speak its text.

    Args:
        root: the folder that holds `fake/`.
        work: see `Release`.
        split: the split that everything goes to, or "by_group".
        shares: share of the groups that each split gets, for "by_group".
        seed: decides which groups.
        check: see `Release`.
        on_error: see `Release`.
        workers: see `Release`.
        shuffle_labels: see `Corpus`.
    """

    name = "mlaad"
    sources = ("mailabs", "mlaad")
    layout = ("fake/*/*",)

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        split: Literal["train", "dev", "test", "by_group"] = "test",
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, work, check=check, on_error=on_error, workers=workers, shuffle_labels=shuffle_labels)
        self.split = split
        self.shares = dict(shares)
        self.seed = seed

    @property
    def settings(self) -> dict[str, object]:
        """What the manifest depends on."""
        return super().settings | {"split": self.split, "shares": self.shares, "seed": self.seed}

    def parse(self) -> Parsed:
        """Joins each model's `meta.csv` with the clips that lie beside it; see `Release.parse`."""
        tables: list[pa.Table] = []
        unlisted: list[str] = []
        for folder in sorted(path for path in self.root.glob("fake/*/*") if path.is_dir()):
            originals = _originals(folder / "meta.csv")
            found = {name for name in os.listdir(folder) if name.endswith(".wav") and not name.startswith(".")}
            unlisted += [f"fake/{folder.parent.name}/{folder.name}/{name}" for name in sorted(found - set(originals))]
            tables.append(self._rows(folder, originals | {name: "" for name in found - set(originals)}))
        if not tables:
            raise LabError(f"{self.root}/fake: holds no LANGUAGE/MODEL folder. Complete the download.")
        table = pa.concat_tables(tables)
        if self.split == "by_group" and len(table):
            table = dealt(table, self.shares, self.seed)
        text = f"{len(unlisted):,} clips are in no meta.csv, such as {unlisted[0]}" if unlisted else ""
        return Parsed(table, [Finding("unlisted", text, len(unlisted))] if unlisted else [])

    def _rows(self, folder: Path, originals: Mapping[str, str]) -> pa.Table:
        """Rows of a model's clips, given the recording that each goes back to, if that is known."""
        language, model = folder.parent.name, folder.name
        names = sorted(originals)
        stems = [f"{language}/{model}/{name.removesuffix('.wav')}" for name in names]
        return table_of(
            len(names),
            key=pa.array(stems),
            path=pa.array([f"fake/{language}/{model}/{name}" for name in names]),
            label=SPOOF,
            attack=f"{self.name}/{'_'.join(model.split())}",
            group=pa.array(
                [
                    f"mailabs/{originals[name]}" if originals[name] else f"{self.name}/{stem}"
                    for name, stem in zip(names, stems, strict=True)
                ]
            ),
            language=language,
            split="train" if self.split == "by_group" else self.split,
            corpus=self.name,
        )


def _originals(meta: Path) -> dict[str, str]:
    """The recording that each clip of a `meta.csv` goes back to, "" where it names none; nothing without the file.

    The releases differ in columns, and the transcript at the end may hold anything, even a delimiter or a line break:
    a line counts by its first fields, and only if it begins with a clip.

    Raises:
        LabError: there is no column `path`.
    """
    if not meta.is_file():
        return {}
    header, *lines = meta.read_text(encoding="utf-8-sig", errors="replace").splitlines() or [""]
    columns = header.split("|")
    if "path" not in columns:
        raise LabError(f"{meta}, line 1: no column 'path': {header!r}. Is this the release's own meta.csv?")
    path = columns.index("path")
    original = columns.index("original_file") if "original_file" in columns else None
    found: dict[str, str] = {}
    for line in lines:
        fields = line.split("|")
        name = fields[path].rpartition("/")[2] if path < len(fields) else ""
        if name.endswith(".wav"):
            named = fields[original].strip() if original is not None and original < len(fields) else ""
            found[name] = named.removeprefix("./").removesuffix(".wav")
    return found
