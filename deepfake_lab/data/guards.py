"""Refuses corpora from which nothing can be learnt or measured, and flags those that mislead."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from deepfake_lab.data.manifest import UNKNOWN, Manifest
from deepfake_lab.types import BONAFIDE, LABEL_NAMES, SPOOF, LabError

MIN_TRIALS = 10
"""Trials of each class that dev and test must hold: below, an error rate is a coin toss."""
MIN_CORPUS = 10_000
"""Labelled utterances below which results are flagged as coming from a small corpus."""
FAKE_SHARE = (0.4, 0.6)
"""Share of fakes in the training split outside which results are flagged."""


class Finding(NamedTuple):
    """Something true of a corpus that a reader of the results must know: `code` for tags, `text` for people."""

    code: str
    text: str


def check(manifest: Manifest) -> list[Finding]:
    """Checks that a corpus can be learnt from and measured on.

    Returns:
        What does not forbid a run but must be said beside its results.

    Raises:
        LabError: the corpus or a split has one class, dev or test is too small, a group crosses splits.
    """
    _refuse_missing_classes(manifest)
    _refuse_shared_groups(manifest)
    findings = []
    if len(manifest) < MIN_CORPUS:
        text = f"{len(manifest):,} labelled utterances, fewer than {MIN_CORPUS:,}: expect wide intervals"
        findings.append(Finding("small_corpus", text))
    bonafide, spoof = manifest.counts()["train"]
    share = spoof / max(bonafide + spoof, 1)
    if not FAKE_SHARE[0] <= share <= FAKE_SHARE[1]:
        findings.append(Finding("unbalanced", f"{share:.0%} of the training utterances are fake, far from half"))
    if shared := _shared_between_splits(manifest, "speaker") - {UNKNOWN}:
        names = ", ".join(sorted(shared)[:3])
        text = f"{len(shared)} speakers occur in several splits ({names}): results do not speak of new voices"
        findings.append(Finding("shared_speakers", text))
    return findings


def check_files(manifest: Manifest) -> None:
    """Checks that every audio file is there, by listing each folder once.

    Raises:
        LabError: files are missing; it counts them and names the first.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for path in manifest.table["path"].unique().to_pylist():
        pure = PurePosixPath(path)
        wanted[str(pure.parent)].add(pure.name)
    missing = [
        str(PurePosixPath(folder, name))
        for folder, names in wanted.items()
        for name in names - _listing(manifest.root / folder)
    ]
    if missing:
        raise LabError(
            f"{manifest.root}: {len(missing)} of {sum(map(len, wanted.values()))} audio files are missing, such as "
            f"{', '.join(sorted(missing)[:3])}. Check data.root, or prepare the corpus again with force=true."
        )


def _listing(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()


def _refuse_missing_classes(manifest: Manifest) -> None:
    counts = manifest.counts()
    total = [sum(pair[label] for pair in counts.values()) for label in (BONAFIDE, SPOOF)]
    if 0 in total:
        lacking = total.index(0)
        raise LabError(
            f"{manifest.source}: the corpus holds no {LABEL_NAMES[lacking]} utterance "
            f"({total[1 - lacking]} {LABEL_NAMES[1 - lacking]}). "
            "A detector cannot learn from one class: add the other, or choose another corpus (data=openprompts)."
        )
    for label, name in enumerate(LABEL_NAMES):
        for split, pair in counts.items():
            if not pair[label]:
                raise LabError(
                    f"{manifest.source}: the {split} split holds no {name} utterance. Mend the split column."
                )
            if split != "train" and pair[label] < MIN_TRIALS:
                raise LabError(
                    f"{manifest.source}: the {split} split holds {pair[label]} {name} trials, fewer than {MIN_TRIALS}: "
                    "its error rates would mean nothing. Add trials or move some from train."
                )


def _refuse_shared_groups(manifest: Manifest) -> None:
    if shared := _shared_between_splits(manifest, "group"):
        raise LabError(
            f"{manifest.source}: {len(shared)} groups cross splits, such as {', '.join(sorted(shared)[:3])}. The "
            "same sentence or source in training and test makes results look better than they are: keep it in one."
        )


def _shared_between_splits(manifest: Manifest, column: str) -> set[str]:
    pairs = manifest.table.group_by([column, "split"]).aggregate([])
    seen: set[str] = set()
    return {value for value in pairs[column].to_pylist() if value in seen or seen.add(value)}  # type: ignore[func-returns-value]
