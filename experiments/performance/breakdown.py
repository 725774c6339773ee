"""Measures the whole breakdown of an evaluation as large as that of ASVspoof 5: 1,000 replicates of every cell."""

import resource
import time

import numpy as np
import pandas as pd
from bench import Measurement, report

from deepfake_lab.evaluation.breakdown import breakdown

REAL, FAKE = 138_688, 542_086
ATTACKS, CODECS, SPEAKERS = 16, 12, 737
CODED = 0.75
"""Share of the trials that are coded copies of others."""
BOUND_S, BOUND_GB = 60.0, 2.0


def evaluation():
    """A score table: 16 attacks x 12 codecs; coded copies are in the group of their original."""
    rng = np.random.default_rng(0)
    parts = []
    for label, size in enumerate((REAL, FAKE)):
        family = np.arange(size)
        coded = rng.random(size) < CODED
        family[coded] = rng.choice(family[~coded], coded.sum())
        attack = rng.integers(ATTACKS, size=size)[family]
        codec = np.where(coded, rng.integers(1, CODECS, size=size), 0)
        shift = rng.normal(size=size)[family] - 0.05 * codec
        score = np.where(label, -2 + 0.15 * attack, 2) + shift + rng.normal(size=size)
        names = np.array([f"A{number:02d}" for number in range(17, 17 + ATTACKS)])
        parts.append(
            pd.DataFrame(
                {
                    "score": score,
                    "label": label,
                    "attack": names[attack] if label else "bonafide",
                    "codec": np.array(["-", *(f"C{number:02d}" for number in range(1, CODECS))])[codec],
                    "speaker": rng.integers(SPEAKERS, size=size)[family].astype(str),
                    "group": pd.Series(family).map(f"{label}-{{}}".format),
                    "duration_s": rng.uniform(1, 20, size)[family],
                }
            )
        )
    table = pd.concat(parts, ignore_index=True).assign(corpus="asvspoof5", split="test", language="en")
    return table.assign(gender=np.where(table["speaker"].astype(int) % 2, "F", "M"))


def measure():
    """Time and memory, and how many cells there were."""
    table = evaluation()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    cells = breakdown(table, 0.0, replicates=1000)
    spent = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = f"{len(table):,} trials, {len(cells)} cells"
    return [
        Measurement("breakdown, 1,000 replicates", spent, "s", BOUND_S, figures=figures),
        Measurement("memory of that", peak / 1e6, "GB", BOUND_GB, figures=f"before it {before / 1e6:.2f} GB"),
    ]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
