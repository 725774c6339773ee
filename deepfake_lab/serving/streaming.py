"""A detector on a stream: voice activity, front-end, model, calibrated confidence, flag or pass."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np

from deepfake_lab.audio import Wave
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.quality import MIN_LEVEL_DB, MIN_SPEECH_S, Quality, QualityMeter
from deepfake_lab.serving.speech import SPEECH, STEP, STEP_S
from deepfake_lab.serving.windows import Window, Windows
from deepfake_lab.types import SAMPLE_RATE, LabError

State = Literal["flag", "pass", "listening"]
"""What a stream is thought to be: fake, real, or nothing yet."""


@dataclass(frozen=True)
class Decision:
    """What is said when a window is complete.

    Attributes:
        start_s: beginning of the window in the stream.
        end_s: its end: how much has been heard.
        score: of the window, higher = more bona fide.
        p_fake: probability that the window is fake.
        speech_s: how much of the window is speech.
        state: of the stream after it.
        reason: why the window changes nothing; empty if it may.
        changed: whether it changed the state.
    """

    start_s: float
    end_s: float
    score: float
    p_fake: float
    speech_s: float
    state: State
    reason: str
    changed: bool


class StreamingDetector:
    """Decides on a stream that comes in chunks of any length; these change nothing of what it says.

    A window without speech is scored and decides nothing: voice activity gates decisions and never cuts audio, so that
    every window is scored as in a recording. What is flagged stays so until the probability falls below `release`.

    Args:
        judge: with its detector, prior, threshold, and the distance of its windows.
        release: probability below which a flag is taken back, at most the judge's threshold.

    Raises:
        LabError: `release` is not between 0 and the threshold.

    Attributes:
        state: what the stream is thought to be.
        scores: of all windows so far.
    """

    def __init__(self, judge: Judge, *, release: float = 0.5) -> None:
        if not 0 < release <= judge.threshold:
            raise LabError(f"release={release}: give more than 0 and at most threshold={judge.threshold}.")
        self.judge = judge
        self.release = release
        self._windows = Windows(judge.detector.window_samples, judge.hop)
        self.reset()

    def reset(self) -> None:
        """Begins a new stream."""
        self._windows.reset()
        self._meter = QualityMeter()
        self._speech: deque[tuple[int, bool]] = deque()  # last sample of each step of 32 ms, and whether it is speech
        self._steps = 0
        self.state: State = "listening"
        self.scores: list[float] = []

    def __call__(self, chunk: Wave) -> list[Decision]:
        """Takes the next samples ``(T,)``, float32, 16 kHz; gives a decision for each window that they complete."""
        for probability in self._meter.add(chunk):
            self._steps += 1
            self._speech.append((self._steps * STEP, bool(probability > SPEECH)))
        return [self._decide(window) for window in self._windows.feed(chunk)]

    def finish(self) -> list[Decision]:
        """Ends the stream: the decision on what no window has reached yet, as at the end of a recording."""
        return [self._decide(window) for window in self._windows.finish()]

    @property
    def quality(self) -> Quality:
        """What the stream has been like so far."""
        return self._meter.quality()

    @property
    def p_fake(self) -> float:
        """Probability that the stream is fake by the mean score of all windows so far, as of a recording.

        Raises:
            LabError: there was no window yet.
        """
        if not self.scores:
            raise LabError("The stream has not been heard for long enough: no window is complete.")
        return self.judge.p_fake(float(np.mean(self.scores)))

    def _decide(self, window: Window) -> Decision:
        score = float(self.judge.scores([window], "the stream").whole[0])
        p_fake = self.judge.p_fake(score)
        while self._speech and self._speech[0][0] <= window.start:
            self._speech.popleft()
        end = window.start + window.heard
        speech_s = STEP_S * sum(speech for last, speech in self._speech if last <= end)
        reason = _silent(window, speech_s)
        before = self.state
        if not reason:
            self.state = self._next(p_fake)
        self.scores.append(score)
        return Decision(
            start_s=window.start / SAMPLE_RATE,
            end_s=end / SAMPLE_RATE,
            score=score,
            p_fake=p_fake,
            speech_s=round(speech_s, 3),
            state=self.state,
            reason=reason,
            changed=self.state != before,
        )

    def _next(self, p_fake: float) -> State:
        """Hysteresis: a flag is raised above the threshold and taken back below `release`."""
        if p_fake > self.judge.threshold:
            return "flag"
        return "flag" if self.state == "flag" and p_fake >= self.release else "pass"


def _silent(window: Window, speech_s: float) -> str:
    level = 10 * np.log10(np.mean(np.square(window.wave, dtype=np.float64)) + 1e-12)
    if level < MIN_LEVEL_DB:
        return f"silent ({level:.0f} dB of full scale)"
    return f"no speech ({speech_s:.1f} s found)" if speech_s < MIN_SPEECH_S else ""
