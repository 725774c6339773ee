"""The clips of openprompts: what recordings hold (`survey`), and how a clip is made of them (`make`)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import soundfile

from deepfake_lab.audio import AudioError, Wave, info, load
from deepfake_lab.data.corpora.openprompts_audio import FRAME, Piece, pieces
from deepfake_lab.data.corpora.openprompts_lines import LINES, Int16, Line
from deepfake_lab.data.corpora.openprompts_voices import COLLECTIONS, TELEPHONE, Voice
from deepfake_lab.data.files import write_whole
from deepfake_lab.data.manifest import UNKNOWN
from deepfake_lab.data.spans import spans_text
from deepfake_lab.types import SAMPLE_RATE, Span, Split


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

    @property
    def partial(self) -> bool:
        """Whether it replaces some stretches, and `spans` says which, or everything."""
        ...

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies a waveform ``(T,)`` at 16 kHz."""
        ...

    def spans(self, wave: Wave, seed: int) -> Sequence[Span]:
        """What of the waveform `vocode` replaces, if it is partial."""
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


class Prompt(NamedTuple):
    """A recording of a voice and the speech found in it; `pieces` is None where the file holds no audio."""

    voice: Voice
    file: str
    pieces: list[Piece] | None

    @property
    def name(self) -> str:
        """Name that its clips share within the collection, such as "it-digits-h-80"."""
        return f"{self.voice.language}-{self.file.rpartition('.')[0].replace('/', '-')}"


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
        collection: name of the collection that the recording is from.
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
    collection: str = TELEPHONE.name

    @property
    def package(self) -> str:
        """The Debian package with that recording."""
        return COLLECTIONS[self.collection].package.format(language=self.prompt_language)

    @property
    def line(self) -> Line:
        """What the clip goes through."""
        return LINES[COLLECTIONS[self.collection].line]

    @property
    def path(self) -> str:
        """Audio file, relative to the corpus root."""
        return f"audio/{self.split}/{self.key}.flac"


def survey(folder: Path, voice: Voice, file: str) -> Prompt:
    """Finds the speech in one recording; one without the whole band of the clips has none of use."""
    try:
        if voice.collection != TELEPHONE and info(folder / file).sample_rate < SAMPLE_RATE:
            return Prompt(voice, file, [])
        return Prompt(voice, file, pieces(load(folder / file), voice.collection.shortest_s))
    except AudioError:
        return Prompt(voice, file, None)


def make(clip: Clip, system: System | None, folder: Path, root: Path) -> None:
    """Makes one clip and writes it whole or not at all.

    Args:
        clip: what to make.
        system: the synthesis system; None for bona fide clips.
        folder: folder of the recordings in the clip's package.
        root: folder of the corpus.
    """
    samples = clip.line.send(_speech(clip, system, folder), clip.piece.level, clip.margins, clip.seed)
    write_clip(root / clip.path, samples)


def write_clip(path: Path, samples: Int16) -> None:
    """Writes 16-bit samples ``(T,)`` at 16 kHz as FLAC, whole or not at all.

    Raises:
        DiskError: the disk is full or does not let itself be written.
    """
    encoded = io.BytesIO()  # on a full disk libsndfile leaves part of a file, and says nothing
    soundfile.write(encoded, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    write_whole(path, encoded.getvalue())


def _speech(clip: Clip, system: System | None, folder: Path) -> Wave:
    """Speech from its first to its last sound ``(T,)``: recorded, copied, or spoken."""
    if isinstance(system, TextToSpeech):
        speech = system.speak(clip.text, clip.language, clip.seed, (clip.piece.stop - clip.piece.start) / SAMPLE_RATE)
        first = pieces(speech, shortest=0)[0]
        return speech[first.start : first.stop]
    recorded = _recorded(clip, folder)
    return recorded if system is None else system.vocode(recorded, clip.seed)


def _recorded(clip: Clip, folder: Path) -> Wave:
    return load(folder / clip.prompt)[clip.piece.start : clip.piece.stop]


def fake_spans(clip: Clip, system: System | None, folder: Path) -> str:
    """What of a clip is fake, for the manifest: `UNKNOWN` unless its system replaces stretches alone."""
    if not isinstance(system, Vocoder) or not system.partial:
        return UNKNOWN
    return spans_text(system.spans(_recorded(clip, folder), clip.seed), clip.margins[0] * FRAME / SAMPLE_RATE)
