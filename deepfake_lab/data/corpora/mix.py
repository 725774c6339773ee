"""Several corpora in one run."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from deepfake_lab.data.corpus import Corpus
from deepfake_lab.data.manifest import SCHEMA, Manifest
from deepfake_lab.data.noise import with_trials
from deepfake_lab.types import LabError


class Mix(Corpus):
    """Corpora joined: train with train, dev with dev, test with test.

    Names of speakers and groups are the same in all corpora made of the same recordings, so that a sentence that one of
    them trains on and another tests on is refused as it is within one corpus.

    Args:
        root: folder for the joint manifest.
        corpora: members by any name; null leaves one out.
        weights: share of the training draws that a member gets, by the name of its corpus, such as {asvspoof5: 2,
            mlaad: 1}; empty counts every utterance alike.
        shuffle_labels: see `Corpus`.

    Raises:
        LabError: there is no member, two are the same corpus, or `weights` does not fit them.
    """

    name = "mix"

    def __init__(
        self,
        root: str | Path,
        *,
        corpora: Mapping[str, Corpus | None],
        weights: Mapping[str, float] | None = None,
        shuffle_labels: bool = False,
    ) -> None:
        super().__init__(root, shuffle_labels=shuffle_labels)
        self.members = [with_trials(corpus) for corpus in corpora.values() if corpus is not None]
        self._weights = dict(weights or {})
        names = [corpus.name for corpus in self.members]
        if not names or len(set(names)) < len(names):
            raise LabError(f"data.corpora: {names or 'no corpus'}: name at least one corpus, and each of them once.")
        if self._weights and (set(self._weights) != set(names) or min(self._weights.values()) <= 0):
            raise LabError(f"data.weights={self._weights}: give each of {', '.join(names)} a positive weight.")

    @property
    def sources(self) -> tuple[str, ...]:  # type: ignore[override]  # of an instance, since it is a mixture
        """Collections that the members' recordings come from."""
        return tuple(sorted({source for corpus in self.members for source in corpus.sources}))

    @property
    def weights(self) -> Mapping[str, float]:
        """See `Corpus.weights`."""
        return self._weights

    @property
    def base(self) -> Path:
        """The folder that all members have in common."""
        return Path(os.path.commonpath([corpus.base.resolve() for corpus in self.members]))

    @property
    def manifest_path(self) -> Path:
        """One manifest for each set of members."""
        digest = hashlib.sha256(json.dumps([str(corpus.manifest_path) for corpus in self.members]).encode())
        return self.root / f"manifest-{digest.hexdigest()[:8]}.parquet"

    def prepare(self, *, force: bool = False) -> Manifest:
        """Prepares the members where they are missing and joins their manifests, which takes a moment every time."""
        manifest = self.build(force=force)
        manifest.validate()
        manifest.write(self.manifest_path)
        return manifest

    def build(self, *, force: bool) -> Manifest:
        """Prepares every member and joins their manifests; see `Corpus.build`."""
        base = self.base
        tables, findings = [], []
        for corpus in self.members:
            manifest = corpus.prepare(force=force)
            tables.append(_moved(manifest, corpus.name, base))
            findings += [note._replace(text=f"{corpus.name}: {note.text}") for note in manifest.findings]
        return Manifest(pa.concat_tables(tables), base, self.name, findings)


def _moved(manifest: Manifest, name: str, base: Path) -> pa.Table:
    """Rows with paths relative to `base` and keys that no other corpus has."""
    folder = os.path.relpath(manifest.root.resolve(), base)
    moved = {
        "key": pc.binary_join_element_wise(name, manifest.table["key"], ":"),
        "path": pc.binary_join_element_wise(folder, manifest.table["path"], "/"),
    }
    return pa.table({column: moved.get(column, manifest.table[column]) for column in SCHEMA.names}, schema=SCHEMA)
