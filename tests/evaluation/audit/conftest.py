"""Small corpora of noise in which both classes are alike, unless a test alters one."""

import numpy as np
import pytest
import soundfile

from deepfake_lab.data.inspection import inspect
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.types import LABEL_NAMES, SPLITS

RATE = 16_000


def hiss(rng):
    """About half a second of noise of a random level, between quiet edges of random length: `(T,)`."""
    wave = rng.uniform(0.05, 0.3) * rng.standard_normal(7600 + int(rng.integers(400)))
    for edge in (slice(None, int(rng.integers(200, 900))), slice(len(wave) - int(rng.integers(200, 900)), None)):
        wave[edge] *= 0.001
    return wave.clip(-1, 1)


@pytest.fixture
def make_corpus(tmp_path):
    """Makes a corpus: `count` utterances of each class in each split.

    `alter(wave, label, rng)` returns another waveform; `rows(row)` a row's other values.
    """

    def make(alter=None, rows=None, count=30, splits=SPLITS, name="hiss", seed=0, subtype="PCM_16"):
        rng = np.random.default_rng(seed)
        made = []
        for split in splits:
            for number in range(count):
                for label, kind in enumerate(LABEL_NAMES):
                    wave = hiss(rng)
                    wave = alter(wave, label, rng) if alter else wave
                    key = f"{name}-{split}-{number}-{kind}"
                    soundfile.write(tmp_path / f"{key}.wav", wave, RATE, subtype=subtype)
                    found = inspect(tmp_path, f"{key}.wav")._asdict()
                    columns = (
                        "path",
                        "frames",
                        "sample_rate",
                        "channels",
                        "speech_start",
                        "speech_frames",
                        "audio_hash",
                    )
                    row = {column: found[column] for column in columns} | {
                        "key": key,
                        "label": label,
                        "attack": f"{name}/{'AB'[number % 2]}" if label else "bonafide",
                        "speaker": f"{name}/{split}{number % 5}",
                        "group": f"{name}/{split}{number}",
                        "split": split,
                        "corpus": name,
                    }
                    made.append(row | (rows(row) if rows else {}))
        return Manifest.from_rows(made, tmp_path, f"manifest of {name}")

    return make
