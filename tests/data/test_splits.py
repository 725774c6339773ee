"""Whole groups go to one split, whatever the seed and the shares."""

from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.data.splits import SHARES, deal
from deepfake_lab.types import SPLITS, LabError


def dealt(groups, shares=SHARES, seed=0):
    return deal(pa.chunked_array([groups]), shares, seed).to_pylist()


GROUPS = st.lists(st.integers(0, 60).map(lambda number: f"book/{number}"), min_size=3, max_size=200)
SHARE = st.sampled_from([0.0, 0.01, 0.15, 0.5, 1.0, 7.0])


@given(GROUPS, st.tuples(SHARE, SHARE, SHARE), st.integers(0, 9))
def test_no_group_crosses_and_every_split_with_a_share_gets_one(groups, shares, seed):
    shares = dict(zip(SPLITS, shares, strict=True))
    taking = {split for split, share in shares.items() if share}
    if not taking or len(set(groups)) < len(taking):
        with pytest.raises(LabError, match=r"data\.shares="):
            dealt(groups, shares, seed)
        return
    splits = dealt(groups, shares, seed)
    of = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        of[group].add(split)
    assert {len(found) for found in of.values()} == {1}
    assert set(splits) == taking
    whole = sum(shares.values())
    for split in taking:
        wanted = shares[split] / whole * len(of)
        found = sum(one == {split} for one in of.values())
        assert found == 1 or found < wanted + 1
        assert found > wanted - len(SPLITS)


def test_fifty_chapters_by_the_usual_shares():
    splits = dealt([f"ljspeech/LJ{number:03d}" for number in range(1, 51)])
    assert [splits.count(split) for split in SPLITS] == [35, 8, 7]


@given(st.permutations([f"g{number}" for number in range(12)]), st.integers(0, 5))
def test_same_seed_same_splits_whatever_the_order_of_the_rows(groups, seed):
    found = dict(zip(groups, dealt(groups, seed=seed), strict=True))
    in_order = sorted(groups)
    assert found == dict(zip(in_order, dealt(in_order, seed=seed), strict=True))


def test_another_seed_deals_otherwise():
    groups = [f"g{number}" for number in range(50)]
    assert dealt(groups, seed=1) != dealt(groups, seed=2)


def test_a_draw_that_must_never_change():
    assert dealt(list("abcdefgh"), {"train": 0.5, "dev": 0.25, "test": 0.25}) == (
        ["dev", "dev", "train", "test", "train", "train", "test", "train"]
    )


@pytest.mark.parametrize("shares", [{}, {"train": 0.0}, {"train": 1.0, "dev": -0.1}])
def test_impossible_shares(shares):
    with pytest.raises(LabError, match=r"shares are positive"):
        dealt(["a", "b", "c"], shares)
