"""What ljspeech and wavefake share: the real clips, and the folders of fakes that WaveFake made of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.lists import read_list
from deepfake_lab.data.manifest import NO_ATTACK, Finding
from deepfake_lab.data.release import table_of
from deepfake_lab.types import BONAFIDE, SPOOF, LabError


@dataclass(frozen=True)
class Collection:
    """Recordings of one origin.

    Attributes:
        name: of the collection.
        clip: regular expression of its clips' names; its first part, called `id`, is the sentence.
        group: length of the beginning of an id that names the clip's group; None: every sentence is one.
        speaker: its one voice, as the manifest names it.
        gender: of the voice.
        language: spoken.
    """

    name: str
    clip: str
    group: int | None
    speaker: str
    gender: str
    language: str


class Fakes(NamedTuple):
    """A folder of WaveFake: what it is called, what it copies, how many clips are published."""

    folder: str
    collection: Collection
    published: int


LJSPEECH: Final = Collection(
    "ljspeech", r"^(?P<id>LJ\d{3}-\d{4})(?:_gen|_generated)?\.wav$", 5, "ljspeech/LJ", "F", "en"
)
JSUT: Final = Collection("jsut", r"^(?P<id>BASIC5000_\d{4})(?:_gen)?\.wav$", None, "jsut/jsut", "F", "ja")
PROMPTS: Final = Collection("wavefake", r"^(?P<id>gen_\d+)\.wav$", None, "ljspeech/LJ", "F", "en")
"""Sentences of Common Voice in the voice of LJSpeech: no recording of them is known."""

FAKES: Final[Mapping[str, Fakes]] = {
    "melgan": Fakes("ljspeech_melgan", LJSPEECH, 13_100),
    "melgan_large": Fakes("ljspeech_melgan_large", LJSPEECH, 13_100),
    "multi_band_melgan": Fakes("ljspeech_multi_band_melgan", LJSPEECH, 13_100),
    "full_band_melgan": Fakes("ljspeech_full_band_melgan", LJSPEECH, 13_100),
    "parallel_wavegan": Fakes("ljspeech_parallel_wavegan", LJSPEECH, 13_100),
    "hifigan": Fakes("ljspeech_hifiGAN", LJSPEECH, 13_100),
    "waveglow": Fakes("ljspeech_waveglow", LJSPEECH, 13_100),
    "jsut_multi_band_melgan": Fakes("jsut_multi_band_melgan", JSUT, 5_000),
    "jsut_parallel_wavegan": Fakes("jsut_parallel_wavegan", JSUT, 5_000),
    "conformer_fastspeech2_pwg": Fakes(
        "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech", PROMPTS, 16_283
    ),
}
"""The folders of `generated_audio/` by the name of their attack."""

LAYOUT: Final = ("ljspeech_*", "jsut_*gan", "common_voices_prompts_*")
"""Patterns that tell the folder `generated_audio`."""

LJSPEECH_CLIPS: Final = 13_100


def common_folder(*folders: Path | None) -> Path:
    """The folder that all of them lie in; None is no folder."""
    return Path(os.path.commonpath([os.path.abspath(folder) for folder in folders if folder]))


def recorded(root: Path, base: Path, corpus: str) -> tuple[pa.Table, list[Finding]]:
    """Rows of the real clips that `metadata.csv` lists; every split says "train" until `dealt`.

    Raises:
        LabError: `metadata.csv` is missing, or a line of it has not three fields or does not begin with a clip.
    """
    path = root / "metadata.csv"
    meta = read_list(path, ["id", "text", "normalised"], delimiter="|")
    row = pc.index(pc.match_substring_regex(meta["id"], r"^LJ\d{3}-\d{4}$"), False).as_py()
    if row >= 0:
        name = meta["id"][row].as_py()
        raise LabError(f"{path}, line {row + 1}: {name!r} is not called like LJ001-0001. Mend the file.")
    names = pc.binary_join_element_wise(meta["id"], ".wav", "")
    findings = list(_counted("LJSpeech", len(meta), LJSPEECH_CLIPS))
    return _rows(corpus, LJSPEECH, None, meta["id"], _paths(root / "wavs", base, names)), findings


def listed(
    folder: Path, base: Path, corpus: str, collection: Collection, attack: str | None
) -> tuple[pa.Table, list[Finding]]:
    """Rows of the clips that lie in a folder itself, since what lies below it are copies; see `recorded`.

    Args:
        folder: of the clips.
        base: folder that the paths are to be relative to.
        corpus: that the rows are for.
        collection: that the clips belong to.
        attack: name of the system that made them; None for real clips.
    """
    with os.scandir(folder) as entries:
        names = pa.array(sorted(entry.name for entry in entries if entry.name.endswith(".wav")), pa.string())
    ids = pc.struct_field(pc.extract_regex(names, collection.clip), "id")
    strange = names.filter(pc.is_null(ids)).to_pylist()
    findings = []
    if strange:
        text = f"{folder.name}: {len(strange):,} files are not called like its clips and left out, such as {strange[0]}"
        findings.append(Finding("strange_names", text, len(strange)))
    kept = pc.is_valid(ids)
    return _rows(corpus, collection, attack, ids.filter(kept), _paths(folder, base, names.filter(kept))), findings


def faked(root: Path, base: Path, corpus: str, attacks: Iterable[str]) -> tuple[list[pa.Table], list[Finding]]:
    """Rows of those folders of fakes that are there, a table for each, and what is missing; see `recorded`."""
    tables: list[pa.Table] = []
    findings: list[Finding] = []
    absent: list[str] = []
    for attack in attacks:
        folder, collection, published = FAKES[attack]
        if not (root / folder).is_dir():
            absent.append(folder)
            continue
        table, found = listed(root / folder, base, corpus, collection, attack)
        tables.append(table)
        findings += [*found, *_counted(folder, len(table), published)]
    if absent:
        findings.append(Finding("absent", f"folders that are not there: {', '.join(absent)}", len(absent)))
    return tables, findings


def _rows(
    corpus: str, collection: Collection, attack: str | None, ids: pa.ChunkedArray, paths: pa.ChunkedArray
) -> pa.Table:
    groups = ids if collection.group is None else pc.utf8_slice_codeunits(ids, 0, collection.group)
    return table_of(
        len(ids),
        key=ids if attack is None else pc.binary_join_element_wise(ids, attack, "-"),
        path=paths,
        label=BONAFIDE if attack is None else SPOOF,
        attack=NO_ATTACK if attack is None else f"{corpus}/{attack}",
        speaker=collection.speaker,
        group=pc.binary_join_element_wise(collection.name, groups, "/"),
        gender=collection.gender,
        language=collection.language,
        split="train",
        corpus=corpus,
    )


def _paths(folder: Path, base: Path, names: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(Path(os.path.abspath(folder)).relative_to(base).as_posix(), names, "/")


def _counted(what: str, found: int, published: int) -> Iterable[Finding]:
    if found != published:
        yield Finding("counts", f"{what}: {found:,} clips, {published:,} published")
