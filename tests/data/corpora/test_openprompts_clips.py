"""Which clips openprompts plans."""

import numpy as np
from make_openprompts import LANGUAGES

from deepfake_lab.data.corpora.openprompts_audio import pieces
from deepfake_lab.data.corpora.openprompts_clips import Prompt, plan
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.synthesis.piper import Piper
from deepfake_lab.synthesis.world import World

SYSTEMS = {"espeak": Espeak(), "piper": Piper()}


def test_full_takes_every_piece_of_long_prompts():
    piece = pieces(np.random.default_rng(0).standard_normal(16_000 * 15).astype(np.float32) * 0.1)
    assert len(piece) >= 3
    assert all(1.2 <= (p.stop - p.start) / 16_000 <= 6 for p in piece)
    prompts = [Prompt(language, "demo-instruct.g722", piece) for language in LANGUAGES]
    splits = {"train": ["world"], "dev": ["world"], "test": ["world"]}
    small, full = (plan(prompts, {"world": World()}, splits, most=most, seed=0) for most in (210, None))
    assert (len(small), len(full)) == (10, 10 * len(piece))
    assert {clip.group for clip in full if clip.language == "it"} == {"asterisk/it-demo-instruct"}


def test_small_draws_prompts_and_sentences_by_the_seed():
    piece = pieces(np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.1)
    prompts = [Prompt(language, f"p{number:03d}.g722", piece) for language in LANGUAGES for number in range(40)]
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
