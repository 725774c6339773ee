"""What every corpus offers: find the audio, build the manifest once, read it ever after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.types import Split


class Corpus(ABC):
    """A corpus on disk. One subclass, in one module under `data/corpora/`, knows one on-disk layout.

    Args:
        root: folder that holds the audio.
        shuffle_labels: the label-permutation control: labels are permuted within each split, so that nothing
            can be learnt and an honest pipeline scores an EER around 50 %.

    Attributes:
        name: of the corpus, which prefixes its attacks.
        sources: collections that its recordings come from; corpora that share one may share voices and sentences.
        published: numbers of (bona fide, spoof) utterances of each split that its authors state; empty if they do not.
    """

    name: ClassVar[str]
    sources: ClassVar[tuple[str, ...]] = ()
    published: ClassVar[Mapping[Split, tuple[int, int]]] = {}

    def __init__(self, root: str | Path, *, shuffle_labels: bool = False) -> None:
        self.root = Path(root)
        self.shuffle_labels = shuffle_labels

    @property
    @abstractmethod
    def manifest_path(self) -> Path:
        """Where `prepare` leaves the manifest."""

    @abstractmethod
    def build(self, *, force: bool) -> Manifest:
        """Makes or finds the audio and returns its manifest; resumes what an earlier, killed call left.

        Raises:
            LabError: the audio is missing or does not have the corpus's layout.
        """

    def expected(self) -> Mapping[Split, tuple[int, int]]:
        """The published numbers, as far as they are of what the settings choose."""
        return self.published

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of the training draws that each corpus in the manifest gets; empty: every utterance counts alike."""
        return {}

    @property
    def base(self) -> Path:
        """Folder that the manifest's paths are relative to."""
        return self.root

    def prepare(self, *, force: bool = False) -> Manifest:
        """Builds the manifest unless it is there already; `force` rebuilds it."""
        if force or not self.manifest_path.is_file():
            manifest = self.build(force=force)
            manifest.validate()
            manifest.write(self.manifest_path)
        return Manifest.read(self.manifest_path, self.base)
