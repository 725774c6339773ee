"""Prints the tables of README.md and draws its figure: openprompts as two recipes make it.

Usage: python table.py FOLDER_BEFORE FOLDER_AFTER; each holds a prepared corpus.
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.evaluation.audit.audit import Subject, audit
from deepfake_lab.evaluation.audit.cues import CUE_GROUPS
from deepfake_lab.evaluation.audit.shortcuts import ALL_CUES, THRESHOLD, joint

HERE = Path(__file__).parent
NAMES = (ALL_CUES, *CUE_GROUPS)
SPLITS = ("dev", "test")
RECIPES = (("before", "#d55e00", "o"), ("after", "#0072b2", "s"))


def probes(folder):
    """Of a corpus whose manifest may be older than today's columns, by cue and split."""
    rows = pq.read_table(folder / "manifest.parquet").to_pylist()
    found = audit(Subject("openprompts", Manifest.from_rows(rows, folder, str(folder))))
    return found.plain.probes


def print_cues(recipes):
    print("| cue |" + "".join(f" {split}, {name} |" for split in SPLITS for name, *_ in RECIPES))
    print("|---" * (1 + 2 * len(SPLITS)) + "|")
    by_place = [{(probe.cue, probe.split): probe for probe in found} for found in recipes]
    for cue in NAMES:
        cells = []
        for split in SPLITS:
            for places in by_place:
                value, (low, high) = places[cue, split].eer, places[cue, split].interval
                cells.append(f"{100 * value:.1f} [{100 * low:.0f}, {100 * high:.0f}]")
        print(f"| {cue} | " + " | ".join(cells) + " |")


def print_systems(recipes):
    print("\n| system |" + "".join(f" {split}, {name} |" for split in SPLITS for name, *_ in RECIPES))
    print("|---" * (1 + 2 * len(SPLITS)) + "|")
    for system in joint(recipes[0])["test"].systems:
        values = [joint(found)[split].systems.get(system) for split in SPLITS for found in recipes]
        cells = ["-" if value is None else f"{100 * value:.1f}" for value in values]
        print(f"| {system.partition('/')[2]} | " + " | ".join(cells) + " |")


def draw(recipes):
    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    for axes, split in zip(figure.subplots(1, 2, sharey=True), SPLITS, strict=True):
        for number, (found, (name, colour, marker)) in enumerate(zip(recipes, RECIPES, strict=True)):
            for probe in found:
                if probe.split == split:
                    place = NAMES.index(probe.cue) + 0.32 * (number - 0.5)
                    value, low, high = (100 * part for part in (probe.eer, *probe.interval))
                    bars = [[value - low], [high - value]]
                    label = name if probe.cue == ALL_CUES else None
                    style = {"fmt": marker, "color": colour, "ms": 4, "lw": 1.2, "label": label}
                    axes.errorbar(value, place, xerr=bars, **style)
        axes.axvline(50, color="0.6", linestyle=":", label="chance")
        axes.axvline(100 * THRESHOLD, color="0.3", linestyle="--", lw=0.8, label="shortcut below")
        axes.set(title=split, xlabel="EER (%), 95 % interval", xlim=(30, 65))
        axes.set_yticks(range(len(NAMES)), NAMES)
        axes.grid(axis="x", color="0.9")
    axes.invert_yaxis()
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(HERE / "cues.png", dpi=130)


def main():
    recipes = [probes(Path(folder)) for folder in sys.argv[1:3]]
    print_cues(recipes)
    print_systems(recipes)
    draw(recipes)


if __name__ == "__main__":
    main()
