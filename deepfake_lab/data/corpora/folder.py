"""Recordings of one's own: folders called `bonafide` and `spoof`, or a table that says what each file is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.audio import AUDIO_SUFFIXES
from deepfake_lab.data.download import OnError
from deepfake_lab.data.inspection import Depth
from deepfake_lab.data.lists import read_list, translate
from deepfake_lab.data.manifest import NO_ATTACK, UNKNOWN, Finding
from deepfake_lab.data.release import PARSED, Parsed, Release, table_of
from deepfake_lab.data.splits import SHARES, deal
from deepfake_lab.data.tables import read_parquet
from deepfake_lab.types import BONAFIDE, LABEL_NAMES, SPLITS, SPOOF, LabError, Split

LABELS: Final = {
    **dict.fromkeys(("bonafide", "bona-fide", "real", "genuine", "0"), BONAFIDE),
    **dict.fromkeys(("spoof", "fake", "1"), SPOOF),
}
"""Words for the classes in a table of one's own, in small or capital letters."""
OPTIONAL: Final = ("split", "speaker", "attack", "group", "language", "codec", "gender", "spoof_spans")
"""Columns that such a table may have beside `path` and `label`; others are ignored."""

_AS_TOLD: Final = ("language", "codec", "gender", "spoof_spans")

DRAWS: Final = 100
"""So often splits are drawn before one is taken that lacks a class."""


