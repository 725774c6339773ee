"""Which clips openprompts plans, and which of them it makes anew."""

import dataclasses

import numpy as np
import pytest

from deepfake_lab.data.corpora.openprompts_audio import pieces
from deepfake_lab.data.corpora.openprompts_clips import Prompt
from deepfake_lab.data.corpora.openprompts_plan import Plan, plan
from deepfake_lab.data.corpora.openprompts_voices import TELEPHONE_VOICES, WIDE_VOICES
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.synthesis.lpc import Lpc
from deepfake_lab.synthesis.piper import Piper
from deepfake_lab.synthesis.world import World

SYSTEMS = {"espeak": Espeak(), "piper": Piper()}
SPLITS = ("train", "dev", "test")


def test_full_takes_every_piece_of_long_prompts():
    piece = pieces(np.random.default_rng(0).standard_normal(16_000 * 15).astype(np.float32) * 0.1, 1.2)
    assert len(piece) >= 3
    assert all(1.2 <= (p.stop - p.start) / 16_000 <= 6 for p in piece)
    prompts = [Prompt(voice, "demo-instruct.g722", piece) for voice in TELEPHONE_VOICES]
    splits = {"train": ["world"], "dev": ["world"], "test": ["world"]}
    small, full = (plan(prompts, {"world": World()}, splits, most=most, seed=0) for most in (210, None))
    assert (len(small), len(full)) == (10, 10 * len(piece))
    assert {clip.group for clip in full if clip.language == "it"} == {"asterisk/it-demo-instruct"}


def test_small_draws_prompts_and_sentences_by_the_seed():
    piece = pieces(np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1, 1.2)
    prompts = [Prompt(voice, f"p{number:03d}.g722", piece) for voice in TELEPHONE_VOICES for number in range(40)]
    splits = {"train": ["espeak"], "dev": ["espeak"], "test": ["espeak", "piper"]}
    first, again, other = (plan(prompts, SYSTEMS, splits, most=30, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 300
    assert first == again
    assert {clip.key for clip in first} != {clip.key for clip in other}
    english = {
        split: {c.group for c in first if c.language == "en" and c.text and c.split == split}
        for split in ("train", "test")
    }
    assert all(english.values())
    assert not english["train"] & english["test"]


@pytest.fixture(scope="module")
def recordings():
    piece = pieces(np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1, 1.2)
    return [Prompt(voice, f"{voice.speaker}/w{number}.ogg", piece) for voice in WIDE_VOICES for number in range(12)]


def planned(recordings, systems):
    clips = plan(recordings, systems, {split: list(systems) for split in SPLITS}, most=None, seed=0)
    return Plan({"recipe": 3, "systems": {name: repr(one) for name, one in systems.items()}}, clips)


def test_another_system_takes_its_share_and_moves_no_other_clip(recordings):
    two, three = {"world": World(), "espeak": Espeak()}, {"world": World(), "espeak": Espeak(), "lpc": Lpc()}
    before, after = planned(recordings, two), planned(recordings, three)
    new = {clip.path for clip in after.clips if clip.system == "lpc"}
    assert len(new) == pytest.approx(len(recordings) / 3, rel=0.3)
    assert after.same_files(before) == {clip.path for clip in after.clips} - new


def test_a_file_lasts_only_where_it_would_be_made_the_same_way(recordings):
    before = planned(recordings, {"world": World(), "lpc": Lpc()})
    slower = planned(recordings, {"world": World(frame_ms=10.0), "lpc": Lpc()})
    assert slower.same_files(before) == {clip.path for clip in before.clips if clip.system != "world"}
    first, *others = before.clips
    moved = before._replace(clips=[dataclasses.replace(first, seed=first.seed + 1), *others])
    assert moved.same_files(before) == {clip.path for clip in others}
    assert not before._replace(settings={**before.settings, "recipe": 4}).same_files(before)


def test_without_systems_there_is_the_same_real_speech_and_nothing_else(recordings):
    real = [clip for clip in planned(recordings, {"world": World()}).clips if clip.system == "bonafide"]
    assert planned(recordings, {}).clips == real
    assert len({clip.key for clip in real}) == len(recordings)


def test_no_person_and_no_language_of_the_wide_voices_crosses_splits():
    for name in ("language", "speaker"):
        splits = {}
        for voice in WIDE_VOICES:
            splits.setdefault(getattr(voice, name), set()).add(voice.split)
        assert all(len(found) == 1 for found in splits.values()), name
