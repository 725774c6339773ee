"""What every corpus offers: find the audio, build the manifest once, read it ever after."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from deepfake_lab.data.manifest import Manifest


class Corpus(ABC):
    """A corpus on disk. One subclass, in one module under `data/corpora/`, knows one on-disk layout.

    Args:
        root: folder that holds the audio.
        shuffle_labels: the label-permutation control: labels are permuted within each split, so that nothing
            can be learnt and an honest pipeline scores an EER around 50 %.
    """

    name: ClassVar[str]

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

    def prepare(self, *, force: bool = False) -> Manifest:
        """Builds the manifest unless it is there already; `force` rebuilds it."""
        if force or not self.manifest_path.is_file():
            manifest = self.build(force=force)
            manifest.validate()
            manifest.write(self.manifest_path)
        return Manifest.read(self.manifest_path, self.root)
