"""Mean EER over the systems that training lacked, of every detector of some benchmarks: tables and a figure.

Usage: python table.py OUTPUT FOLDER... [--together DETECTOR...]

A detector is a model, front-end and recipe. Its runs in several folders (other systems held out in each) and with
several seeds are one row: the mean over folders of the mean EER over the folder's unseen systems, mean over seeds.
Intervals are of a bootstrap that draws groups (a prompt and its copies) whole, the same ones for all rows, as is that
of the difference from the plain recipe. Unseen is what is in test and not in dev, which has the systems of train.
Detectors named after --together make two rows more: the mean of their scores, with one seed of each, and with all.
Writes OUTPUT.csv, OUTPUT-systems.csv and OUTPUT.png.
"""

import argparse
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from deepfake_lab.metrics.functional import eer

REPLICATES = 200


class Run(NamedTuple):
    """A finished run: its detector, seed, folder, and trials of test: bona fide and of unseen systems."""

    detector: str
    seed: int
    folder: str
    trials: pd.DataFrame


def runs(folders):
    """Every finished run of benchmarks in the folders."""
    for folder in map(Path, folders):
        for scores in sorted(folder.glob("*/report/scores/test/trials.parquet")):
            detector, _, seed = scores.parents[3].name.removesuffix("-openprompts").rpartition("-seed")
            trials = pd.read_parquet(scores, columns=["key", "score", "label", "attack", "group"])
            seen = pd.read_parquet(scores.parents[1] / "dev/trials.parquet", columns=["attack"])["attack"]
            kept = trials[(trials["label"] == 0) | ~trials["attack"].isin(seen)].reset_index(drop=True)
            kept["system"] = kept.pop("attack").str.rpartition("/")[2]
            yield Run(detector, int(seed), folder.name, kept)


def ensembles(found, detectors):
    """Runs of several detectors together: those of each seed, and those of all seeds as one."""
    ours = [run for run in found if run.detector in detectors]
    name = " + ".join(detector.rpartition("-")[2] for detector in detectors)
    for folder in sorted({run.folder for run in ours}):
        here = [run for run in ours if run.folder == folder]
        for seed in sorted({run.seed for run in here}):
            yield mean_of([run for run in here if run.seed == seed], name, seed)
        yield mean_of(here, f"{name}, all seeds", 0)


def mean_of(members, name, seed):
    """A run whose scores are the means of its members'."""
    tables = [run.trials.set_index("key") for run in members]
    score = sum(table["score"].reindex(tables[0].index) for table in tables) / len(tables)
    if score.isna().any():
        raise SystemExit(f"{members[0].folder}: members of '{name}' have other trials")
    return Run(name, seed, members[0].folder, members[0].trials.assign(score=score.to_numpy()))


def errors(trials, groups, draws):
    """EER of each system ``(1 + REPLICATES, systems)``; row 0 is of the trials as they are."""
    place = trials["group"].map(groups).to_numpy()
    real = (trials["label"] == 0).to_numpy()
    score = trials["score"].to_numpy()
    found = []
    for _, fakes in sorted(trials[~real].groupby("system").indices.items()):
        rows = np.flatnonzero(~real)[fakes]
        values = []
        for weight in draws:
            both = np.repeat(score[real], weight[place[real]]), np.repeat(score[rows], weight[place[rows]])
            values.append(eer(*both) if all(map(len, both)) else np.nan)
        found.append(values)
    return np.array(found).T


def main():
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--together", nargs="+", default=[], metavar="DETECTOR")
    options = parser.parse_args()
    found = list(runs(options.folders))
    compare(options.output, [*found, *ensembles(found, options.together)])


def compare(output, found):
    """Writes the tables and the figure of some runs."""
    names = sorted({group for run in found for group in run.trials["group"]})
    groups = {name: number for number, name in enumerate(names)}
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=REPLICATES)
    draws = np.vstack([np.ones(len(names), int), drawn])
    rows, systems, means = [], [], {}
    found.sort(key=lambda run: run.detector)
    for detector, ours in groupby(found, key=lambda run: run.detector):
        by_folder = {}
        for run in ours:
            values = errors(run.trials, groups, draws)
            by_folder.setdefault(run.folder, []).append(values.mean(axis=1))
            heard = sorted(set(run.trials["system"]) - {"bonafide"})
            systems += [
                {"detector": detector, "seed": run.seed, "folder": run.folder, "system": system, "eer": value}
                for system, value in zip(heard, values[0], strict=True)
            ]
        seeds = [np.mean(each, axis=0) for each in zip(*by_folder.values(), strict=False)]
        means[detector] = np.mean(seeds, axis=0)
        low, high = np.nanpercentile(means[detector][1:], [2.5, 97.5])
        spread = [seed[0] for seed in seeds]
        rows.append(
            {
                "detector": detector,
                "folders": len(by_folder),
                "seeds": len(seeds),
                "eer": means[detector][0],
                "low": low,
                "high": high,
                "least_seed": min(spread),
                "most_seed": max(spread),
            }
        )
    plain = next((name for name in means if name.endswith("-plain")), next(iter(means)))
    for row in rows:
        change = means[row["detector"]] - means[plain]
        low, high = np.nanpercentile(change[1:], [2.5, 97.5])
        row |= {"change": change[0], "change_low": low, "change_high": high}
    table = pd.DataFrame(rows).sort_values("eer").reset_index(drop=True)
    table.to_csv(f"{output}.csv", index=False, float_format="%.4f")
    pd.DataFrame(systems).to_csv(f"{output}-systems.csv", index=False, float_format="%.4f")
    print(table.to_string(index=False, float_format=lambda value: f"{100 * value:.1f}"))
    picture(table, plain, output)


def picture(table, plain, output):
    """A dot and an interval for each detector, the least error on top."""
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.27 * len(table)), layout="constrained")
    place = np.arange(len(table))[::-1]
    percent = 100 * table[["eer", "low", "high"]].to_numpy()
    reach = np.abs(percent[:, 1:] - percent[:, :1]).T
    axes.errorbar(percent[:, 0], place, xerr=reach, fmt="o", color="tab:blue", markersize=4, capsize=2)
    axes.axvline(
        100 * table.loc[table["detector"] == plain, "eer"].iloc[0], color="grey", linewidth=0.8, linestyle="--"
    )
    axes.set_yticks(place, table["detector"])
    axes.set_xlabel("mean EER over systems never trained on,\nunseen voices, % (95 % interval)")
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(f"{output}.png", dpi=120)


if __name__ == "__main__":
    main()
