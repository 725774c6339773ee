"""Probes openprompts with cues that the audit does not measure, because they are partly about speech itself.

Usage: python beyond.py FOLDER_BEFORE FOLDER_AFTER; each holds a prepared corpus.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import soundfile
from scipy.signal import welch

from deepfake_lab.evaluation.audit.shortcuts import probe

RATE = 16_000
BANDS = {"80-100 Hz": (80, 100), "100-150 Hz": (100, 150), "6.5-7 kHz": (6500, 7000), "7-8 kHz": (7000, 8001)}
GROUPS = {
    "pauses": ("frames 30 dB down", "frames 35 dB down"),
    "distribution of levels": ("10th percentile", "25th percentile", "50th percentile"),
    "asymmetry": ("skewness",),
    "80-100 Hz": ("80-100 Hz",),
    "100-150 Hz": ("100-150 Hz",),
    "6.5-8 kHz": ("6.5-7 kHz", "7-8 kHz"),
}


def cues(path):
    wave, _ = soundfile.read(path)
    power = np.square(wave[: len(wave) // 160 * 160].reshape(-1, 160)).mean(axis=1)
    levels = 10 * np.log10(power + 1e-12)
    levels -= levels.max()
    frequency, density = welch(wave, RATE, nperseg=4096)
    bands = {
        name: 10 * np.log10(density[(frequency >= low) & (frequency < high)].sum() / density.sum() + 1e-14)
        for name, (low, high) in BANDS.items()
    }
    return {
        "frames 30 dB down": (levels < -30).mean(),
        "frames 35 dB down": (levels < -35).mean(),
        **{f"{q}th percentile": np.percentile(levels, q) for q in (10, 25, 50)},
        "skewness": np.mean(wave**3) / np.mean(wave**2) ** 1.5,
        **bands,
    }


def probes(folder):
    rows = pq.read_table(folder / "manifest.parquet").to_pandas()
    measured = pd.DataFrame([cues(folder / path) for path in rows["path"]])
    found = probe(pd.concat([rows[["split", "label", "attack", "group"]], measured], axis=1), GROUPS)
    return {(one.cue, one.split): one for one in found if one.split != "train"}


def main():
    before, after = (probes(Path(folder)) for folder in sys.argv[1:3])
    print("| cue | split | before | after | by system, after |\n|---|---|---|---|---|")
    for (cue, split), new in after.items():
        cells = [
            f"{100 * one.eer:.1f} [{100 * one.interval[0]:.0f}, {100 * one.interval[1]:.0f}]"
            for one in (before[cue, split], new)
        ]
        systems = ", ".join(f"{name.partition('/')[2]} {100 * value:.0f}" for name, value in new.systems.items())
        print(f"| {cue} | {split} | {' | '.join(cells)} | {systems} |")


if __name__ == "__main__":
    main()
