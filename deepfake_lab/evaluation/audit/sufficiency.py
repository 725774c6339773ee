"""Whether there is enough of a corpus: utterances, both classes, synthesis systems, voices, conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import pandas as pd

from deepfake_lab.data.guards import FAKE_SHARE, MIN_CORPUS, MIN_TRIALS
from deepfake_lab.data.manifest import UNKNOWN, Manifest
from deepfake_lab.evaluation.audit.verdict import Concern, Purpose
from deepfake_lab.types import BONAFIDE, LABEL_NAMES, SPLITS, SPOOF, Split

MIN_SYSTEMS: Final = 2
"""Synthesis systems below which a detector learns one system's habits."""
MIN_VOICES: Final = 2
MIN_NOISE_SPREAD_DB: Final = 10.0
"""Range of noise floors, between the 5th and the 95th percentile, below which all recordings come from one room."""
_NEEDED: Final[dict[Split, tuple[Purpose, ...]]] = {
    "train": ("training",),
    "dev": ("training",),
    "test": ("evaluation",),
}


class Contents(NamedTuple):
    """What a split holds.

    Attributes:
        split: its name.
        bonafide: number of bona fide utterances.
        spoof: number of spoofs.
        hours: of audio.
        systems: number of synthesis systems.
        unseen: of these, systems that the train split does not have.
        speakers: number of known speakers.
        groups: number of groups, which are what is independent of one another.
        codecs: number of codecs.
        noise_spread_db: noise floors from the 5th to the 95th percentile, NaN where nothing was measured.
    """

    split: str
    bonafide: int
    spoof: int
    hours: float
    systems: int
    unseen: int
    speakers: int
    groups: int
    codecs: int
    noise_spread_db: float


def contents(manifest: Manifest, cues: pd.DataFrame) -> list[Contents]:
    """What each split that is there holds.

    Args:
        manifest: the utterances.
        cues: what was measured of them, for the variety of noise.
    """
    columns = ["split", "label", "attack", "frames", "sample_rate", "speaker", "group", "codec"]
    rows = manifest.table.select(columns).to_pandas()
    trained = set(rows["attack"][rows["split"] == "train"])
    return [_contents(name, part, trained, cues) for name in SPLITS if len(part := rows[rows["split"] == name])]


def concerns(splits: list[Contents]) -> Iterator[Concern]:
    """What there is too little of, against the minimum of `MIN_CORPUS` utterances, half of them fake."""
    counts = [sum(getattr(split, name) for split in splits) for name in LABEL_NAMES]
    if 0 in counts:
        lacking = LABEL_NAMES[counts.index(0)]
        yield Concern("one_class", f"it holds no {lacking} utterance: one class alone", ("training", "evaluation"))
        return
    by_name = {split.split: split for split in splits}
    yield from _class_concerns(by_name)
    if sum(counts) < MIN_CORPUS:
        yield Concern("small", f"it holds {sum(counts):,} labelled utterances, fewer than {MIN_CORPUS:,}")
    share = counts[SPOOF] / sum(counts)
    if not FAKE_SHARE[0] <= share <= FAKE_SHARE[1]:
        yield Concern("unbalanced", f"{share:.0%} of its utterances are fake, far from half")
    if train := by_name.get("train"):
        yield from _variety_concerns(train)
    if (test := by_name.get("test")) and "train" in by_name and not test.unseen:
        yield Concern("nothing_unseen", "test has no synthesis system that train lacks: it cannot tell generalisation")


def _contents(name: str, part: pd.DataFrame, trained: set[str], cues: pd.DataFrame) -> Contents:
    spoof = part["label"] == SPOOF
    systems = set(part["attack"][spoof])
    noise = cues["noise_floor_db"][(cues["split"] == name) & (cues["label"] == BONAFIDE)]
    low, high = noise.quantile([0.05, 0.95])
    return Contents(
        split=name,
        bonafide=int((~spoof).sum()),
        spoof=int(spoof.sum()),
        hours=float((part["frames"] / part["sample_rate"]).sum() / 3600),
        systems=len(systems),
        unseen=len(systems - trained),
        speakers=len(set(part["speaker"]) - {UNKNOWN}),
        groups=part["group"].nunique(),
        codecs=len(set(part["codec"]) - {UNKNOWN}),
        noise_spread_db=float(high - low),
    )


def _class_concerns(splits: dict[str, Contents]) -> Iterator[Concern]:
    """Splits that lack a class, or nearly."""
    for name, forbids in _NEEDED.items():
        if name not in splits:
            yield Concern(f"lacking/{name}", f"it has no {name} split", forbids)
            continue
        for label in LABEL_NAMES:
            if (count := getattr(splits[name], label)) < MIN_TRIALS:
                text = f"{name} holds {count or 'no'} {label} utterance{'' if count == 1 else 's'}"
                yield Concern(f"lacking/{name}/{label}", text, forbids)


def _variety_concerns(train: Contents) -> Iterator[Concern]:
    if train.systems < MIN_SYSTEMS:
        yield Concern("systems", f"train has {train.systems} synthesis system: a detector learns its habits alone")
    if train.speakers < MIN_VOICES:
        known = "one voice" if train.speakers else "no known voice"
        yield Concern("voices", f"train has {known}: a detector may learn who speaks")
    if train.noise_spread_db < MIN_NOISE_SPREAD_DB:
        text = (
            f"noise floors of real speech in train lie within {train.noise_spread_db:.0f} dB: "
            "add noise, rooms and codecs in training"
        )
        yield Concern("noise", text)
