"""The clips of openprompts: which there are (`plan`), and how one of them is made (`make`)."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import soundfile

from deepfake_lab.audio import AudioError, Wave, load
from deepfake_lab.data.corpora.openprompts_audio import MARGIN_FRAMES, Piece, finish, pieces
from deepfake_lab.data.corpora.openprompts_packages import COLLECTION, VOICES, Voice
from deepfake_lab.data.files import whole
from deepfake_lab.data.manifest import NO_ATTACK, UNKNOWN
from deepfake_lab.types import SAMPLE_RATE, LabError, Split

_SPOKEN = "openprompts"  # prefixes voices and sentences of text-to-speech: they come from nowhere else
_CHARACTERS_A_SECOND = 14.0  # an everyday pace, near enough to pair a sentence with a prompt of its length


class _System(Protocol):
    """What `deepfake_lab.synthesis` offers; it comes here by configuration."""

    @property
    def families(self) -> tuple[str, ...]:
        """What kind it is, such as "phase" or "neural"."""
        ...

    def missing(self) -> str:
        """What this machine lacks for it; empty if nothing."""
        ...


@runtime_checkable
class Vocoder(_System, Protocol):
    """Copies speech ``(T,)``."""

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies a waveform ``(T,)`` at 16 kHz."""
        ...


