"""Which clips openprompts has: decided once (`plan`), and kept on disk (`Plan`)."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, Self

from deepfake_lab.data.corpora.openprompts_audio import Piece
from deepfake_lab.data.corpora.openprompts_clips import Clip, Prompt, System, TextToSpeech, Vocoder
from deepfake_lab.data.corpora.openprompts_lines import MARGIN_FRAMES
from deepfake_lab.data.corpora.openprompts_voices import TELEPHONE, Voice
from deepfake_lab.data.files import write_whole
from deepfake_lab.data.manifest import NO_ATTACK, UNKNOWN
from deepfake_lab.types import SAMPLE_RATE, LabError, Split

_SPOKEN = "openprompts"  # prefixes voices and sentences of text-to-speech: they come from nowhere else
_CHARACTERS_A_SECOND = 14.0  # an everyday pace, near enough to pair a sentence with a recording of its length


class _Sentence(NamedTuple):
    name: str
    text: str


_Sentences = dict[tuple[Split, str], list[_Sentence]]
"""Sentences by split and language."""
_Dealt = tuple[Clip, str, random.Random]
"""A bona fide clip, the system of the spoof beside it, and what draws its sentence."""


class Plan(NamedTuple):
    """All clips of a corpus.

    Attributes:
        settings: what the bytes of the corpus depend on: its recipe, the `repr` of its systems and others.
        clips: in the order of the manifest.
    """

    settings: Mapping[str, Any]
    clips: list[Clip]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Reads what `write` has written; None if nothing is there.

        Raises:
            LabError: the file is not a plan.
        """
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            clips = [
                Clip(**{**clip, "piece": Piece(*clip["piece"]), "margins": tuple(clip["margins"])})
                for clip in found["clips"]
            ]
            return cls(found["settings"], clips)
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise LabError(f"{path}: not a plan ({error!r}). Delete {path.parent} and prepare again.") from error

    def write(self, path: Path) -> None:
        """Writes the plan, whole or not at all."""
        content = {"settings": self.settings, "clips": [asdict(clip) for clip in self.clips]}
        write_whole(path, json.dumps(content, indent=0, ensure_ascii=False))

    def same_files(self, earlier: Self) -> set[str]:
        """Paths of the clips that an earlier plan has made with the same bytes."""
        if self.settings["recipe"] != earlier.settings["recipe"]:
            return set()
        before = {clip.key: clip for clip in earlier.clips}
        return {clip.path for clip in self.clips if clip == before.get(clip.key) and self._made_alike(clip, earlier)}

    def _made_alike(self, clip: Clip, earlier: Self) -> bool:
        """Whether the clip's system has the same settings in both plans; that of bona fide clips has none."""
        ours, theirs = (plan.settings["systems"].get(clip.system) for plan in (self, earlier))
        return bool(ours == theirs)


def plan(
    prompts: Sequence[Prompt],
    systems: Mapping[str, System],
    splits: Mapping[Split, Sequence[str]],
    *,
    most: int | None,
    seed: int,
) -> list[Clip]:
    """Decides which clips there are: each piece of a prompt, and one spoof beside it if there is any system.

    Args:
        prompts: what the packages hold.
        systems: synthesis systems by name.
        splits: names of the systems that occur in each split.
        most: largest number of prompts a voice, of which the first piece is taken, and the systems in turn; None takes
            all pieces of all, and the system that each clip ranks highest, so that another one moves few clips.
        seed: decides the choice of prompts, systems and sentences.
    """
    spoken: dict[Voice, list[Prompt]] = {}
    for prompt in prompts:
        if prompt.pieces:
            spoken.setdefault(prompt.voice, []).append(prompt)
    sentences = _share_sentences(spoken, systems, splits, seed)
    clips: list[Clip] = []
    for voice, found in spoken.items():
        draw = random.Random(f"{seed}/{voice.language}")
        real = _first_pieces(found, most, draw, seed) if most else _all_pieces(found, seed)
        clips += real
        if names := splits[voice.split]:
            spoofs = _in_turn(real, names, draw) if most else _by_rank(real, names, seed)
            clips += [_spoof(clip, name, systems[name], sentences, own, seed) for clip, name, own in spoofs]
    return clips


def _first_pieces(prompts: list[Prompt], most: int, draw: random.Random, seed: int) -> list[Clip]:
    chosen = sorted(draw.sample(prompts, most)) if len(prompts) > most else prompts
    return [_bonafide(prompt, 0, seed) for prompt in chosen]


def _all_pieces(prompts: list[Prompt], seed: int) -> list[Clip]:
    return [_bonafide(prompt, number, seed) for prompt in prompts for number in range(len(prompt.pieces or ()))]


def _in_turn(real: Sequence[Clip], names: Sequence[str], draw: random.Random) -> Iterator[_Dealt]:
    """Deals clips to systems in equal shares."""
    dealt = [names[n % len(names)] for n in range(len(real))]
    draw.shuffle(dealt)
    return ((clip, name, draw) for clip, name in zip(real, dealt, strict=True))


def _by_rank(real: Sequence[Clip], names: Sequence[str], seed: int) -> Iterator[_Dealt]:
    """Deals clips to the systems that they rank first (rendezvous hashing, Thaler and Ravishankar 1998)."""
    for clip in real:
        name = min(names, key=lambda one: _seed(seed, f"{clip.key}/{one}"))  # called at once
        yield clip, name, random.Random(f"{seed}/{clip.key}/{name}")


def _bonafide(prompt: Prompt, number: int, seed: int) -> Clip:
    voice, collection = prompt.voice, prompt.voice.collection
    name = prompt.name if collection == TELEPHONE else f"{collection.name}-{prompt.name}"
    key = name if number == 0 else f"{name}.{number + 1}"
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
        speaker=f"{collection.name}/{voice.speaker}",
        gender=voice.gender,
        group=f"{collection.name}/{prompt.name}",
        split=voice.split,
        collection=collection.name,
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


def _share_sentences(
    voices: Iterable[Voice], systems: Mapping[str, System], splits: Mapping[Split, Sequence[str]], seed: int
) -> _Sentences:
    """Deals the sentences of each language to the splits that speak it, so that no sentence is in two of them."""
    wanted: dict[str, set[Split]] = {}
    for voice in voices:
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
