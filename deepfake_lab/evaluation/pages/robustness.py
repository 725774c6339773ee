"""What is said of detectors under conditions: a verdict, tables and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deepfake_lab.evaluation.conditions import Condition
from deepfake_lab.evaluation.pages.document import percent, picture, points, write_page
from deepfake_lab.evaluation.pages.html import Page, Picture, Section, Table
from deepfake_lab.evaluation.plots.robustness import over_levels, side_by_side
from deepfake_lab.evaluation.robustness import MEAN, Place, Rates, Robustness, write_rates
from deepfake_lab.evaluation.trials import CLEAN

NAME = "robustness"
SPEAKS_OF = (
    "Intervals (95 %) are of other recordings of the same sources. The mean is over conditions, each the mean over its "
    "levels."
)
AT_THRESHOLD = (
    "The threshold is the detector's own, from dev as it was recorded; nothing is fitted under a condition. HTER, the "
    "half total error rate, is the mean of both errors there: what it lies above the EER is the price of scores that "
    "have moved."
)


def robustness_page(found: Robustness, conditions: Mapping[str, Condition]) -> Page:
    """The page; `conditions` are those measured, by name."""
    return Page(
        title=found.title,
        alarm="doubt" if found.warnings else "fine",
        verdict=" ".join(_in_words(found, name) for name in found.detectors),
        reasons=[_gained(found, name) for name in found.detectors[1:]],
        warnings=found.warnings,
        sections=[
            Section("Equal error rate", [_eer_table(found)], SPEAKS_OF),
            Section("Against the level", _pictures(found, conditions)),
            Section("Decisions", [_decision_table(found)], f"{AT_THRESHOLD} {_thresholds(found)}"),
        ],
    )


def write_robustness(found: Robustness, conditions: Mapping[str, Condition], folder: Path) -> Page:
    """Leaves `robustness.md`, `.html`, `.csv` and pictures in a folder; gives what they say."""
    page = robustness_page(found, conditions)
    write_page(page, folder, NAME)
    write_rates(found.rates, folder / f"{NAME}.csv")
    return page


def _in_words(found: Robustness, detector: str) -> str:
    own = {place: rates for place, rates in found.rates.items() if place.detector == detector}
    clean, mean = own[Place(detector, CLEAN)], own.pop(Place(detector, MEAN))
    worst = max(own, key=lambda place: own[place].eer.value)
    return (
        f"{detector}: EER {_rounded(clean)} clean, {_rounded(mean)} in the mean over conditions, "
        f"{_rounded(own[worst])} at worst ({worst.title})."
    )


def _rounded(rates: Rates) -> str:
    return f"{100 * rates.eer.value:.1f} %"


def _gained(found: Robustness, detector: str) -> str:
    """How a detector compares with the first."""
    gain = found.rates[Place(detector, MEAN)].gain
    low, high = gain.interval
    said = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    return f"Gain of {detector} over {found.detectors[0]}: {points(gain)} points of mean EER, {said}."


def _eer_table(found: Robustness) -> Table:
    """Condition by detector, with the gain of each over the first."""
    first, *others = found.detectors
    header = ["EER %", *found.detectors, *(f"gain of {name}, points" for name in others)]
    rows = []
    for condition, level in [(CLEAN, ""), *found.harms, (MEAN, "")]:
        own = {name: found.rates[Place(name, condition, level)] for name in found.detectors}
        cells = [percent(rates.eer) for rates in own.values()] + [points(own[name].gain) for name in others]
        rows.append([Place(first, condition, level).title, *cells])
    return Table("", header, rows)


def _decision_table(found: Robustness) -> Table:
    """Errors at the detectors' own thresholds."""
    parts = ("HTER %", "bona fide rejected %", "spoofs accepted %")
    header = ["", *(f"{name}: {part}" if name else part for name in _names(found) for part in parts)]
    rows = []
    for condition, level in [(CLEAN, ""), *found.harms, (MEAN, "")]:
        row = [Place("", condition, level).title]
        for name in found.detectors:
            rates = found.rates[Place(name, condition, level)]
            row += [f"{100 * one.value:.1f}" for one in (rates.hter, rates.miss, rates.false_alarm)]
        rows.append(row)
    return Table("", header, rows)


def _names(found: Robustness) -> list[str]:
    """Names of the detectors, where there is more than one to tell apart."""
    return found.detectors if len(found.detectors) > 1 else [""]


def _thresholds(found: Robustness) -> str:
    parts = (f"{threshold:.3f} ({name})" for name, threshold in found.thresholds.items())
    return f"Thresholds: {', '.join(parts)}."


def _pictures(found: Robustness, conditions: Mapping[str, Condition]) -> list[Picture]:
    scales = {name: condition.axis for name, condition in conditions.items() if condition.ordered}
    drawn = []
    if scales:
        caption = "Solid: EER, with its 95 % band. Dotted: HTER at the detector's own threshold. Dashed: chance."
        alt = f"Error rates by level of {', '.join(scales)}."
        drawn.append(picture(over_levels(found, scales), caption, alt))
    for name, condition in conditions.items():
        if not condition.ordered:
            caption = (
                "Filled: EER, with its 95 % interval. Open: HTER at the detector's own threshold. Lines: clean EER."
            )
            drawn.append(
                picture(side_by_side(found, name, condition.axis), caption, f"Error rates by {condition.axis}.")
            )
    return drawn
