"""LJSpeech: 13,100 clips of one voice reading books (Ito & Johnson, 2017), all real.

The fakes beside them are named by `spoof`: copies that our own vocoders make here, WaveFake's, or both. With copies of
our own, real clips and fakes are all written anew by `copy_synthesis`; else every file is read as it was downloaded.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpora.copy_synthesis import RECIPE, Sentence, make_clips
from deepfake_lab.data.corpora.openprompts_clips import Vocoder
from deepfake_lab.data.corpora.wavefake_clips import FAKES, LAYOUT, LJSPEECH, common_folder, faked, recorded
from deepfake_lab.data.download import OnError, joined, locate
from deepfake_lab.data.inspection import Depth, inspect_all
from deepfake_lab.data.manifest import SCHEMA, Finding, Manifest
from deepfake_lab.data.release import PARSED, Parsed, Release, check_names
from deepfake_lab.data.splits import SHARES, dealt
from deepfake_lab.types import BONAFIDE, SPOOF, LabError, Split

WAVEFAKE: Final = "wavefake"
_ID = len("LJ001-0001")
_OUR_OWN = "Or make copies without any download: data.spoof=world."


class LJSpeech(Release):
    """LJSpeech, split by chapter; every fake goes with the chapter that it copies.

    Args:
        root: the folder `LJSpeech-1.1`.
        work: see `Release`; the clips made here go there as well.
        spoof: where the fakes come from: names among `systems`, "wavefake", a list of such; None takes none.
        systems: vocoders by name; the name is the attack's.
        wavefake_root: the folder `generated_audio`, for "wavefake".
        shares: share of the chapters that each split gets.
        seed: decides which chapters, and whatever is random in the vocoders.
        check: see `Release`.
        on_error: see `Release`.
        workers: processes that make clips and check files; 0 takes one a core, eight at most.
        shuffle_labels: see `Corpus`.

    Raises:
        LabError: `spoof` names what does not exist, or WaveFake is wanted and nobody says where it is.
    """

    name = "ljspeech"
    sources = ("ljspeech",)
    layout = ("metadata.csv",)
    rates = frozenset({22_050})

    def __init__(
        self,
        root: str | Path,
        work: str | Path,
        *,
        spoof: str | Sequence[str] | None = None,
        systems: Mapping[str, Vocoder] | None = None,
        wavefake_root: str | Path | None = None,
        shares: Mapping[Split, float] = SHARES,
        seed: int = 0,
        check: Depth = "full",
        on_error: OnError = "raise",
        workers: int = 0,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, work, check=check, on_error=on_error, workers=workers, shuffle_labels=shuffle_labels)
        self.spoof = [spoof] if isinstance(spoof, str) else sorted(set(spoof or ()))
        known = dict(systems or {})
        check_names(self.spoof, [*known, WAVEFAKE], "data.spoof")
        self.systems = {name: known[name] for name in self.spoof if name != WAVEFAKE}
        self.shares = dict(shares)
        self.seed = seed
        self.wavefake_root: Path | None = None
        if WAVEFAKE in self.spoof:
            if wavefake_root is None:
                needed = "needs data.wavefake_root, the folder generated_audio of WaveFake"
                raise LabError(f"data.spoof={WAVEFAKE}: {needed}. {_OUR_OWN}")
            self.wavefake_root = Path(wavefake_root)

    @property
    def base(self) -> Path:
        """The folder of the clips made here, if there are any; else of what was downloaded."""
        return self._made if self.systems else self.downloaded

    @property
    def downloaded(self) -> Path:
        """The folder that LJSpeech lies in, and WaveFake as far as it is wanted."""
        return common_folder(self.root, self.wavefake_root)

    @property
    def settings(self) -> dict[str, object]:
        """What the manifest depends on."""
        return super().settings | self._ingredients | {"shares": self.shares}

    def build(self, *, force: bool) -> Manifest:
        """Makes clips, checks files and joins what is known of them; see `Corpus.build`."""
        if force and self.systems:
            shutil.rmtree(self._made, ignore_errors=True)
        return super().build(force=force)

    def parse(self) -> Parsed:
        """Lists the recordings and WaveFake's copies of them; see `Release.parse`."""
        real, findings = recorded(self.root, self.downloaded, self.name)
        tables = [real]
        if self.wavefake_root:
            try:
                locate(self.wavefake_root, LAYOUT, name="WaveFake", key="data.wavefake_root")
            except LabError as error:
                raise LabError(f"{error} {_OUR_OWN}") from error
            attacks = [attack for attack, fakes in FAKES.items() if fakes.collection is LJSPEECH]
            fakes, found = faked(self.wavefake_root, self.downloaded, self.name, attacks)
            if not fakes:
                folders = ", ".join(FAKES[attack].folder for attack in attacks)
                raise LabError(f"data.wavefake_root={self.wavefake_root}: holds none of {folders}. {_OUR_OWN}")
            tables += fakes
            findings += found
        return Parsed(dealt(pa.concat_tables(tables), self.shares, self.seed), findings)

    def select(self, table: pa.Table) -> tuple[pa.Table, Sequence[Finding]]:
        """Puts clips that are all written alike in the place of those downloaded, with our own copies beside them."""
        if not self.systems:
            return table, ()
        ids = pc.utf8_slice_codeunits(table["key"], 0, _ID)
        real = table.filter(pc.equal(table["label"], BONAFIDE))
        paired = pc.is_in(ids, real["key"].combine_chunks())
        alone = len(table) - pc.sum(paired).as_py()
        text = f"{alone:,} fakes without a usable real clip are left out"
        findings = [Finding("unpaired", text, alone)] if alone else []
        table = table.filter(paired)
        title = f"{self.name}: making clips of each sentence"
        sentences = self._sentences(table)
        make_clips(sentences, self.systems, self._made, seed=self.seed, workers=self.workers, title=title)
        rows = pa.concat_tables([_moved(table), *(_copied(real, name) for name in self.systems)])
        return self._looked_into(rows.select(PARSED.names)), findings

    @property
    def _ingredients(self) -> dict[str, object]:
        """What the bytes of the clips made here depend on."""
        systems = {name: repr(system) for name, system in sorted(self.systems.items())}
        wavefake = self.wavefake_root and str(self.wavefake_root.resolve())
        return {
            "recipe": RECIPE,
            "root": str(self.root.resolve()),
            "wavefake_root": wavefake,
            "systems": systems,
            "seed": self.seed,
        }

    @property
    def _made(self) -> Path:
        """Folder of the clips made here: another one for other ingredients."""
        digest = hashlib.sha256(json.dumps(self._ingredients, sort_keys=True).encode()).hexdigest()
        return self.work / "audio" / digest[:8]

    def _sentences(self, table: pa.Table) -> list[Sentence]:
        real: dict[str, Path] = {}
        fakes: dict[str, dict[str, Path]] = {}
        for key, path in zip(table["key"].to_pylist(), table["path"].to_pylist(), strict=True):
            if len(key) == _ID:
                real[key] = self.downloaded / path
            else:
                fakes.setdefault(key[:_ID], {})[key[_ID + 1 :]] = self.downloaded / path
        return [Sentence(name, path, fakes.get(name, {})) for name, path in real.items()]

    def _looked_into(self, rows: pa.Table) -> pa.Table:
        """Adds to the rows what the clips made here say."""
        notes = inspect_all(
            self.base,
            rows["path"],
            self._made / "notes",
            depth=self.check,
            workers=self.workers,
            title=f"{self.name}: checking the clips made",
        )
        bad = notes.filter(pc.not_equal(notes["problem"], ""))
        if len(bad):
            first = bad.slice(0, 1).to_pylist()[0]
            such = f"such as {first['path']}: {first['problem']}"
            raise LabError(f"{self.base}: {len(bad):,} clips made here are damaged, {such}. Prepare with force=true.")
        return joined(rows, notes)


def _moved(table: pa.Table) -> pa.Table:
    """Downloaded clips at the place where they are written anew."""
    ids = pc.utf8_slice_codeunits(table["key"], 0, _ID)
    attack = pc.replace_substring_regex(table["attack"], "^.*/", "")
    return _with(table, path=pc.binary_join_element_wise(attack, pc.binary_join_element_wise(ids, ".flac", ""), "/"))


def _copied(real: pa.Table, system: str) -> pa.Table:
    """A vocoder's copies of real clips."""
    number = len(real)
    return _with(
        real,
        key=pc.binary_join_element_wise(real["key"], system, "-"),
        path=pc.binary_join_element_wise(system, pc.binary_join_element_wise(real["key"], ".flac", ""), "/"),
        label=pa.repeat(pa.scalar(SPOOF, pa.int8()), number),
        attack=pa.repeat(pa.scalar(f"{LJSpeech.name}/{system}"), number),
    )


def _with(table: pa.Table, **columns: pa.ChunkedArray) -> pa.Table:
    """The table with other columns in the place of some."""
    for name, column in columns.items():
        table = table.set_column(table.schema.get_field_index(name), SCHEMA.field(name), column)
    return table
