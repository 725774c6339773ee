"""What a detector has to show before a service answers with it."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from scipy.signal import lfilter

from deepfake_lab import audio
from deepfake_lab.audio import Wave
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.scoring import score_windows
from deepfake_lab.serving.streaming import StreamingDetector
from deepfake_lab.types import SAMPLE_RATE, LabError

_WINDOWS = 1.5  # length of the test, in windows: one whole, and one that ends where the audio ends
_CLOSE = 1e-4  # as a share of the larger score where that is above 1
_VOICES = ((110.0, (700, 1200, 2500)), (210.0, (300, 2200, 3000)))  # pitch and formants in Hz
_CHUNK = 1_111  # samples that a stream gets at once: no divisor of anything


def self_test(judge: Judge) -> None:
    """Has a detector judge audio that is like speech, as a recording and as a stream.

    Args:
        judge: with the detector, windows of equal length and distance.

    Raises:
        LabError: it is not calibrated, gives a score that is not finite or the same to different audio, or other scores
            to recordings and streams than to their windows.
    """
    detector = judge.detector
    if float(detector.calibration_scale) == 1 and float(detector.calibration_offset) == 0:
        raise LabError(
            "it is not calibrated, so its score is no log-likelihood ratio: train it with task.calibrate=true"
        )
    said = []
    for voice in range(len(_VOICES)):
        wave = speechlike(voice, _WINDOWS * detector.window_s)
        expected = _by_windows(judge, wave)
        if not np.isfinite(expected):
            raise LabError(f"its score of speech is {expected}")
        for way, score in (("recording", _recorded(judge, wave)), ("stream", _streamed(judge, wave))):
            if abs(score - expected) > _CLOSE * max(abs(expected), 1):
                raise LabError(f"its score of a {way} is {score:.6g}, and of the windows of that {expected:.6g}")
        said.append(expected)
    if abs(said[0] - said[1]) <= _CLOSE * max(abs(said[0]), 1):
        raise LabError(f"its scores of two voices are the same: {said[0]:.6g}")


def speechlike(voice: int, seconds: float) -> Wave:
    """Pulses of a larynx through a mouth that opens three times a second, with some noise: ``(T,)``, at 16 kHz."""
    pitch, formants = _VOICES[voice]
    time = np.arange(max(round(seconds * SAMPLE_RATE), 1)) / SAMPLE_RATE
    phase = pitch * time + 3 * np.sin(2 * np.pi * 0.7 * time)
    wave = (np.diff(np.floor(phase), prepend=-1) > 0) + 0.02 * np.random.default_rng(voice).standard_normal(len(time))
    for formant in formants:
        pole = np.exp(-np.pi * 90 / SAMPLE_RATE + 2j * np.pi * formant / SAMPLE_RATE)
        wave = lfilter([1.0], [1.0, -2 * pole.real, abs(pole) ** 2], wave)
    wave *= 0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)  # never silent: what cuts quiet edges off finds none
    return np.asarray(0.1 * wave / np.sqrt(np.mean(wave**2)), np.float32)


def _by_windows(judge: Judge, wave: Wave) -> float:
    windows = audio.windows(wave, judge.detector.window_samples)
    return float(np.mean([score_windows(judge.detector, [window], False).whole[0] for window in windows]))


def _recorded(judge: Judge, wave: Wave) -> float:
    file = io.BytesIO()
    soundfile.write(file, wave, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return judge(Recording(file.getvalue(), "the self-test")).score


def _streamed(judge: Judge, wave: Wave) -> float:
    streaming = StreamingDetector(judge, release=judge.threshold)
    for start in range(0, len(wave), _CHUNK):
        streaming(wave[start : start + _CHUNK])
    streaming.finish()
    return float(np.mean(streaming.scores))
