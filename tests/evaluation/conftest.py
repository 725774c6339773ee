from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.evaluation.scores import score_table

MEANS = {"bonafide": 1.5, "world": -2.0, "piper": 0.0}


@pytest.fixture
def make_manifest():
    """Makes the manifest of one split: so many sentences, each real and once by each system."""

    def make(split, sentences=20, attacks=("world", "piper"), corpus="openprompts"):
        rows = [
            {
                "key": f"{split}-{attack}-{sentence}",
                "path": f"{split}/{attack}/{sentence}.flac",
                "frames": 8_000 * (2 + sentence % 3),
                "sample_rate": 16_000,
                "channels": 1,
                "label": int(attack != "bonafide"),
                "attack": attack if attack == "bonafide" else f"{corpus}/{attack}",
                "speaker": "anna",
                "group": f"{split}-{sentence}",
                "split": split,
                "corpus": corpus,
            }
            for attack in ("bonafide", *attacks)
            for sentence in range(sentences)
        ]
        return Manifest.from_rows(rows, Path("audio"), "test manifest")

    return make


@pytest.fixture
def make_table(make_manifest):
    """Makes a score table of several splits with normally distributed scores, farther apart where `scale` is larger."""

    def make(attacks=None, sentences=20, scale=1.0, spread=1.0, seed=0):
        attacks = attacks or {"train": ("world",), "dev": ("world",), "test": ("world", "piper")}
        rng = np.random.default_rng(seed)
        tables = []
        for split, names in attacks.items():
            manifest = make_manifest(split, sentences, names)
            kinds = [name.split("/")[-1] for name in manifest.table["attack"].to_pylist()]
            means = np.array([MEANS.get(kind, -1.0) for kind in kinds])
            score = scale * means + spread * rng.normal(size=len(manifest))
            tables.append(score_table(manifest, np.arange(len(manifest)), score, 3 * score + 1))
        return pd.concat(tables, ignore_index=True)

    return make
