"""Scores detectors on an external set of recordings: EER with intervals over clips, overall and by family.

Usage: python external.py MANIFEST CHECKPOINT... [--output external.csv]

MANIFEST is a CSV with path (relative to it), label (bonafide or spoof) and family; nothing is trained, chosen or
calibrated on it. Scores of each checkpoint go beside it (CHECKPOINT.external.csv) and are made once. Several
checkpoints joined by + are an ensemble: the mean of their calibrated scores.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_lab.evaluation.bootstrap import clustered_interval
from deepfake_lab.metrics.functional import eer


def scores(checkpoint, folder):
    """Scores of all recordings of a folder by path relative to it."""
    made = Path(f"{checkpoint}.external.csv")
    if not made.is_file():
        settings = (f"checkpoint={checkpoint}", f"input={folder}", f"output={made}.part")
        subprocess.run([sys.executable, "-m", "deepfake_lab.predict", *settings], check=True, stdout=subprocess.DEVNULL)
        Path(f"{made}.part").rename(made)
    table = pd.read_csv(made)
    table["path"] = [Path(path).relative_to(folder).as_posix() for path in table["path"]]
    return table.set_index("path")["score"]


def rows(name, manifest, folder):
    """One row for all spoofs, and one for each family of them."""
    given = sum(scores(checkpoint, folder) for checkpoint in name.split("+"))
    heard = given.reindex(manifest["path"]).to_numpy()
    if np.isnan(heard).any():
        raise SystemExit(f"{name}: no score for {manifest['path'][np.isnan(heard)].tolist()[:3]}")
    real = (manifest["label"] == "bonafide").to_numpy()
    families = ["all", *sorted(set(manifest["family"][~real]))]
    for family in families:
        fake = ~real if family == "all" else ~real & (manifest["family"] == family).to_numpy()
        heard_of = real | fake
        low, high = clustered_interval(heard[heard_of], fake[heard_of].astype(int), np.flatnonzero(heard_of))
        yield {"detector": name, "family": family, "eer": eer(heard[real], heard[fake]), "low": low, "high": high}


def main():
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    manifest = pd.read_csv(options.manifest)
    found = [row for name in options.checkpoints for row in rows(name, manifest, options.manifest.parent)]
    table = pd.DataFrame(found)
    if options.output:
        table.to_csv(options.output, index=False)
    print(table.to_string(index=False, float_format=lambda value: f"{100 * value:.1f}"))


if __name__ == "__main__":
    main()
