"""Makes a tiny LJSpeech, laid out like the release.

python tests/data/make_ljspeech.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import soundfile

RATE = 22_050
CHAPTERS, CLIPS = 5, 10
TEXTS = ('He said, "Stop."', '"Never', "a plain line", "Mr. Smith's \"house")  # quotes that no parser may heed


def speech(seed: int, samples: int, rate: int = RATE) -> np.ndarray:
    """A trembling buzz in syllables, with breath and quiet edges ``(T,)``: pitch and dynamics for vocoders to find."""
    draw = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    phase = 2 * np.pi * np.cumsum(draw.uniform(180, 220) * (1 + 0.03 * np.sin(2 * np.pi * 5 * time))) / rate
    buzz = sum(np.sin(n * phase) / n for n in range(1, 20))
    breath = draw.standard_normal(samples)
    envelope = np.clip(10 * np.sin(np.pi * np.arange(samples) / samples) - 0.5, 0, 1)
    envelope *= 0.05 + np.sin(2 * np.pi * draw.uniform(1.8, 2.2) * time + draw.uniform(0, 3)) ** 4
    return (0.1 * envelope * (buzz + 0.2 * breath) + 1e-3 * breath).astype(np.float32)


def ids(chapters: int = CHAPTERS, clips: int = CLIPS) -> list[str]:
    """Names of the clips."""
    return [f"LJ{chapter:03d}-{clip:04d}" for chapter in range(1, chapters + 1) for clip in range(1, clips + 1)]


def length(number: int) -> int:
    """Samples of the real clip of that number: about 0.6 s, and odd, so never a multiple of a vocoder's hop."""
    return 13_201 + 256 * (number % 9) + 8 * (number % 30)


def make(folder: Path, chapters: int = CHAPTERS, clips: int = CLIPS) -> dict[str, Path]:
    """Makes `folder/LJSpeech-1.1`; returns the settings that find it."""
    root = folder / "LJSpeech-1.1"
    (root / "wavs").mkdir(parents=True)
    lines = []
    for number, name in enumerate(ids(chapters, clips)):
        soundfile.write(root / "wavs" / f"{name}.wav", speech(number, length(number)), RATE, subtype="PCM_16")
        text = TEXTS[number % len(TEXTS)]
        lines.append(f"{name}|{text}|{text}\n")
    (root / "metadata.csv").write_text("".join(lines), encoding="utf-8")
    (root / "README").write_text("A tiny copy.", encoding="utf-8")
    return {"root": root}


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
