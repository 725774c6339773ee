"""How long a detector must listen: EER against seconds heard.

Usage: python delay.py MANIFEST CHECKPOINT [--systems NAME...] [--output delay]

Every test utterance of the manifest (a parquet file of the lab) that is at least as long as the longest time asked for
is judged by its beginning alone, as a stream would that has heard no more. So all times are about the same utterances.
Writes OUTPUT.csv and OUTPUT.png.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from deepfake_lab import audio
from deepfake_lab.checkpoint import load_detector
from deepfake_lab.evaluation.bootstrap import clustered_interval
from deepfake_lab.metrics.functional import eer
from deepfake_lab.types import SAMPLE_RATE

SECONDS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0)


def scores(detector, wave):
    """Score of the beginning of a waveform (T,), by the seconds of it that are heard."""
    for seconds in SECONDS:
        windows = torch.from_numpy(audio.windows(wave[: round(seconds * SAMPLE_RATE)], detector.window_samples))
        with torch.inference_mode():
            yield float(detector(windows).score.double().mean())


def main():
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("checkpoint")
    parser.add_argument("--systems", nargs="*", help="fakes of these alone; by default of all")
    parser.add_argument("--output", default="delay")
    options = parser.parse_args()
    rows = pd.read_parquet(options.manifest)
    long = rows["frames"] >= SECONDS[-1] * rows["sample_rate"]
    rows = rows[(rows["split"] == "test") & long & (rows["spoof_spans"] == "-")]
    if options.systems:
        rows = rows[(rows["label"] == 0) | rows["attack"].str.rpartition("/")[2].isin(options.systems)]
    detector = load_detector(options.checkpoint)
    heard = np.array([list(scores(detector, audio.load(options.manifest.parent / path))) for path in rows["path"]])
    label, groups = rows["label"].to_numpy(), pd.factorize(rows["group"])[0]
    found = []
    for seconds, column in zip(SECONDS, heard.T, strict=True):
        low, high = clustered_interval(column, label, groups)
        value = eer(column[label == 0], column[label == 1])
        found.append({"seconds": seconds, "eer": value, "low": low, "high": high, "trials": len(rows)})
    table = pd.DataFrame(found)
    table.to_csv(f"{options.output}.csv", index=False)
    print(table.to_string(index=False))
    plt.figure(figsize=(6, 3.5))
    plt.fill_between(table["seconds"], 100 * table["low"], 100 * table["high"], alpha=0.2)
    plt.plot(table["seconds"], 100 * table["eer"], marker="o")
    plt.xlabel("seconds heard")
    plt.ylabel("EER, %")
    plt.ylim(bottom=0)
    plt.title(f"{len(rows)} test utterances of {SECONDS[-1]:g} s and more; band: 95 %", fontsize=9)
    plt.tight_layout()
    plt.savefig(f"{options.output}.png", dpi=150)


if __name__ == "__main__":
    main()
