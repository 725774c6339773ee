"""Copy-synthesis: vocoders' copies of recordings, and the recordings themselves, written alike.

A detector must not win by hearing which class came out of our own writer, nor which one rumbles below the voice, has
higher peaks, ends at another frequency or falls digitally silent: WORLD does all of that. So real clips pass through
the writer too, and all versions of a sentence get one rate, length, band, crest factor, level, noise and file format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import load
from deepfake_lab.data.corpora.openprompts_audio import in_band, limit, rms_db
from deepfake_lab.data.corpora.openprompts_clips import Vocoder, write_clip
from deepfake_lab.data.manifest import NO_ATTACK
from deepfake_lab.data.workers import pool, progress
from deepfake_lab.types import LabError

RECIPE: Final = 2
"""To be raised when the same settings come to mean other bytes."""
FRAME: Final = 160
"""Grid of all lengths: 10 ms at 16 kHz."""

_CREST_DB = (10.0, 11.5)  # range of peak over RMS: speech has more, and copies of it have more still
_LOUDEST = 0.95  # of full scale; louder versions pull all versions of the sentence down
_NOISE_DB = -65.0  # of the noise that hides which versions fall silent, in dB below full scale
_KEPT = "The clips made so far are kept: run the same command again to go on."

Samples = npt.NDArray[np.int16]
Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sentence:
    """A sentence and the recordings of it.

    Attributes:
        name: of the sentence.
        real: file of the real clip.
        fakes: files of fakes made elsewhere, by the name of their system.
    """

    name: str
    real: Path
    fakes: Mapping[str, Path] = field(default_factory=dict)


def clip_path(system: str, sentence: str) -> str:
    """File of a clip, relative to the folder of all; `system` is "bonafide" for a real one."""
    return f"{system}/{sentence}.flac"


def make_clips(
    sentences: Sequence[Sentence], systems: Mapping[str, Vocoder], folder: Path, *, seed: int, workers: int, title: str
) -> None:
    """Makes the clips that are not there yet: the real ones, their copies, and the fakes made elsewhere.

    Args:
        sentences: what to copy.
        systems: vocoders by name.
        folder: for the clips; a killed call goes on where it was.
        seed: same seed, same bytes.
        workers: processes; 0 takes one a core, eight at most.
        title: of the progress bar.

    Raises:
        LabError: a file cannot be read or written, a library is missing, a process was killed.
        RuntimeError: a vocoder failed; it names the sentence.
    """
    for system in {NO_ATTACK, *systems, *(name for sentence in sentences for name in sentence.fakes)}:
        (folder / system).mkdir(parents=True, exist_ok=True)
        for partial in (folder / system).glob(".*"):  # of a call that was killed while it wrote
            partial.unlink()
    missing = [sentence for sentence in sentences if not _is_made(sentence, systems, folder)]
    if not missing:
        return
    done = len(sentences) - len(missing)
    with pool(workers, _start, systems, folder, seed) as processes, progress(title, done, len(sentences)) as advance:
        futures = {processes.submit(_make, sentence): sentence for sentence in missing}
        for future in as_completed(futures):
            _finish(future, futures[future], folder)
            advance(1)


def versions(sentence: Sentence, systems: Mapping[str, Vocoder], seed: int) -> dict[str, Samples]:
    """All versions of a sentence ``(T,)``, 16 bit at 16 kHz, by the name of their system, "bonafide" first.

    They have one length, a multiple of 10 ms, and one level: the real clip's, or less where that would clip.
    """
    real = load(sentence.real)
    real = real[: len(real) // FRAME * FRAME]
    if not len(real):
        raise LabError(f"{sentence.real}: shorter than 10 ms. Leave it out of metadata.csv.")
    waves = {NO_ATTACK: real} | {name: load(path) for name, path in sentence.fakes.items()}
    for name, system in systems.items():
        waves[name] = system.vocode(real, _number(seed, sentence.name, name))
    length = min(map(len, waves.values())) // FRAME * FRAME
    speech = {name: in_band(wave[:length]) for name, wave in waves.items()}
    drawn = np.random.default_rng(_number(seed, sentence.name)).uniform(*_CREST_DB)
    crest = min([drawn, *(_crest_db(one) for one in speech.values() if one.any())])
    alike = {name: _levelled(one, crest) for name, one in speech.items()}
    loudest = max(float(np.abs(one).max()) for one in alike.values())
    gain = min(10 ** (rms_db(real[:length]) / 20), _LOUDEST / max(loudest, 1.0))
    return {name: _noisy(gain * one, _number(seed, sentence.name, name, "noise")) for name, one in alike.items()}


def _crest_db(wave: Signal) -> float:
    return float(20 * np.log10(np.abs(wave).max()) - rms_db(wave))


def _levelled(speech: Signal, crest: float) -> Signal:
    """Brings a version to the crest factor that all have, in dB, and to an RMS of one; silence stays."""
    if not speech.any():
        return speech
    speech = in_band(limit(speech, crest))  # once more: limiting turns the asymmetry of a voice into an offset
    return np.asarray(speech / np.sqrt(np.mean(speech**2)))


def _noisy(speech: Signal, seed: int) -> Samples:
    noisy = speech + np.random.default_rng(seed).standard_normal(len(speech)) * 10 ** (_NOISE_DB / 20)
    return np.asarray(np.round(np.clip(noisy - noisy.mean(), -1, 1) * 32767), dtype=np.int16)


def _number(seed: int, *names: str) -> int:
    text = "/".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _files(sentence: Sentence, systems: Mapping[str, Vocoder], folder: Path) -> dict[str, Path]:
    names = (NO_ATTACK, *sentence.fakes, *systems)
    return {name: folder / clip_path(name, sentence.name) for name in names}


def _is_made(sentence: Sentence, systems: Mapping[str, Vocoder], folder: Path) -> bool:
    return all(path.is_file() for path in _files(sentence, systems, folder).values())


def _finish(future: Future[None], sentence: Sentence, folder: Path) -> None:
    """Turns what went wrong in a process into an error that says where and what to do."""
    try:
        future.result()
    except (LabError, BrokenProcessPool):
        raise
    except OSError as error:
        raise LabError(f"{folder}: {sentence.name} cannot be written ({error}). Make room. {_KEPT}") from error
    except ImportError as error:
        what = "Install the synthesis systems: pip install 'deepfake-lab[synthesis]'"
        raise LabError(f"{sentence.name}: {error}. {what}. {_KEPT}") from error
    except Exception as error:
        raise RuntimeError(f"{sentence.name}: {type(error).__name__}: {error}. {_KEPT}") from error


_systems: Mapping[str, Vocoder]
_folder: Path
_seed: int


def _start(systems: Mapping[str, Vocoder], folder: Path, seed: int) -> None:
    """Hands a worker process what it works with."""
    global _systems, _folder, _seed
    _systems, _folder, _seed = systems, folder, seed


def _make(sentence: Sentence) -> None:
    """Writes all versions of a sentence, each whole or not at all."""
    made = versions(sentence, _systems, _seed)
    for name, path in _files(sentence, _systems, _folder).items():
        write_clip(path, made[name])
