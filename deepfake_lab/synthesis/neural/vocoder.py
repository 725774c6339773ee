"""A trained generator as a synthesis system."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder, at_level_of, file_digest
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from torch import Tensor

    from deepfake_lab.synthesis.neural.generator import Generator

_LEVEL = 0.05  # RMS at which a generator hears speech, -26 dB: amid what it was trained on
_PIECE, _OVERLAP = 320_000, 25_600  # samples; so much at a time bounds the memory, and is a multiple of usual hops


@dataclass(frozen=True, repr=False)
class NeuralVocoder(Vocoder):
    """Copies speech with a network that `synthesize stage=train` has trained or `convert` has taken over.

    The seed draws where the grid of frames begins, so that artefacts of the grid stand anywhere in a copy, and
    whatever noise the network takes.

    Args:
        weights: file of the network.
    """

    weights: str
    families: ClassVar[tuple[str, ...]] = ("neural",)

    def __repr__(self) -> str:
        """Says which weights these are, so that copies by other weights of the same name are told apart."""
        return f"NeuralVocoder(weights={self.weights!r}, sha256={file_digest(Path(self.weights))!r})"

    def missing(self) -> str:
        """See `System.missing`."""
        path = Path(self.weights)
        if path.is_file():
            return ""
        name, _, seed = path.stem.rpartition("-seed")
        if name:
            command = f"train them: python -m deepfake_lab.synthesize stage=train vocoder={name} seed={seed}"
            return f"there are no weights in {path}; {command} weights={path}"
        command = f"python -m deepfake_lab.convert source=NAME input=FILE output={path}"
        return f"there are no weights in {path}; make them of published ones: {command}"

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)`` of any length; see `Vocoder.vocode`.

        Raises:
            LabError: there are no weights, or the file holds something else.
        """
        if missing := self.missing():
            raise LabError(f"{missing}.")
        import torch

        generator = _generator(self.weights, Path(self.weights).stat().st_mtime_ns)
        level = float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))
        lead = int(np.random.default_rng(seed).integers(generator.hop))
        heard = torch.from_numpy(np.pad(wave * np.float32(_LEVEL / max(level, 1e-6)), (lead, 0)))
        with _one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed)
            copied = _copy(generator, heard)
        return at_level_of(wave, copied[lead:])


def _copy(generator: Generator, wave: Tensor) -> npt.NDArray[np.float64]:
    """Copies ``(T,)`` piece by piece, each faded into the next."""
    copied, weight = np.zeros(len(wave)), np.zeros(len(wave))
    for start in range(0, max(len(wave) - _OVERLAP, 1), _PIECE - _OVERLAP):
        piece = generator(wave[None, start : start + _PIECE])[0].numpy()
        place = slice(start, start + len(piece))
        rising = np.minimum(np.arange(1, len(piece) + 1) / _OVERLAP, 1)
        fade = np.minimum(rising, rising[::-1])
        copied[place] += fade * piece
        weight[place] += fade
    return copied / weight


@functools.lru_cache(maxsize=32)
def _generator(weights: str, changed_ns: int) -> Generator:
    """The network of a file, loaded anew when the file has changed."""
    from deepfake_lab.synthesis.neural.weights import load_generator

    return load_generator(Path(weights))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: several add up in another order, which shows in the last bits."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
