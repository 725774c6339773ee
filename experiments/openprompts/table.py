"""Prints the tables of README.md and draws its figure, from the folders of finished runs.

Usage: python table.py RUN_DIR [RUN_DIR ...]; runs of the control are told by their tags in config.yaml.
"""

import json
import sys
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

HERE = Path(__file__).parent
COLOURS = ("#0072b2", "#d55e00")


def load(folder):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    metrics = json.loads((folder / "report" / "metrics.json").read_text())
    return {"seed": config["seed"], "control": config["data"]["shuffle_labels"], "metrics": metrics}


def cell(metrics, name):
    value, low, high = (100 * values(metrics, [name], end)[0] for end in ("", "_ci_low", "_ci_high"))
    return f"{value:.2f} [{low:.1f}, {high:.1f}]"


def print_table(runs):
    names = ["dev/eer", "test/eer", *sorted(name for name in runs[0]["metrics"] if name.startswith("test/eer/attack/"))]
    titles = [name.replace("/eer", "").replace("/attack/", ": ") for name in names]
    print("| seed | " + " | ".join(titles) + " | minDCF | actDCF, raw | actDCF | Cllr, raw | Cllr |")
    print("|---" * (len(names) + 6) + "|")
    for run in runs:
        costs = ("min_dcf", "raw/act_dcf", "act_dcf", "raw/cllr", "cllr")
        rest = " | ".join(f"{run['metrics'][f'test/{name}']:.3f}" for name in costs)
        print(f"| {run['seed']} | " + " | ".join(cell(run["metrics"], name) for name in names) + f" | {rest} |")
    means = [100 * np.mean([run["metrics"][name] for run in runs]) for name in names]
    print("| mean | " + " | ".join(f"{mean:.2f}" for mean in means) + " | | | | | |\n")


def values(metrics, names, end):
    return np.array([metrics[name.replace("eer", f"eer{end}", 1)] for name in names])


def draw(groups):
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    attacks = sorted(name for name in groups[0][1][0]["metrics"] if name.startswith("test/eer/attack/"))
    names = ["test/eer", *attacks]
    for number, (title, runs) in enumerate(groups):
        for nth, run in enumerate(runs):
            middle, low, high = (100 * values(run["metrics"], names, end) for end in ("", "_ci_low", "_ci_high"))
            place = np.arange(len(names)) + 0.12 * (nth - 1) + 0.06 * (2 * number - 1)
            label = f"{title} ({len(runs)} seeds)" if nth == 0 else None
            bars = [middle - low, high - middle]
            axes.errorbar(place, middle, bars, fmt="os"[number], color=COLOURS[number], ms=4, lw=1.2, label=label)
    axes.axhline(50, color="0.6", linestyle=":", label="chance")
    axes.set_xticks(range(len(names)), ["all", *(name.rpartition("/")[2] for name in attacks)])
    axes.set_ylabel("test EER (%), 95 % interval")
    axes.set_ylim(-2, 75)
    axes.grid(axis="y", color="0.9")
    axes.legend(loc="upper right", ncols=3, fontsize=8)
    figure.savefig(HERE / "eer.png", dpi=130)


def main():
    runs = sorted((load(Path(folder)) for folder in sys.argv[1:]), key=lambda run: (run["control"], run["seed"]))
    groups = [
        (title, chosen)
        for title, control in (("true labels", False), ("shuffled labels", True))
        if (chosen := [run for run in runs if run["control"] == control])
    ]
    for title, chosen in groups:
        print(f"{title}: EER in % with 95 % interval\n")
        print_table(chosen)
    draw(groups)


if __name__ == "__main__":
    main()
