"""Training in two processes beside training in one: the same seeds, the same number of steps.

Resumable: a run that has a report is not repeated, one that was interrupted goes on.

    python experiments/scale/processes.py --corpus openprompts --epochs 12 --seeds 3
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
from scipy import stats

WAYS = {
    "one process": ["trainer.accelerator=cpu"],
    "two processes": ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"],
}
MEASURES = ("dev/eer", "test/eer", "test/cllr")


def train(folder, settings):
    """Metrics of a run, which is done, gone on with, or read."""
    finished = folder / "report" / "metrics.json"
    if not finished.is_file():
        begun = (folder / "run.json").is_file()
        overrides = [f"resume={folder}"] if begun else [*settings, f"hydra.run.dir={folder}"]
        subprocess.run([sys.executable, "-m", "deepfake_lab.run", *overrides], check=True, stdout=subprocess.DEVNULL)
    return json.loads(finished.read_text())


def main():
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--corpus", default="toy")
    asked.add_argument("--epochs", type=int, default=8)
    asked.add_argument("--seeds", type=int, default=3)
    asked.add_argument("--folder", type=Path, default=Path("runs/scale"))
    asked.add_argument("settings", nargs="*", help="of every run, such as data.utterances=100 loader.window_s=0.4")
    given = asked.parse_args()
    common = [f"data={given.corpus}", f"trainer.max_epochs={given.epochs}", "callbacks.early_stopping=null"]
    rows = []
    for seed in range(given.seeds):
        for way, settings in WAYS.items():
            folder = given.folder / given.corpus / f"{way.replace(' ', '-')}-seed{seed}"
            metrics = train(folder, [*common, *settings, f"seed={seed}", *given.settings])
            rows.append({"way": way, "seed": seed, **{name: metrics[name] for name in MEASURES}})
            print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(Path(__file__).with_name("processes.csv"), index=False)
    print("| measured | one process, mean (95 % interval over seeds) | two processes, mean | within |")
    print("| --- | --- | --- | --- |")
    for name in MEASURES:
        one, two = (table[table["way"] == way][name] for way in WAYS)
        low, high = stats.t.interval(0.95, len(one) - 1, one.mean(), stats.sem(one))  # of the mean over seeds
        within = "yes" if low <= two.mean() <= high else "no"
        print(f"| {name} | {one.mean():.4f} ({low:.4f} to {high:.4f}) | {two.mean():.4f} | {within} |")


if __name__ == "__main__":
    main()
