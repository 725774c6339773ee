"""Signals and files for the tiny corpora of the tests."""

import io
from pathlib import Path

import av
import numpy as np
import soundfile


def noise(seed: int, samples: int = 4000, peak: float = 0.3) -> np.ndarray:
    """Noise ``(T,)`` that no other seed makes."""
    return np.random.default_rng(seed).uniform(-peak, peak, samples).astype(np.float32)


def write(path: Path, seed: int, rate: int = 16_000, samples: int = 4000) -> None:
    """Writes noise in the format that belongs to the file's ending, 16 bit, and makes the folders for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (noise(seed, samples) * 32768).astype(np.int16), rate)


def muxed(wave: np.ndarray, container: str, codec: str, rate: int) -> bytes:
    """A waveform ``(T,)`` at 16 kHz as FFmpeg writes it, encoded at a rate."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        stream.layout = "mono"
        to_codec = av.AudioResampler(stream.format, "mono", rate)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave[None]), "flt", "mono")
        frame.sample_rate = 16_000
        for part in [*to_codec.resample(frame), *to_codec.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()
