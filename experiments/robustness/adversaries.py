"""What adversaries leave of detectors trained in several ways: a table and a figure of EER against the budget.

Usage: python adversaries.py OUTPUT [RUNS/ADVERSARY]

Reads what `python -m deepfake_lab.adversary` has left of the detectors of benchmark=adversaries, all seeds. Rows are
means over seeds, with the lowest and highest seed. Writes OUTPUT.csv and OUTPUT.png.
"""

import json
import re
import shlex
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

RECIPE = re.compile(r"-(plain|fgsm|pgd)-seed(\d+)-")
TITLES = {"fgsm": "FGSM", "pgd": "PGD, 20 steps", "transfer": "PGD, found with the plain detector"}


def attacks(folder):
    """One row a detector, adversary and budget: EER and accuracy."""
    for note in sorted(folder.glob("*/mlflow.json")):
        command = shlex.split(json.loads(note.read_text())["command"])
        settings = dict(word.split("=", 1) for word in command if "=" in word)
        recipe, seed = RECIPE.search(settings["checkpoint"]).groups()
        adversary = "transfer" if "source" in settings else settings["adversary"]
        for level in pd.read_csv(note.with_name("robustness.csv")).itertuples():
            measured = {"eer": level.eer, "accuracy": level.accuracy}
            yield {"trained": recipe, "adversary": adversary, "budget": level.budget, "seed": int(seed), **measured}


def main(output, folder="runs/adversary"):
    """Entry point."""
    found = pd.DataFrame(attacks(Path(folder)))
    by = found.groupby(["adversary", "trained", "budget"], sort=False)
    table = by.agg(
        seeds=("seed", "nunique"),
        eer=("eer", "mean"),
        least_eer=("eer", "min"),
        most_eer=("eer", "max"),
        accuracy=("accuracy", "mean"),
    ).reset_index()
    order = list(dict.fromkeys(found["budget"]))  # clean, then the smallest first
    table["budget"] = pd.Categorical(table["budget"], order)
    table = table.sort_values(["adversary", "trained", "budget"])
    table.to_csv(f"{output}.csv", index=False, float_format="%.4f")
    print(table.to_string(index=False, float_format=lambda value: f"{100 * value:.1f}"))
    picture(table, order, output)


def picture(table, budgets, output):
    """A panel for each adversary, a line for each way of training, a band from the lowest to the highest seed."""
    shown = [name for name in TITLES if name in set(table["adversary"])]
    figure, panels = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.6), sharey=True, layout="constrained")
    for axes, adversary in zip(panels, shown, strict=True):
        for trained, rows in table[table["adversary"] == adversary].groupby("trained", sort=False):
            place = [budgets.index(budget) for budget in rows["budget"]]
            (line,) = axes.plot(place, 100 * rows["eer"], marker="o", markersize=4, label=f"trained: {trained}")
            axes.fill_between(place, 100 * rows["least_eer"], 100 * rows["most_eer"], alpha=0.2, color=line.get_color())
        axes.set_title(TITLES[adversary])
        axes.set_xticks(range(len(budgets)), [budget.replace("snr_db=", "") for budget in budgets])
        axes.set_xlabel("how far below the recording the change lies, dB")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("EER, % (mean and range of seeds)")
    panels[0].legend(fontsize=8)
    figure.savefig(f"{output}.png", dpi=120)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
