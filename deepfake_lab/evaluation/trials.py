"""Trials of a corpus on which a detector is tried beyond an ordinary evaluation, and the threshold that it brings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.metrics.functional import eer_threshold
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.models.detector import Detector
from deepfake_lab.types import BONAFIDE, SPOOF, LabError, Split

CLEAN: Final = "clean"
"""What recordings are called as they are."""
NO_THRESHOLD: Final = "brings no threshold: it is that of equal errors on these trials as they are"


def trials_of(corpus: Corpus, split: Split, most: int, seed: int = 0) -> Manifest:
    """Trials of a split: see `sampled`.

    Raises:
        LabError: the corpus is of no use, or the split lacks a class.
    """
    module = CorpusDataModule(corpus, stages=[split] if split == "test" else [])
    module.setup()
    real, fake = module.manifest.counts()[split]
    if not real or not fake:
        raise LabError(f"split={split}: {real} bona fide and {fake} spoofed trials, an EER needs both. Choose another.")
    return sampled(module.split(split), most, seed)


def sampled(manifest: Manifest, most: int, seed: int = 0) -> Manifest:
    """At most so many trials, drawn at random, as many of each class as there are; in their order."""
    label = manifest.table["label"].to_numpy()
    drawn = np.random.default_rng(seed).permutation(len(label))
    real, fake = (drawn[label[drawn] == one] for one in (BONAFIDE, SPOOF))
    real = real[: max(most // 2, most - len(fake))]
    rows = np.sort(np.concatenate([real, fake[: most - len(real)]]))
    return replace(manifest, table=manifest.table.take(pa.array(rows)))


def threshold_of(detector: Detector, bonafide: FloatArray, spoof: FloatArray) -> float:
    """The threshold of a detector; where it brings none, that of equal errors on scores of these trials."""
    own = float(detector.eer_threshold)
    return eer_threshold(bonafide, spoof) if math.isnan(own) else own
