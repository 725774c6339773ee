"""Refuses corpora from which nothing can be learnt or measured, and flags those that mislead."""

from __future__ import annotations

from collections.abc import Sequence

from deepfake_lab.data.inspection import missing_files
from deepfake_lab.data.manifest import UNKNOWN, Finding, Manifest
from deepfake_lab.types import BONAFIDE, LABEL_NAMES, SPOOF, LabError, Split

MIN_TRIALS = 10
"""Trials of each class that dev and test must hold: below, an error rate is a coin toss."""
MIN_CORPUS = 10_000
"""Labelled utterances below which results are flagged as coming from a small corpus."""
FAKE_SHARE = (0.4, 0.6)
"""Share of fakes in the training split outside which results are flagged."""


def check(manifest: Manifest, stages: Sequence[str] = ("fit", "test")) -> list[Finding]:
    """Checks that a corpus can be learnt from and measured on.

    Args:
        manifest: of the whole corpus.
        stages: what it is wanted for: "fit" needs train and dev, "test" needs test.

    Returns:
        What does not forbid a run but must be said beside its results, found now or while the corpus was prepared.

    Raises:
        LabError: the corpus or a split has one class, dev or test is too small, a group crosses splits.
    """
    _refuse_missing_classes(manifest, stages)
    _refuse_shared_groups(manifest)
    findings = list(manifest.findings)
    if len(manifest) < MIN_CORPUS:
        text = f"{len(manifest):,} labelled utterances, fewer than {MIN_CORPUS:,}: expect wide intervals"
        findings.append(Finding("small_corpus", text))
    bonafide, spoof = manifest.counts()["train"]
    share = spoof / max(bonafide + spoof, 1)
    if "fit" in stages and not FAKE_SHARE[0] <= share <= FAKE_SHARE[1]:
        findings.append(Finding("unbalanced", f"{share:.0%} of the training utterances are fake, far from half"))
    if shared := shared_between_splits(manifest, "speaker"):
        names = ", ".join(sorted(shared)[:3])
        text = f"{len(shared)} speakers occur in several splits ({names}): results do not speak of new voices"
        findings.append(Finding("shared_speakers", text))
    return findings


def check_files(manifest: Manifest) -> None:
    """Checks that every audio file is there, by listing each folder once.

    Raises:
        LabError: files are missing; it counts them and names the first.
    """
    paths = manifest.table["path"].unique().to_pylist()
    if missing := missing_files(manifest.root, paths):
        raise LabError(
            f"{manifest.root}: {len(missing)} of {len(paths)} audio files are missing, such as "
            f"{', '.join(sorted(missing)[:3])}. Check data.root, or prepare the corpus again with force=true."
        )


def shared_between_splits(manifest: Manifest, column: str) -> set[str]:
    """Values of a column that occur in several splits; the unknown is nobody's name."""
    pairs = manifest.table.group_by([column, "split"]).aggregate([])
    seen: set[str] = set()
    shared = {value for value in pairs[column].to_pylist() if value in seen or seen.add(value)}  # type: ignore[func-returns-value]
    return shared - {UNKNOWN}


def _refuse_missing_classes(manifest: Manifest, stages: Sequence[str]) -> None:
    counts = manifest.counts()
    total = [sum(pair[label] for pair in counts.values()) for label in (BONAFIDE, SPOOF)]
    if 0 in total:
        lacking = total.index(0)
        raise LabError(
            f"{manifest.source}: the corpus holds no {LABEL_NAMES[lacking]} utterance "
            f"({total[1 - lacking]} {LABEL_NAMES[1 - lacking]}). A detector cannot learn from one class: "
            "add the other (data=mix joins corpora), or choose another corpus (data=openprompts)."
        )
    needed: list[Split] = [*(["train", "dev"] if "fit" in stages else []), *(["test"] if "test" in stages else [])]  # type: ignore[list-item]
    needed += ["dev"] if "dev" not in needed and any(counts["dev"]) else []
    for split in needed:
        for label, name in enumerate(LABEL_NAMES):
            if not counts[split][label]:
                raise LabError(f"{manifest.source}: the {split} split holds no {name} utterance. {_advice(counts)}")
            if split != "train" and counts[split][label] < MIN_TRIALS:
                raise LabError(
                    f"{manifest.source}: the {split} split holds {counts[split][label]} {name} trials, fewer than "
                    f"{MIN_TRIALS}: its error rates would mean nothing. Add trials or move some from train."
                )


def _advice(counts: dict[Split, tuple[int, int]]) -> str:
    if any(counts["train"] + counts["dev"]):
        return "Mend the split column."
    return "This corpus is for evaluation alone: use it with stages=[test] checkpoint=runs/NAME/detector.ckpt."


def _refuse_shared_groups(manifest: Manifest) -> None:
    if shared := shared_between_splits(manifest, "group"):
        raise LabError(
            f"{manifest.source}: {len(shared)} groups cross splits, such as {', '.join(sorted(shared)[:3])}. The "
            "same sentence or source in training and test makes results look better than they are: keep it in one."
        )
