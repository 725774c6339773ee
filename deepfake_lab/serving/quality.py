"""What a recording is like, whatever is said in it: level, band, clipping, speech; and whether it can be judged."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave
from deepfake_lab.serving.census import Census
from deepfake_lab.serving.speech import SPEECH, STEP_S, VoiceActivity
from deepfake_lab.types import SAMPLE_RATE

MIN_SECONDS: Final = 1.0
"""Recordings shorter than this are scored but not judged."""
MIN_LEVEL_DB: Final = -60.0
"""So are those with a root mean square below this, in dB of full scale,"""
MIN_SPEECH_S: Final = 0.3
"""with less speech than this,"""
MAX_CLIPPED: Final = 0.01
"""and those with a larger share of samples at the limit."""

_FRAME = 512
_BAND_DB = 60.0  # a frequency that is weaker than the strongest by more is outside the band
_AT_LIMIT = 0.98  # of the largest sample; speech is rarely there, unless something cuts it off
_LEAST_PEAK = 0.5  # of full scale: nobody clips softly
_SIZES = np.linspace(0, 2, 2001)
_LEVEL_MARGIN_DB = 10.0


@dataclass(frozen=True)
class Quality:
    """What a recording is like.

    Attributes:
        duration_s: length.
        level_db: root mean square, in dB of full scale.
        band_hz: highest frequency within 60 dB of the strongest; half the sample rate at most.
        clipped: share of samples within 2 % of the largest, where that is at least half of full scale. Of speech, it is
            far below 1 % unless its peaks were cut off.
        speech_s: how much of it is speech.
    """

    duration_s: float
    level_db: float
    band_hz: float
    clipped: float
    speech_s: float

    def measures(self) -> dict[str, float]:
        """What a `Census` counts of it."""
        counted = {name: value for name, value in asdict(self).items() if name in Census.EDGES}
        return counted | {"speech_share": self.speech_s / max(self.duration_s, STEP_S)}


class QualityMeter:
    """Measures audio that comes in chunks."""

    def __init__(self) -> None:
        self._voice = VoiceActivity()
        self._samples = 0
        self._energy = 0.0
        self._speech = 0
        self._spectrum = np.zeros(_FRAME // 2 + 1)
        self._left: Wave = np.empty(0, np.float32)
        self._sizes = np.zeros(len(_SIZES) - 1, np.int64)

    def add(self, wave: Wave) -> npt.NDArray[np.float32]:
        """Takes the next samples ``(T,)`` at 16 kHz; probabilities of speech of each 32 ms that they complete."""
        self._samples += len(wave)
        self._energy += float(np.square(wave, dtype=np.float64).sum())
        self._sizes += np.histogram(np.minimum(np.abs(wave), _SIZES[-1]), _SIZES)[0]
        held = np.concatenate([self._left, wave])
        frames = held[: len(held) // _FRAME * _FRAME].reshape(-1, _FRAME)
        self._left = held[frames.size :]
        self._spectrum += np.square(np.abs(np.fft.rfft(frames * np.hanning(_FRAME)))).sum(axis=0)
        probabilities = self._voice(wave)
        self._speech += int((probabilities > SPEECH).sum())
        return probabilities

    def quality(self) -> Quality:
        """What the audio so far is like."""
        duration = self._samples / SAMPLE_RATE
        level = 10 * math.log10(self._energy / max(self._samples, 1) + 1e-12)
        loud = np.flatnonzero(self._spectrum > self._spectrum.max() * 10 ** (-_BAND_DB / 10))
        band = float(loud[-1]) * SAMPLE_RATE / _FRAME if len(loud) else 0.0
        peak = float(_SIZES[np.flatnonzero(self._sizes)[-1] + 1]) if self._samples else 0.0
        at_limit = int(self._sizes[np.searchsorted(_SIZES, _AT_LIMIT * peak) :].sum())
        clipped = at_limit / self._samples if peak >= _LEAST_PEAK else 0.0
        return Quality(duration, level, band, clipped, min(self._speech * STEP_S, duration))


def doubt(quality: Quality, census: Census, *, any_level: bool) -> str:
    """Why a recording should not be judged; empty if nothing forbids it.

    Args:
        quality: what it is like.
        census: of what the detector was trained on.
        any_level: whether the detector hears all recordings at one level.
    """
    quietest, loudest = census.bounds("level_db")
    narrowest, _ = census.bounds("band_hz")
    level = f"{quality.level_db:.0f} dB of full scale"
    if quality.duration_s < MIN_SECONDS:
        return f"shorter than {MIN_SECONDS:g} s"
    if quality.level_db < MIN_LEVEL_DB:
        return f"silent ({level})"
    if quality.speech_s < MIN_SPEECH_S:
        return f"no speech ({quality.speech_s:.1f} s found)"
    if quality.clipped > MAX_CLIPPED:
        return f"clipped ({quality.clipped:.1%} of the samples at the limit)"
    if quality.band_hz < narrowest:
        return f"band ends at {quality.band_hz / 1000:.1f} kHz, of what it was trained on above {narrowest / 1000:.1f}"
    if not any_level and not quietest - _LEVEL_MARGIN_DB <= quality.level_db <= loudest + _LEVEL_MARGIN_DB:
        return f"level of {level}, of what it was trained on {quietest:.0f} to {loudest:.0f}"
    return ""
