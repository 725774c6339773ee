"""Small files that are whole, and the same damaged in every way: flips, cuts, splices, headers written anew."""

import io
from collections.abc import Iterator

import numpy as np
import soundfile
from signals import muxed

RATE = 16_000
_FILES = {"wav": "PCM_16", "flac": "PCM_16", "aiff": "PCM_16", "au": "PCM_16", "caf": "PCM_16", "w64": "PCM_16"}
_STREAMS = {
    "opus": ("ogg", "libopus", 48_000),
    "m4a": ("ipod", "aac", 48_000),
    "webm": ("webm", "libopus", 48_000),
    "g722": ("g722", "g722", 16_000),
}


def sounds(seconds: float = 0.25) -> dict[str, bytes]:
    """Noise in two channels where the format has them, by ending."""
    wave = np.random.default_rng(0).normal(0, 0.1, (round(seconds * RATE), 2)).astype(np.float32)
    made = {}
    for ending in (*_FILES, "ogg", "mp3"):
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, format=ending.upper(), subtype=_FILES.get(ending))
        made[ending] = file.getvalue()
    return made | {ending: muxed(wave[:, 0], *stream) for ending, stream in _STREAMS.items()}


def mutations(content: bytes, seed: int, count: int, donors: list[bytes]) -> Iterator[bytes]:
    """So many damaged copies of a file; the same seed gives the same ones.

    Args:
        content: of the file.
        seed: decides where and how.
        count: how many.
        donors: other files, parts of which may take the place of its own.
    """
    random = np.random.default_rng(seed)
    for _ in range(count):
        changed = bytearray(content)
        for _ in range(random.integers(1, 4)):
            changed = _mutated(changed, random, donors)
        yield bytes(changed)


def _mutated(content: bytearray, random: np.random.Generator, donors: list[bytes]) -> bytearray:
    """One change, in half of the cases near the beginning, where headers are."""
    size = max(len(content), 1)
    place = int(random.integers(min(size, 128) if random.random() < 0.5 else size))
    kind = random.integers(7)
    if kind == 0:  # a bit
        content[place : place + 1] = bytes([content[place] ^ 1 << int(random.integers(8))]) if content else b""
    elif kind == 1:  # a byte
        content[place : place + 1] = random.bytes(1)
    elif kind == 2:  # the end is missing
        del content[place:]
    elif kind == 3:  # something is missing
        del content[place : place + int(random.integers(1, 64))]
    elif kind == 4:  # something occurs twice
        content[place:place] = content[place : place + int(random.integers(1, 512))]
    elif kind == 5:  # a part of another file
        donor = donors[random.integers(len(donors))]
        start = int(random.integers(len(donor)))
        content[place : place + 256] = donor[start : start + int(random.integers(1, 256))]
    else:  # a number that is too large, too small or negative
        number = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)[random.integers(10)]
        width = int(random.choice([1, 2, 4, 8]))
        order = "little" if random.random() < 0.5 else "big"
        content[place : place + width] = (number & (1 << 8 * width) - 1).to_bytes(width, order)
    return content
