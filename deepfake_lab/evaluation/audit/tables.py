"""An audit as tables of text, the same in a terminal and on a page."""

from __future__ import annotations

import math

from deepfake_lab.evaluation.audit.audit import Audit, Shortcuts
from deepfake_lab.evaluation.audit.cues import CUE_GROUPS
from deepfake_lab.evaluation.audit.overlap import COMPARED
from deepfake_lab.evaluation.audit.shortcuts import ALL_CUES, Outcome, Probe, joint
from deepfake_lab.evaluation.pages.html import Table
from deepfake_lab.types import SPLITS, Split

SHORTCUT_MARK = "!"
CROSS_VALIDATED_MARK = "*"


def tables(audit: Audit, *, intervals: bool = True) -> list[Table]:
    """Everything that was found, in the order in which a reader wants it; with or without intervals of error rates."""
    return [
        contents_table(audit),
        shortcut_table(audit, intervals=intervals),
        system_table(audit),
        overlap_table(audit),
    ]


def contents_table(audit: Audit) -> Table:
    """What each split holds."""
    rows = [
        (
            part.split,
            f"{part.bonafide:,}",
            f"{part.spoof:,}",
            f"{part.hours:.2f}",
            f"{part.systems}" + (f" ({part.unseen} new)" if part.unseen and part.split != "train" else ""),
            f"{part.speakers:,}" if part.speakers else "-",
            f"{part.groups:,}",
            f"{part.codecs}" if part.codecs else "-",
            "-" if math.isnan(part.noise_spread_db) else f"{part.noise_spread_db:.0f} dB",
        )
        for part in audit.contents
    ]
    header = ("split", "bona fide", "spoof", "hours", "systems", "speakers", "groups", "codecs", "noise")
    note = (
        "Groups must not cross splits, and are what is independent of one another. New systems are those that train "
        "lacks. Noise: range of the noise floors of bona fide speech, 5th to 95th percentile."
    )
    return Table("Contents", header, rows, note=note)


def shortcut_table(audit: Audit, *, intervals: bool = True) -> Table:
    """Equal error rate of each cue on each split, before and after the treatment."""
    columns = _columns(audit)
    header = ("cue", *(name for name, _, _ in columns))
    rows = [
        (name, *(_cell(_at(part, name, split), audit.threshold, intervals=intervals) for _, split, part in columns))
        for name in (ALL_CUES, *CUE_GROUPS)
    ]
    note = (
        f"EER in %{' (95 % interval)' * intervals} of a classifier that knows nothing but the cue, fitted on train or, "
        f"where the split bears a {CROSS_VALIDATED_MARK}, by cross-validation within it. 50 is chance, and more is no "
        f"shortcut either; {SHORTCUT_MARK} marks one: below {100 * audit.threshold:g}, and not by chance."
    )
    title = "Shortcuts: cues that are not about synthesis"
    return Table(title, header, rows if columns else [], note=note if columns else _NOTHING_TO_PROBE)


def system_table(audit: Audit) -> Table:
    """Equal error rate of all cues together on each synthesis system: which ones the corpus gives away."""
    columns = [(name, joint(part.probes)[split].systems) for name, split, part in _columns(audit)]
    names = sorted({name for _, systems in columns for name in systems})
    rows = [(name, *(f"{100 * found[name]:.1f}" if name in found else "-" for _, found in columns)) for name in names]
    note = "EER in % of all cues together, each system against all bona fide utterances of the split."
    return Table("Shortcuts by synthesis system", ("system", *(name for name, _ in columns)), rows, note=note)


def overlap_table(audit: Audit) -> Table:
    """What occurs on both sides of each boundary."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in audit.overlaps:
        share = f" ({one.utterances / one.total:.1%} of {one.there})" if one.shared else ""
        found.setdefault((one.here, one.there), []).append(f"{one.shared:,}{share}" if one.known else "not known")
    rows = [(f"{here} and {there}", *cells) for (here, there), cells in found.items()]
    note = (
        "Number of values on both sides, and the utterances concerned. Groups (sentences, source recordings, "
        "identities) and recordings on both sides make results look better than they are; speakers on both sides: "
        "results do not speak of new voices."
    )
    return Table("Overlap", ("between", *COMPARED.values()), rows, note=note)


_NOTHING_TO_PROBE = "No split holds enough of both classes: there is nothing to tell apart."


def _columns(audit: Audit) -> list[tuple[str, Split, Shortcuts]]:
    """Header, split and probe of each column of error rates."""
    columns: list[tuple[str, Split, Shortcuts]] = []
    for split in SPLITS:
        for _, part in audit.parts:
            if found := joint(part.probes).get(split):
                star = "" if found.fitted_on == "train" else CROSS_VALIDATED_MARK
                columns.append((f"{split}{star}{' treated' * (part is audit.treated)}", split, part))
    return columns


def _at(part: Shortcuts, cue: str, split: str) -> Probe | None:
    return next((probe for probe in part.probes if (probe.cue, probe.split) == (cue, split)), None)


def _cell(probe: Probe | None, threshold: float, *, intervals: bool) -> str:
    if probe is None:
        return "-"
    low, high = (100 * bound for bound in probe.interval)
    interval = f" ({low:.0f}-{high:.0f})" if intervals else ""
    mark = f" {SHORTCUT_MARK}" if probe.outcome(threshold) is Outcome.SHORTCUT else ""
    return f"{100 * probe.eer:.1f}{interval}{mark}"
