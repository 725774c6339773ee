"""Which utterances are drawn more often: exact shares of a small manifest."""

from fractions import Fraction
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from deepfake_lab.config import check_targets
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.data.sampling import draw_shares
from deepfake_lab.types import LabError

CELLS = {  # (corpus, attack, codec): number of utterances
    ("x", "bonafide", "-"): 3,
    ("x", "bonafide", "mp3"): 1,
    ("x", "x/A01", "-"): 5,
    ("x", "x/A02", "-"): 1,
    ("x", "x/A02", "mp3"): 2,
    ("y", "bonafide", "-"): 2,
    ("y", "y/A01", "mp3"): 4,
}
EVERY = {"x": 3, "y": 1}  # weights of the corpora


def row(number, corpus, attack, codec):
    return {
        "key": str(number),
        "path": f"{number}.wav",
        "frames": 1,
        "sample_rate": 16_000,
        "channels": 1,
        "label": int(attack != "bonafide"),
        "attack": attack,
        "codec": codec,
        "group": str(number),
        "split": "train",
        "corpus": corpus,
    }


@pytest.fixture
def manifest():
    """Rows in an order that mixes the cells."""
    cells = sorted((i / count, cell) for cell, count in CELLS.items() for i in range(count))
    return Manifest.from_rows((row(number, *cell) for number, (_, cell) in enumerate(cells)), Path(), "cells")


@pytest.mark.parametrize(
    ("balance", "weights", "shares"),
    [
        (
            "class",
            None,
            ["1/2 * 3/6", "1/2 * 1/6", "1/2 * 5/12", "1/2 * 1/12", "1/2 * 2/12", "1/2 * 2/6", "1/2 * 4/12"],
        ),
        ("attack", None, ["1/2 * 3/6", "1/2 * 1/6", "1/6", "1/6 * 1/3", "1/6 * 2/3", "1/2 * 2/6", "1/6"]),
        ("domain", None, ["1/6", "1/6", "1/6 * 5/6", "1/6 * 1/6", "1/6", "1/6", "1/6"]),
        (
            "none",
            EVERY,
            ["3/4 * 3/12", "3/4 * 1/12", "3/4 * 5/12", "3/4 * 1/12", "3/4 * 2/12", "1/4 * 2/6", "1/4 * 4/6"],
        ),
        ("class", EVERY, ["3/8 * 3/4", "3/8 * 1/4", "3/8 * 5/8", "3/8 * 1/8", "3/8 * 2/8", "1/8", "1/8"]),
        ("attack", EVERY, ["3/8 * 3/4", "3/8 * 1/4", "3/16", "3/16 * 1/3", "3/16 * 2/3", "1/8", "1/8"]),
        ("domain", EVERY, ["3/16", "3/16", "3/16 * 5/6", "3/16 * 1/6", "3/16", "1/8", "1/8"]),
    ],
)
def test_shares_of_cells(manifest, balance, weights, shares):
    found = draw_shares(manifest, balance, weights)
    products = [[Fraction(factor) for factor in share.split(" * ")] for share in shares]
    expected = {cell: float(np.prod(factors)) for cell, factors in zip(CELLS, products, strict=True)}
    of_row = list(zip(*(manifest.table[name].to_pylist() for name in ("corpus", "attack", "codec")), strict=True))
    for cell, rows in groupby(sorted(range(len(of_row)), key=of_row.__getitem__), key=of_row.__getitem__):
        np.testing.assert_allclose(found[list(rows)], expected[cell] / CELLS[cell], err_msg=str(cell))
    assert found.sum() == pytest.approx(1, abs=1e-12)


def test_nothing_balanced_and_nothing_to_draw(manifest):
    assert draw_shares(manifest) is None
    assert len(draw_shares(manifest.split("dev"), "domain", EVERY)) == 0


class Unbalanced(Toy):
    """One real tone for two fakes in training."""

    def _rows(self):
        for number, made in enumerate(super()._rows()):
            if made["split"] != "train" or made["label"] == 1 or number % 4 == 0:
                yield made


@pytest.fixture(scope="module")
def unbalanced(tmp_path_factory):
    return Unbalanced(tmp_path_factory.mktemp("unbalanced"))


@pytest.mark.parametrize("balance", ["none", "class", "attack", "domain"])
def test_training_draws_by_shares_and_tells_the_loss_what_it_draws(unbalanced, balance):
    module = CorpusDataModule(unbalanced, window_s=0.1, batch_size=4, num_workers=0, balance=balance)
    module.setup()
    train = module.split("train")
    counts = train.counts()["train"]
    assert counts[0] < counts[1]
    expected = counts if balance == "none" else (len(train) / 2, len(train) / 2)
    assert module.training_counts() == pytest.approx(expected)
    loader = module.train_dataloader()
    if balance == "none":
        assert sorted(draw.row for draw in loader.sampler) == list(range(len(train)))
    else:
        np.testing.assert_array_equal(loader.sampler.shares, draw_shares(train, balance))
    assert module.val_dataloader().sampler.shares is None


def test_unknown_balance_is_explained():
    node = {"_target_": "deepfake_lab.data.module.CorpusDataModule", "balance": "speaker"}
    with pytest.raises(LabError, match=r"loader\.balance=speaker: input should be 'none', 'class', 'attack' or"):
        check_targets({"loader": node})
