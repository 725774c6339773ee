"""Splits for collections that come without: whole groups are dealt to train, dev and test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.types import SPLITS, LabError, Split

SHARES: Mapping[Split, float] = {"train": 0.7, "dev": 0.15, "test": 0.15}
"""Shares of the groups unless others are given."""


def deal(groups: pa.ChunkedArray, shares: Mapping[Split, float], seed: int) -> pa.ChunkedArray:
    """Deals groups to splits: rows of one group get one split, and every split that has a share gets a group.

    The order is drawn by a hash, so it is the same on every machine, whatever the order of the rows.

    Args:
        groups: group of each row.
        shares: share of the groups that each split gets; they need not sum to one.
        seed: decides which groups.

    Returns:
        Split of each row.

    Raises:
        LabError: a share is negative, all are zero, or there are fewer groups than splits.
    """
    names = sorted(pc.unique(groups).to_pylist(), key=lambda name: _drawn(seed, name))
    counts = _counts(len(names), shares)
    splits = [split for split in SPLITS for _ in range(counts[split])]
    index = pc.index_in(groups, pa.array(names, pa.string()))
    return pa.chunked_array([pa.array(splits, pa.string())]).take(index)


def dealt(table: pa.Table, shares: Mapping[Split, float], seed: int) -> pa.Table:
    """The rows of a table with a column `group`, their column `split` dealt; see `deal`."""
    return table.set_column(table.schema.get_field_index("split"), "split", deal(table["group"], shares, seed))


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest()


def _counts(groups: int, shares: Mapping[Split, float]) -> dict[Split, int]:
    """Number of groups of each split, by the method of the largest remainder, one at least."""
    shown = ", ".join(f"{split}: {shares.get(split, 0.0)}" for split in SPLITS)
    taking: list[Split] = [split for split in SPLITS if shares.get(split, 0.0) > 0]
    if not taking or min(shares.values()) < 0:
        raise LabError(f"data.shares={{{shown}}}: shares are positive or 0, and not all 0. The usual: 0.7, 0.15, 0.15.")
    if groups < len(taking):
        raise LabError(
            f"data.shares={{{shown}}}: {groups} groups cannot be dealt to {len(taking)} splits without tearing one "
            "apart. Complete the download, or give a split the share 0."
        )
    total = sum(shares[split] for split in taking)
    wanted = {split: shares[split] / total * groups for split in taking}
    counts: dict[Split, int] = {split: int(wanted.get(split, 0)) for split in SPLITS}
    for split in sorted(taking, key=lambda one: counts[one] - wanted[one])[: groups - sum(counts.values())]:
        counts[split] += 1
    for split in taking:
        if not counts[split]:
            counts[max(SPLITS, key=lambda one: counts[one])] -= 1
            counts[split] = 1
    return counts
