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
from deepfake_lab.data.sampling import (
    EpochSampler,
    PairSampler,
    RowSampler,
    SharedSampler,
    copies_of,
    draw_shares,
    rows_of,
)
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
    assert isinstance(module.val_dataloader().sampler, RowSampler)


class Copies(Toy):
    """Real tones of several lengths; each fake of training that has a group of theirs is as long as that."""

    def _rows(self):
        made = [row for row in super()._rows() if row["split"] == "train"]
        real, fake = ([row for row in made if row["label"] == label] for label in (0, 1))
        for number, row in enumerate(real):
            yield {**row, "frames": row["frames"] - 10 * number}
        for number, row in enumerate(fake):  # every third is of nothing, and two are of the same tone
            of = real[number // 3]
            like = {name: of[name] for name in ("group", "speaker")} if number % 3 else {"group": f"text-{number}"}
            yield {**row, **like, "frames": of["frames"] - 10 * (number // 3)}
        yield from (row for row in super()._rows() if row["split"] != "train")


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return Copies(tmp_path_factory.mktemp("copies"))


def test_pairs_are_copies_right_after_their_originals_with_the_same_crop(copies):
    module = CorpusDataModule(copies, window_s=0.1, batch_size=4, num_workers=0, balance="pairs")
    module.setup()
    train = module.split("train").table.to_pylist()
    loader = module.train_dataloader()
    loader.sampler.set_epoch(2)
    draws = list(loader.sampler)
    for original, copy in zip(draws[::2], draws[1::2], strict=True):
        assert (train[original.row]["label"], train[copy.row]["label"]) == (0, 1)
        assert all(train[original.row][name] == train[copy.row][name] for name in ("group", "speaker", "frames"))
        most = train[copy.row]["frames"] - 1_600
        assert loader.dataset._offset(original, most) == loader.dataset._offset(copy, most)
    groups = {row["group"] for row in train if row["label"] == 0}
    copied = [number for number, row in enumerate(train) if row["label"] == 1 and row["group"] in groups]
    assert sorted(draw.row for draw in draws[1::2]) == copied
    assert module.training_counts() == (len(copied), len(copied))
    assert len(loader.sampler) == 2 * len(copied)
    assert draws != list(PairSampler(loader.sampler.pairs, 0)), "that is epoch 0"
    places = {loader.dataset._offset(draw, 10_000) for draw in draws[::2] if draw.row == draws[0].row}
    assert len(places) == 2, "each visit has a crop of its own"


def test_pairs_that_cannot_be_are_refused(manifest, copies):
    with pytest.raises(LabError, match=r"loader\.balance=pairs: no fake in .* has group, speaker and length"):
        copies_of(manifest)
    odd = CorpusDataModule(copies, window_s=0.1, batch_size=5, num_workers=0, balance="pairs")
    odd.setup()
    with pytest.raises(LabError, match="batch_size=5: pairs need an even one"):
        odd.train_dataloader()


def test_unknown_balance_is_explained():
    node = {"_target_": "deepfake_lab.data.module.CorpusDataModule", "balance": "speaker"}
    with pytest.raises(
        LabError, match=r"loader\.balance=speaker: input should be 'none', 'class', 'attack', 'domain' or 'pairs'"
    ):
        check_targets({"loader": node})


@pytest.mark.parametrize(("size", "batch_size", "world"), [(24, 8, 2), (25, 8, 4), (7, 8, 2), (40, 6, 3), (3, 6, 3)])
def test_processes_share_every_batch_of_one_process(size, batch_size, world):
    whole = EpochSampler(size, seed=1, shuffle=True)
    shares = [SharedSampler(EpochSampler(size, 1, shuffle=True), batch_size, rank, world) for rank in range(world)]
    for epoch in (0, 1):
        for sampler in (whole, *shares):
            sampler.set_epoch(epoch)
        drawn = [list(share) for share in shares]
        part = min(batch_size, size) // world
        steps = len(drawn[0]) // part
        assert [len(share) for share in shares] == [len(draws) for draws in drawn] == [steps * part] * world
        assert steps == max(size // batch_size, 1)
        for step in range(steps):
            batch = [draw for draws in drawn for draw in draws[step * part : (step + 1) * part]]
            assert batch == list(whole)[step * part * world : (step + 1) * part * world]


def test_processes_keep_pairs_together(copies):
    module = CorpusDataModule(copies, balance="pairs", batch_size=4, num_workers=0)
    module.setup()
    pairs = PairSampler(copies_of(module.split("train")), seed=0)
    for rank in range(2):
        draws = list(SharedSampler(pairs, 4, rank, 2))
        assert all(copy.beside == original.row for original, copy in zip(draws[::2], draws[1::2], strict=True))


@pytest.mark.parametrize(("count", "world"), [(10, 3), (2, 4), (0, 2), (12, 4)])
def test_processes_evaluate_every_row(count, world):
    rows = np.arange(count) + 5
    alone = [rows_of(rank, world, rows, evenly=False) for rank in range(world)]
    evenly = [rows_of(rank, world, rows, evenly=True) for rank in range(world)]
    assert len({len(mine) for mine in evenly}) == 1
    assert {*np.concatenate(alone)} == {*np.concatenate(evenly)} == {*rows}
    assert sum(map(len, alone)) == max(count, world if count else 0), "only who has nothing to do repeats a row"
