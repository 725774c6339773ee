"""What the lists of all ASVspoof challenges share: a key and a system for every trial."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.lists import translate
from deepfake_lab.data.manifest import NO_ATTACK, UNKNOWN, Finding
from deepfake_lab.types import BONAFIDE, SPOOF

KEYS = {"bonafide": BONAFIDE, "spoof": SPOOF}


def named(collection: str, names: pa.ChunkedArray, joint: str = "/") -> pa.ChunkedArray:
    """Puts the name of their collection before names."""
    return pc.binary_join_element_wise(collection, names, joint)


def verdicts(rows: pa.Table, corpus: str, path: Path) -> dict[str, pa.ChunkedArray]:
    """The columns `label` and `attack`.

    The key decides: bona fide rows have "-" or "bonafide" for a system, or nothing that would matter.

    Args:
        rows: of a list, with the columns `key` and `attack`.
        corpus: name that prefixes the attacks.
        path: of the list.

    Raises:
        LabError: a key is neither bonafide nor spoof; it names file, line and word.
    """
    label = translate(rows["key"], KEYS, path)
    attack = pc.if_else(pc.equal(label, BONAFIDE), NO_ATTACK, named(corpus, rows["attack"]))
    return {"label": label, "attack": attack}


def odd_attacks(rows: pa.Table, known: Collection[str], where: str) -> Iterator[Finding]:
    """Says so where spoofs come from systems that are not in the corpus's description, or bona fide rows from any."""
    spoof = pc.equal(rows["key"], "spoof")
    yield from unknown(rows.filter(spoof)["attack"], known, "attack", where)
    yield from unknown(rows.filter(pc.invert(spoof))["attack"], {UNKNOWN, NO_ATTACK}, "attack", f"{where}, bona fide")


def unknown(column: pa.ChunkedArray, known: Collection[str], what: str, where: str) -> Iterator[Finding]:
    """Says so where a column holds words that are not in the corpus's description."""
    strange = column.filter(pc.invert(pc.is_in(column, pa.array(sorted(known)))))
    if len(strange):
        names = ", ".join(sorted(pc.unique(strange).to_pylist())[:5])
        text = f"{where}: {len(strange):,} utterances with a {what} that its authors do not describe: {names}"
        yield Finding(f"unknown_{what}", text, len(strange))
