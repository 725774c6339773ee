"""The audit of a corpus: everything that is looked at, what it means, and the figures to record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import pandas as pd

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.evaluation.audit import overlap, shortcuts, sufficiency
from deepfake_lab.evaluation.audit.cues import Treat, measure
from deepfake_lab.evaluation.audit.overlap import Overlap
from deepfake_lab.evaluation.audit.shortcuts import ALL_CUES, Probe
from deepfake_lab.evaluation.audit.sufficiency import Contents
from deepfake_lab.evaluation.audit.verdict import Concern, Verdict, judge, reservations

UNREADABLE: Final = "unreadable"


class Subject(NamedTuple):
    """A corpus that is looked at: its name, its utterances, and the collections that its recordings come from."""

    name: str
    manifest: Manifest
    sources: Sequence[str] = ()


class Treatment(NamedTuple):
    """What every waveform goes through before a detector hears it.

    Attributes:
        name: for people.
        trim: leave out the quiet edges.
        treat: what else is done to the waveform.
    """

    name: str
    trim: bool
    treat: Treat | None = None


class Settings(NamedTuple):
    """How to look.

    Attributes:
        limit: most utterances of each class of each split that are listened to.
        threshold: equal error rate of the cues below which they count as a shortcut.
        workers: processes that listen; 0 takes one a core, eight at most.
        seed: of sample, folds and bootstrap.
    """

    limit: int = 1000
    threshold: float = shortcuts.THRESHOLD
    workers: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Shortcuts:
    """Cues as they were measured, and what a classifier makes of them."""

    cues: pd.DataFrame
    probes: Sequence[Probe]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        name: of the corpus.
        against: name of the corpus on which a detector trained on this one would be measured, if any.
        contents: what each split holds.
        overlaps: between the splits, and with `against`.
        plain: the shortcut probe of the audio as it is.
        treatment: name of the treatment, if any.
        treated: the shortcut probe after it.
        concerns: what it all means; about shortcuts, those that the treatment leaves.
        threshold: see `Settings`.
    """

    name: str
    against: str | None
    contents: Sequence[Contents]
    overlaps: Sequence[Overlap]
    plain: Shortcuts
    treatment: str | None
    treated: Shortcuts | None
    concerns: Sequence[Concern]
    threshold: float

    @property
    def parts(self) -> list[tuple[str, Shortcuts]]:
        """The shortcut probes and what they were made of."""
        return [("as it is", self.plain), *([("treated", self.treated)] if self.treated else [])]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Whether the corpus is fit, one verdict a purpose."""
        return judge(self.concerns)

    @property
    def reservations(self) -> tuple[str, ...]:
        """What forbids nothing, but must be said."""
        return reservations(self.concerns)

    def all_cues(self) -> pd.DataFrame:
        """Every utterance that was listened to, in the columns of `measure` and one that says before or after what."""
        return pd.concat([part.cues.assign(treatment=name) for name, part in self.parts], ignore_index=True)

    def metrics(self) -> dict[str, float]:
        """Figures by name: `audit/test/eer` of all cues, `audit/duration/test/eer` of one, `audit/treated/...`."""
        found = {}
        for (_, part), prefix in zip(self.parts, ("audit", "audit/treated"), strict=False):
            for probe in part.probes:
                path = f"{prefix}/" if probe.cue == ALL_CUES else f"{prefix}/{slug(probe.cue)}/"
                found[f"{path}{probe.split}/eer"] = probe.eer
        for one in self.overlaps:
            found[f"audit/overlap/{slug(one.here)}-{slug(one.there)}/{one.column}"] = float(one.shared)
        found["audit/utterances"] = float(sum(part.bonafide + part.spoof for part in self.contents))
        found["audit/hours"] = sum(part.hours for part in self.contents)
        return found


def audit(
    subject: Subject,
    *,
    against: Subject | None = None,
    treatment: Treatment | None = None,
    settings: Settings | None = None,
) -> Audit:
    """Looks at a corpus from all sides. Whatever is wrong with it is reported; nothing is refused.

    Args:
        subject: the corpus.
        against: a corpus on which a detector trained on this one would be measured.
        treatment: shows the shortcut probe before and after it.
        settings: how to look.
    """
    settings = settings or Settings()
    manifest = subject.manifest
    plain = _listen(manifest, settings, None)
    treated = _listen(manifest, settings, treatment) if treatment else None
    contents = sufficiency.contents(manifest, plain.cues)
    inside = overlap.between_splits(manifest)
    across = overlap.between_corpora((subject.name, manifest), against[:2]) if against else []
    concerns = [
        *overlap.split_concerns(inside),
        *overlap.audio_concerns(manifest),
        *(overlap.corpus_concerns(across, subject.sources, against.sources) if against else ()),
        *_shortcut_concerns(plain, treated, settings.threshold),
        *sufficiency.concerns(contents),
        *_notes(manifest, plain.cues, settings.limit),
    ]
    return Audit(
        name=subject.name,
        against=against.name if against else None,
        contents=contents,
        overlaps=[*inside, *across],
        plain=plain,
        treatment=treatment.name if treatment else None,
        treated=treated,
        concerns=concerns,
        threshold=settings.threshold,
    )


def slug(name: str) -> str:
    """A name as metric names want it."""
    return re.sub(r"\W+", "_", name.lower())


def _listen(manifest: Manifest, settings: Settings, treatment: Treatment | None) -> Shortcuts:
    cues = measure(
        manifest,
        limit=settings.limit,
        trim=treatment is not None and treatment.trim,
        treat=treatment.treat if treatment else None,
        workers=settings.workers,
        seed=settings.seed,
    )
    return Shortcuts(cues, shortcuts.probe(cues, seed=settings.seed))


def _shortcut_concerns(plain: Shortcuts, treated: Shortcuts | None, threshold: float) -> Iterator[Concern]:
    if treated is None:
        yield from shortcuts.concerns(plain.probes, threshold)
        return
    for concern in shortcuts.concerns(treated.probes, threshold):
        yield concern._replace(text=f"even after the treatment, {concern.text}")


def _notes(manifest: Manifest, cues: pd.DataFrame, limit: int) -> Iterator[Concern]:
    """What was noticed while the corpus was prepared, and utterances that could not be listened to."""
    for finding in manifest.findings:
        yield Concern(finding.code, finding.text)
    wanted = sum(min(count, limit) for pair in manifest.counts().values() for count in pair)
    if lost := wanted - len(cues):
        text = f"{lost:,} of {wanted:,} sampled utterances cannot be read: prepare the corpus again with force=true"
        yield Concern(UNREADABLE, text)
