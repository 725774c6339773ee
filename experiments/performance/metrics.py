"""Times EER, minDCF, actDCF and Cllr together on as many trials as ASVspoof 5 evaluates, NumPy arrays and tensors."""

import numpy as np
import torch
from bench import Measurement, medians, report

from deepfake_lab.metrics.functional import act_dcf, cllr, eer, min_dcf

BOUND = 1.0
"""Longest time of the four together, in s."""
BONAFIDE, SPOOF, REPEATS = 138_688, 542_086, 7


def measure():
    """Median times of the four metrics, each called by itself as a user would."""
    rng = np.random.default_rng(0)
    arrays = rng.normal(1, 2, BONAFIDE), rng.normal(-1, 2, SPOOF)
    tensors = [torch.from_numpy(scores).float() for scores in arrays]
    metrics = (eer, min_dcf, act_dcf, cllr)
    candidates = {
        "float64 arrays": lambda: [metric(*arrays) for metric in metrics],
        "float32 tensors": lambda: [metric(*tensors) for metric in metrics],
    }
    seconds = medians(candidates, REPEATS)
    figures = f"{BONAFIDE + SPOOF:,} trials"
    return [Measurement(f"four metrics, {name}", value, "s", BOUND, figures=figures) for name, value in seconds.items()]


def main():
    """Prints the table; exits with status 1 where a bound is broken."""
    return report(__doc__, measure)


if __name__ == "__main__":
    raise SystemExit(main())