@runtime_checkable
class TextToSpeech(_System, Protocol):
    """Speaks text."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages it speaks."""
        ...

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence of about so many seconds: ``(T,)`` at 16 kHz."""
        ...

    def speaker(self, language: str, seed: int) -> str:
        """Name of the voice that `speak` takes."""
        ...


System = Vocoder | TextToSpeech


class _Sentence(NamedTuple):
    name: str
    text: str


_Sentences = dict[tuple[Split, str], list[_Sentence]]
"""Sentences by split and language."""


class Prompt(NamedTuple):
    """A recording in a package and the speech found in it; `pieces` is None where the file holds no audio."""

    language: str
    file: str
    pieces: list[Piece] | None

    @property
    def name(self) -> str:
        """Name that its clips share, such as "it-digits-h-80"."""
        return f"{self.language}-{self.file.removesuffix('.g722').replace('/', '-')}"


@dataclass(frozen=True)
class Clip:
    """One clip: all that `make` must know of it, and what its manifest row says.

    Attributes:
        key: name of the clip.
        system: name of the synthesis system, or "bonafide".
        prompt: file of the recording that it is, copies, or takes its level from.
        prompt_language: language of that recording.
        piece: the speech in that recording.
        margins: frames of line noise before and after the speech.
        text: what a text-to-speech system says; empty otherwise.
        seed: decides whatever is random in the clip.
    """

    key: str
    system: str
    prompt: str
    prompt_language: str
    piece: Piece
    margins: tuple[int, int]
    text: str
    seed: int
    language: str
    speaker: str
    gender: str
    group: str
    split: Split

    @property
    def path(self) -> str:
        """Audio file, relative to the corpus root."""
        return f"audio/{self.split}/{self.key}.flac"


def survey(folder: Path, language: str, file: str) -> Prompt:
    """Finds the speech in one recording."""
    try:
        return Prompt(language, file, pieces(load(folder / file)))
    except AudioError:
        return Prompt(language, file, None)


def make(clip: Clip, system: System | None, folder: Path, root: Path) -> None:
    """Makes one clip and writes it whole or not at all.

    Args:
        clip: what to make.
        system: the synthesis system; None for bona fide clips.
        folder: folder of the prompts in the clip's `prompt_language`.
        root: folder of the corpus.
    """
    samples = finish(_speech(clip, system, folder), clip.piece.level, clip.margins, clip.seed)
    write_clip(root / clip.path, samples)


def write_clip(path: Path, samples: npt.NDArray[np.int16]) -> None:
    """Writes 16-bit samples ``(T,)`` at 16 kHz as FLAC, whole or not at all.

    Raises:
        OSError: the disk is full or does not let itself be written.
    """
    encoded = io.BytesIO()  # libsndfile says nothing useful of a full disk, writing bytes does
    soundfile.write(encoded, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    with whole(path) as partial:
        partial.write_bytes(encoded.getvalue())


def _speech(clip: Clip, system: System | None, folder: Path) -> Wave:
    """Speech from its first to its last sound ``(T,)``: recorded, copied, or spoken."""
    if isinstance(system, TextToSpeech):
        speech = system.speak(clip.text, clip.language, clip.seed, (clip.piece.stop - clip.piece.start) / SAMPLE_RATE)
        first = pieces(speech, shortest=0)[0]
        return speech[first.start : first.stop]
    recorded = load(folder / clip.prompt)[clip.piece.start : clip.piece.stop]
    return recorded if system is None else system.vocode(recorded, clip.seed)


def plan(
    prompts: Sequence[Prompt],
    systems: Mapping[str, System],
    splits: Mapping[Split, Sequence[str]],
    *,
    most: int | None,
    seed: int,
) -> list[Clip]:
    """Decides which clips there are: each piece of a prompt, and one spoof beside it.

    Args:
        prompts: what the packages hold.
        systems: synthesis systems by name.
        splits: names of the systems that occur in each split.
        most: largest number of prompts a language, of which the first piece is taken; None takes all pieces of all.
        seed: decides the choice of prompts, systems and sentences.
    """
    sentences = _share_sentences(systems, splits, seed)
    clips: list[Clip] = []
    for voice in VOICES:
        chosen = [prompt for prompt in prompts if prompt.language == voice.language and prompt.pieces]
        draw = random.Random(f"{seed}/{voice.language}")
        if most is not None and len(chosen) > most:
            chosen = sorted(draw.sample(chosen, most))
        real = [
            _bonafide(voice, prompt, number, seed)
            for prompt in chosen
            for number in range(1 if most else len(prompt.pieces or ()))
        ]
        names = [splits[voice.split][n % len(splits[voice.split])] for n in range(len(real))]
        draw.shuffle(names)
        clips += real
        clips += [
            _spoof(clip, name, systems[name], sentences, draw, seed) for clip, name in zip(real, names, strict=True)
        ]
    return clips


def _bonafide(voice: Voice, prompt: Prompt, number: int, seed: int) -> Clip:
    key = prompt.name if number == 0 else f"{prompt.name}.{number + 1}"
    draw = random.Random(f"{seed}/{key}")
    return Clip(
        key=key,
        system=NO_ATTACK,
        prompt=prompt.file,
        prompt_language=voice.language,
        piece=(prompt.pieces or [])[number],
        margins=(draw.randint(*MARGIN_FRAMES), draw.randint(*MARGIN_FRAMES)),
        text="",
        seed=_seed(seed, key),
        language=voice.language,
        speaker=f"{COLLECTION}/{voice.speaker}",
        gender=voice.gender,
        group=f"{COLLECTION}/{prompt.name}",
        split=voice.split,
    )


def _spoof(real: Clip, name: str, system: System, sentences: _Sentences, draw: random.Random, seed: int) -> Clip:
    """The spoof beside a bona fide clip: its copy, or a sentence of about its length; level and margins are its."""
    if isinstance(system, Vocoder):
        key = f"{real.key}-{name}"
        return replace(real, key=key, system=name, seed=_seed(seed, key))
    language = _language(system, real.language)
    length = (real.piece.stop - real.piece.start) / SAMPLE_RATE * _CHARACTERS_A_SECOND
    near = sorted(sentences[real.split, language], key=lambda sentence: abs(len(sentence.text) - length))
    sentence = draw.choice(near[:5])
    key = f"{sentence.name}-{name}-{real.key}"
    number = _seed(seed, key)
    return replace(
        real,
        key=key,
        system=name,
        text=sentence.text,
        seed=number,
        language=language,
        speaker=f"{_SPOKEN}/{system.speaker(language, number)}",
        gender=UNKNOWN,
        group=f"{_SPOKEN}/{sentence.name}",
    )


def _share_sentences(systems: Mapping[str, System], splits: Mapping[Split, Sequence[str]], seed: int) -> _Sentences:
    """Deals the sentences of each language to the splits that speak it, so that no sentence is in two of them."""
    wanted: dict[str, set[Split]] = {}
    for voice in VOICES:
        for system in (systems[name] for name in splits[voice.split]):
            if isinstance(system, TextToSpeech):
                wanted.setdefault(_language(system, voice.language), set()).add(voice.split)
    table = (
        resources.files("deepfake_lab.data.corpora").joinpath("openprompts_sentences.tsv").read_text(encoding="utf-8")
    )
    shared: _Sentences = {}
    for language, takers in wanted.items():
        texts = [line.partition("\t")[2] for line in table.splitlines() if line.startswith(f"{language}\t")]
        if len(texts) < len(takers):
            speaking = [name for name, one in systems.items() if language in getattr(one, "languages", ())]
            raise LabError(f"data.systems.{speaking[0]}: there are no sentences in its language '{language}'.")
        numbered = [_Sentence(f"{language}-s{number:03d}", text) for number, text in enumerate(texts, start=1)]
        random.Random(f"{seed}/sentences/{language}").shuffle(numbered)
        for n, split in enumerate(sorted(takers)):
            shared[split, language] = numbered[n :: len(takers)]
    return shared


def _language(system: TextToSpeech, language: str) -> str:
    """The language itself where the system speaks it, else the system's first."""
    return language if language in system.languages else system.languages[0]


def _seed(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{key}".encode()).digest()[:4], "big") >> 1
