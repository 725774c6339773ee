"""How often 95 % intervals cover the truth, with and without clusters, and with how many of them.

Scores are normal, with means at +1 and -1 and unit variance, so that the truth is known. In a cluster, trials share
half of their variance. Every draw is a new evaluation; every interval is what the lab prints.

Usage: python study.py FOLDER [--draws N]: a CSV file for each setting, left alone where it is there already; then the
table of README.md and its figure, coverage.png.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.progress import track

from deepfake_lab.evaluation.bootstrap import bounds_of, resample
from deepfake_lab.evaluation.breakdown import cells_of
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.metrics.functional import detection_metrics

SHARED = 0.5
"""Share of the variance that the trials of a cluster have in common."""
PER_CLUSTER = 5
SETTINGS = {
    **{f"single trials, {count} a class": ("single", count) for count in (50, 100, 250)},
    **{f"clusters of a class, {count} a class": ("apart", count) for count in (10, 20, 50, 100)},
    **{f"clusters of both classes, {count}": ("together", count) for count in (10, 20, 50, 100)},
    "clusters taken for single trials, 50 a class": ("ignored", 50),
}
THRESHOLD = 0.0


def evaluation(kind, count, rng):
    """A score table. Clusters hold five trials of one class, or five of each that share nothing else."""
    size = 1 if kind == "single" else PER_CLUSTER
    labels = np.repeat([0, 1], count * size)
    cluster = np.repeat(np.arange(2 * count), size)
    common = np.sqrt(SHARED) * rng.normal(size=2 * count)[cluster] if kind != "single" else 0
    own = np.sqrt(1 if kind == "single" else 1 - SHARED) * rng.normal(size=len(labels))
    groups = {"together": cluster % count, "ignored": np.arange(len(labels))}.get(kind, cluster)
    return pd.DataFrame({"score": 1 - 2 * labels + common + own, "label": labels, "group": groups})


def truth():
    """Metrics of four million trials."""
    rng = np.random.default_rng(1)
    measured = detection_metrics(1 + rng.normal(size=4_000_000), -1 + rng.normal(size=4_000_000), THRESHOLD)
    return np.array([measured[name] for name in MEASURES])


def covered(kind, count, draws, replicates, true):
    """Whether each interval covers the truth ``(draws, measures)``, and how long it is."""
    rows = []
    for draw in track(range(draws), f"{kind}, {count}"):
        table = evaluation(kind, count, np.random.default_rng([draw, count]))
        group = table["group"].to_numpy()
        cells, _ = cells_of(table, (), group, THRESHOLD)
        (values,) = resample([cells], int(group.max()) + 1, replicates=replicates, seed=draw)
        low, high = bounds_of(values[:, 0], cells.groups.min())
        rows.append(np.concatenate([(low <= true) & (true <= high), high - low]))
    return pd.DataFrame(rows, columns=[*MEASURES, *(f"{name}_length" for name in MEASURES)])


def print_table(found):
    """Coverage in %, a row a setting."""
    print("| setting | " + " | ".join(MEASURES) + " |\n|" + "---|" * (len(MEASURES) + 1))
    for name, row in found.iterrows():
        print(f"| {name} | " + " | ".join(f"{100 * row[measure]:.1f}" for measure in MEASURES) + " |")


def draw(found):
    """Coverage of some metrics by the number of clusters or trials of a class."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    kinds = {"single": "single trials", "apart": "clusters of a class", "together": "clusters of both classes"}
    for axes, (kind, title) in zip(panels, kinds.items(), strict=True):
        settings = [(count, name) for name, (which, count) in SETTINGS.items() if which == kind]
        counts = [count for count, _ in settings]
        axes.axhspan(93, 97, color="0.9")
        for measure, colour, marker in (("eer", "#0072B2", "o"), ("cllr", "#009E73", "s"), ("min_dcf", "#D55E00", "^")):
            covered = [100 * found.loc[name, measure] for _, name in settings]
            axes.plot(counts, covered, marker=marker, color=colour, label=measure)
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("a class")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("intervals that cover the truth (%)")
    panels[0].set_ylim(80, 100)
    panels[-1].legend(frameon=False, loc="lower right")
    figure.savefig(Path(__file__).with_name("coverage.png"), dpi=130)


def main():
    """Runs the settings that have no file yet, then shows all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=1000)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    true = truth()
    for name, (kind, count) in SETTINGS.items():
        path = arguments.folder / f"{name}.csv"
        if not path.is_file():
            found = covered(kind, count, arguments.draws, arguments.replicates, true)
            found.mean().to_frame(name).T.to_csv(path, index_label="setting")
    found = pd.concat([pd.read_csv(arguments.folder / f"{name}.csv", index_col=0) for name in SETTINGS])
    print_table(found)
    draw(found)


if __name__ == "__main__":
    main()