class Folder(Release):
    """Recordings of one's own.

    Without a table, everything below `bonafide/` is bona fide, and below `spoof/` is spoof, made by the attack that the
    first folder there names: `spoof/ATTACK/x.wav`. Where these two lie in folders `train`, `dev` and `test`, those are
    the splits.

    Splits that are not given are dealt by group: the speaker where one is known, else the file's name, so that a
    sentence stays together with what was made of it (`bonafide/a.wav`, `spoof/hifigan/a.wav`). Where splits are given,
    equal names in several of them are told, but not refused: many collections count their files anew in each.

    Args:
        root: folder that holds `bonafide/` and `spoof/`, or that the table's paths are relative to; None: the table's
            own folder.
        work: see `Download`.
        manifest: table of one's own, CSV with a header or parquet: columns `path`, `label`, and any of `OPTIONAL`.
        shares: of the groups that each split gets where the splits are not given.
        seed: decides which groups.
        check: see `Download`.
        on_error: see `Download`.
        workers: see `Download`.
        shuffle_labels: see `Corpus`.
    """

    name = "folder"
    sources = ("folder",)
    layout = (*LABEL_NAMES, *(f"{split}/{name}" for split in SPLITS for name in LABEL_NAMES))

    def __init__(
        self,
        root: str | Path | None,
        work: str | Path,
        *,
        manifest: str | Path | None = None,
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        self.own = None if manifest is None else Path(manifest)
        self.given = not (root is None and manifest is None)
        place = root if root is not None else (self.own or Path()).parent
        super().__init__(place, work, check=check, on_error=on_error, workers=workers, shuffle_labels=shuffle_labels)
        self.shares = dict(shares)
        self.seed = seed

    @property
    def settings(self) -> dict[str, object]:
        """See `Download.settings`; a table that has changed is another setting.

        Raises:
            LabError: there is neither folder nor table.
        """
        if not self.given:
            raise LabError(
                "data=folder needs data.root=FOLDER with bonafide/ and spoof/ in it, or data.manifest=FILE, a table "
                "with the columns path and label."
            )
        own: list[object] = []
        if self.own is not None:
            if not self.own.is_file():
                raise LabError(f"data.manifest={self.own}: no such file. Name a CSV or parquet table.")
            own = [str(self.own.resolve()), self.own.stat().st_mtime_ns]
        return {**super().settings, "manifest": own, "shares": self.shares, "seed": self.seed}

    def recognise(self) -> None:
        """See `Download.recognise`; with a table, any folder will do."""
        if self.own is None:
            super().recognise()
        elif not self.root.is_dir():
            raise LabError(
                f"data.root={self.root}: no such folder. Name the one that the table's paths are relative to."
            )

    def parse(self) -> Parsed:
        """Lists the folders or reads the table; see `Release.parse`."""
        told = _listed(self.root) if self.own is None else _read(self.own, self.root)
        return self._rows(told) if len(told) else Parsed(PARSED.empty_table())

    def _rows(self, told: pa.Table) -> Parsed:
        """Completes what was told of each file: `path`, `label` (0 or 1), `attack` and any of `OPTIONAL`, as text."""
        blank = pa.chunked_array([pa.array([""] * len(told), pa.string())])
        given = {name: told[name] if name in told.column_names else blank for name in OPTIONAL}
        clip = pc.replace_substring_regex(told["path"], r"^.*/|\.[^./]*$", "")
        nobody = _blank(given["speaker"])
        origin = pc.if_else(nobody, clip, given["speaker"])
        findings: list[Finding] = []
        if "split" in told.column_names:
            guessed = pc.and_(nobody, _blank(given["group"]))
            findings += _repeated(clip.filter(guessed), told["split"].filter(guessed))
            origin = pc.binary_join_element_wise(told["split"], origin, "/")
        group = _named(pc.if_else(_blank(given["group"]), origin, given["group"]))
        attack = pc.if_else(
            _blank(given["attack"]), "unknown", pc.replace_substring_regex(given["attack"], r"\s+", "_")
        )
        rows = table_of(
            len(told),
            key=pc.binary_join_element_wise(self.name, told["path"], "-"),
            path=told["path"],
            label=told["label"],
            attack=pc.if_else(
                pc.equal(told["label"], BONAFIDE), NO_ATTACK, pc.binary_join_element_wise(self.name, attack, "/")
            ),
            speaker=_named(given["speaker"]),
            group=group,
            **{name: pc.if_else(_blank(given[name]), UNKNOWN, given[name]) for name in _AS_TOLD},
            split=given["split"] if "split" in told.column_names else self._dealt(group, told["label"]),
            corpus=self.name,
        )
        return Parsed(rows, findings)

    def _dealt(self, group: pa.ChunkedArray, label: pa.ChunkedArray) -> pa.ChunkedArray:
        """Splits that all hold both classes, if one of the first draws brings that: few speakers may be unlucky."""
        wanted = len(pc.unique(label)) * sum(share > 0 for share in self.shares.values())
        for draw in range(self.seed * DRAWS, (self.seed + 1) * DRAWS):
            split = deal(group, self.shares, draw)
            pairs = pa.table({"split": split, "label": label}).group_by(["split", "label"]).aggregate([])
            if len(pairs) == wanted:
                return split
        return deal(group, self.shares, self.seed * DRAWS)


def _blank(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(column, pa.array(["", UNKNOWN]))


def _named(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Names that no other corpus has."""
    return pc.if_else(_blank(column), UNKNOWN, pc.binary_join_element_wise(Folder.name, column, "/"))


def _repeated(names: pa.ChunkedArray, splits: pa.ChunkedArray) -> Iterator[Finding]:
    """Names of files that several splits have, where nothing else says what belongs together."""
    seen = pa.table({"name": names, "split": splits}).group_by("name").aggregate([("split", "count_distinct")])
    several = sorted(seen.filter(pc.greater(seen["split_count_distinct"], 1))["name"].to_pylist())
    if several:
        text = f"{len(several):,} file names occur in several splits, such as {several[0]}: if they are the same "
        yield Finding("repeated_names", f"{text}sentences, results look better than they are", len(several))


def _listed(root: Path) -> pa.Table:
    """Audio files below `bonafide/` and `spoof/`, with the splits whose folders these lie in.

    Raises:
        LabError: they lie in folders of splits and beside them.
    """
    here = [name for name in LABEL_NAMES if (root / name).is_dir()]
    split_folders = [f"{split}/{name}" for split in SPLITS for name in LABEL_NAMES if (root / split / name).is_dir()]
    if here and split_folders:
        raise LabError(f"{root}: holds both {here[0]}/ and {split_folders[0]}/. Keep either the one or the other.")
    rows: list[tuple[str, int, str, str]] = []
    for folder in split_folders or here:
        split, _, name = folder.rpartition("/")
        label = LABEL_NAMES.index(name)
        for path in _audio_below(root / folder):
            attack, inside, _ = path.partition("/")
            rows.append((f"{folder}/{path}", label, attack if inside and label == SPOOF else "", split))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    schema = pa.schema([("path", pa.string()), ("label", pa.int8()), ("attack", pa.string()), ("split", pa.string())])
    table = pa.table([list(column) for column in columns], schema=schema)
    return table if split_folders else table.drop(["split"])


def _audio_below(folder: Path) -> list[str]:
    """Audio files in a folder and the folders in it, relative to it, in order; hidden ones are no recordings."""
    found = (
        Path(parent, name).relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
    )
    return sorted(found)


def _read(path: Path, root: Path) -> pa.Table:
    """Reads a table of one's own; see `Folder`.

    Raises:
        LabError: it is no such table; it names file, line and word.
    """
    given = _parquet(path) if path.suffix == ".parquet" else read_list(path, delimiter=",", quoting=True)
    if missing := {"path", "label"} - set(given.column_names):
        raise LabError(
            f"{path}: no column {', '.join(sorted(missing))}; its columns are {', '.join(given.column_names)}."
        )
    first = 1 if path.suffix == ".parquet" else 2
    label = translate(pc.utf8_lower(given["label"]), LABELS, path, first=first)
    columns = {"path": _below(given["path"], path, root), "label": label.cast(pa.int8())}
    columns |= {name: given[name] for name in OPTIONAL if name in given.column_names}
    if "split" in columns:
        translate(columns["split"], {split: split for split in SPLITS}, path, first=first)
    if "attack" in columns:
        real, attack = pc.equal(columns["label"], BONAFIDE), columns["attack"]
        right = pc.if_else(real, pc.or_(_blank(attack), pc.equal(attack, NO_ATTACK)), pc.not_equal(attack, NO_ATTACK))
        if (row := pc.index(right, False).as_py()) >= 0:
            raise LabError(
                f"{path}, line {row + first}: label {given['label'][row].as_py()!r} and attack {attack[row].as_py()!r} "
                "contradict each other. Mend the line."
            )
    return pa.table(columns)


def _parquet(path: Path) -> pa.Table:
    """The known columns of a parquet file as text."""
    try:
        table = read_parquet(path, ("path", "label", *OPTIONAL))
        return pa.table({name: pc.fill_null(table[name].cast(pa.string()), "") for name in table.column_names})
    except (OSError, pa.ArrowException, ValueError) as error:
        raise LabError(f"{path}: not a readable table ({error}). Write it again, or as CSV.") from error


def _below(paths: pa.ChunkedArray, manifest: Path, root: Path) -> pa.ChunkedArray:
    """Paths relative to the root, whether given so or whole.

    Raises:
        LabError: the first file is not below the root but beside the table.
    """
    base = root.resolve()
    if pc.any(pc.starts_with(paths, "/")).as_py():
        whole = (os.path.relpath(path, base) if path.startswith("/") else path for path in paths.to_pylist())
        paths = pa.chunked_array([pa.array(whole, pa.string())])
    first = paths[0].as_py() if len(paths) else ""
    if not os.path.exists(base / first) and os.path.exists(manifest.parent / first):
        raise LabError(
            f"{manifest}: its files, such as {first}, are not below data.root={root} but beside the table: "
            f"data.root={manifest.parent}"
        )
    return pc.replace_substring_regex(paths, r"^(\./+)+", "")
