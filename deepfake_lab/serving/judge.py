"""A recording's judgement: how probably it is fake, how sure that is, where, and whether it can be judged at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from deepfake_lab.audio import AudioError
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.inspection import loud_part, step_energies
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.models.detector import Detector
from deepfake_lab.serving.census import Census
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.quality import Quality, QualityMeter, doubt
from deepfake_lab.serving.scoring import Scorer, Scores, score_windows
from deepfake_lab.serving.windows import Window, Windows
from deepfake_lab.types import SAMPLE_RATE, LabError, Span

Verdict = Literal["spoof", "bonafide", "undecided"]
Choice = Literal["all", "first"]
"""Which windows count: all, or the first alone, as in evaluation."""

STEP_S = 0.5
"""Length of the steps in which scores over time are told, in s."""
_CONFIDENCE = 0.95
_CENSUS = 200  # utterances of a split that a census asks
_SURE = 700.0  # larger numbers overflow in an exponential


class Moment(NamedTuple):
    """What is said of a short stretch of a recording.

    Attributes:
        start_s: its beginning.
        end_s: its end.
        score: mean of the detector's scores over time within it.
        p_fake: probability that it is fake.
    """

    start_s: float
    end_s: float
    score: float
    p_fake: float


@dataclass(frozen=True)
class Judgement:
    """What is said of a recording.

    Attributes:
        score: mean score of its windows, higher = more bona fide.
        p_fake: probability that it is fake, given the prior.
        interval: 95 % interval of `p_fake` that its windows give; NaN where there is one window alone. It tells how
            much the windows differ, not how often the detector errs.
        verdict: "spoof", "bonafide" or "undecided".
        reason: why it is undecided; empty otherwise.
        windows: number of windows that were scored.
        quality: what it is like.
        moments: scores over time, in order.
        spans: stretches that are more probably fake than the threshold; of undecided recordings too.
    """

    score: float
    p_fake: float
    interval: tuple[float, float]
    verdict: Verdict
    reason: str
    windows: int
    quality: Quality
    moments: tuple[Moment, ...]
    spans: tuple[Span, ...]


class Judge:
    """Judges recordings with a detector.

    Args:
        detector: in eval mode, on its device.
        prior: probability of a fake before listening.
        threshold: probability above which the verdict is "spoof".
        windows: see `Choice`.
        hop_s: from one window to the next, in s; None is the length of a window.
        batch_size: windows that the detector hears at once.
        scorer: asks the detector; a service has one that asks for several recordings at once.

    Raises:
        LabError: prior or threshold is no probability between 0 and 1, `hop_s` is longer than a window or not
            positive, or another setting is impossible.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        prior: float = 0.5,
        threshold: float = 0.7,
        windows: Choice = "all",
        hop_s: float | None = None,
        batch_size: int = 16,
        scorer: Scorer | None = None,
    ) -> None:
        for key, value in (("prior.spoof", prior), ("threshold", threshold)):
            if not 0 < value < 1:
                raise LabError(f"{key}={value}: a probability between 0 and 1 is needed.")
        if windows not in get_args(Choice):
            raise LabError(f"windows={windows}: choose {' or '.join(get_args(Choice))}.")
        if batch_size < 1:
            raise LabError(f"batch_size={batch_size}: at least one window at a time is needed.")
        if hop_s is not None and not 0 < hop_s <= detector.window_s:
            raise LabError(f"hop_s={hop_s}: give more than 0 and at most a window, which is {detector.window_s:g} s.")
        self.detector = detector
        self.census = Census(detector.trained_on)
        self.prior = prior
        self.threshold = threshold
        self.windows = windows
        self.hop = detector.window_samples if hop_s is None else max(round(hop_s * SAMPLE_RATE), 1)
        self.batch_size = batch_size
        self._scorer: Scorer = scorer or partial(score_windows, detector)

    def p_fake(self, score: float) -> float:
        """Probability of a fake, of a score: ``sigmoid(-score + ln(prior / (1 - prior)))``."""
        return 1 / (1 + math.exp(min(score - math.log(self.prior / (1 - self.prior)), _SURE)))

    def verdict(self, p_fake: float) -> Verdict:
        """What is said at a probability, where nothing speaks against saying it."""
        return "spoof" if p_fake > self.threshold else "bonafide"

    def doubt(self, quality: Quality) -> str:
        """Why a recording of such a quality should not be judged; empty if nothing forbids it."""
        return doubt(quality, self.census, any_level=self.detector.treatment.level_db is not None)

    def scores(self, windows: Sequence[Window], name: str, *, frames: bool = False) -> Scores:
        """Scores of windows; see `deepfake_lab.serving.scoring.score_windows`.

        Args:
            windows: what to score.
            name: what messages call the audio that they are of.
            frames: whether scores over time are wanted.

        Raises:
            AudioError: the detector gives a score that is NaN or infinite.
        """
        scores = self._scorer([window.wave for window in windows], frames)
        if not np.isfinite(scores.whole).all() or not np.isfinite(scores.local).all():
            raise AudioError(f"{name}: the detector gives no finite score. Use another checkpoint.")
        return scores

    def __call__(self, recording: Recording, tell: Callable[[float], None] = lambda heard_s: None) -> Judgement:
        """Judges a recording of any length, in a bounded amount of memory.

        Args:
            recording: what to judge.
            tell: is told how many seconds have been heard, as it goes on.

        Raises:
            AudioError: it cannot be decoded or scored.
        """
        quality = measured(recording)
        scores: list[float] = []
        moments = _Moments()
        for batch in _batches(self.cut(recording), self.batch_size):
            given = self.scores(batch, recording.name, frames=True)
            scores += given.whole.tolist()
            for window, row in zip(batch, given.local, strict=True):
                moments.add(window, given.times, row)
            tell(moments.end_s)
        mean = float(np.mean(scores))
        p_fake = self.p_fake(mean)
        reason = self.doubt(quality)
        told = tuple(Moment(start, end, value, self.p_fake(value)) for start, end, value in moments.means())
        return Judgement(
            score=mean,
            p_fake=p_fake,
            interval=self._interval(scores),
            verdict="undecided" if reason else self.verdict(p_fake),
            reason=reason,
            windows=len(scores),
            quality=quality,
            moments=told,
            spans=_joined([moment for moment in told if moment.p_fake > self.threshold]),
        )

    def cut(self, recording: Recording) -> Generator[Window]:
        """The windows that count, of what lies between quiet edges if the detector wants that."""
        start, length, rate = _loud_part(recording) if self.detector.treatment.trim else (0, None, SAMPLE_RATE)
        if self.windows == "first":
            rate = next(recording.blocks()).sample_rate
            window = math.ceil(self.detector.window_s * rate)
            length = window if length is None else min(length, window)
        cutter = Windows(self.detector.window_samples, self.hop, start * SAMPLE_RATE // rate)
        if self.windows == "first":
            wave = np.concatenate(list(recording.waves(start, length)))[: cutter.length]
            yield from [*cutter.feed(wave), *cutter.finish()][:1]
            return
        for wave in recording.waves(start, length):
            yield from cutter.feed(wave)
        yield from cutter.finish()

    def _interval(self, scores: Sequence[float]) -> tuple[float, float]:
        """Student's interval of the mean score, as probabilities; windows that overlap count for less than one each."""
        count = 1 + (len(scores) - 1) * self.hop / self.detector.window_samples
        if count < 2:
            return math.nan, math.nan
        reach = float(stats.t.ppf((1 + _CONFIDENCE) / 2, count - 1)) * float(np.std(scores, ddof=1)) / math.sqrt(count)
        middle = float(np.mean(scores))
        return self.p_fake(middle + reach), self.p_fake(middle - reach)


def take_census(detector: Detector, train: Manifest, dev: Manifest) -> Census:
    """Counts how utterances of a corpus are, and how the detector scores some that it was not trained on.

    Args:
        detector: what was trained.
        train: what it was trained on: a sample of these is measured.
        dev: what it is scored on.

    Raises:
        AudioError: an utterance cannot be decoded.
    """
    census = Census()
    for row in train.table.take(_some(train)).to_pylist():
        recording = Recording(train.root / row["path"], row["path"])
        census.add(measured(recording, row["start"], row["frames"]).measures())
    heard = UtteranceDataset(dev, detector.window_s, trim=detector.treatment.trim)
    for rows in np.array_split(_some(dev), _CENSUS // 20):
        if len(rows):
            wave = heard.__getitems__([Draw(int(row), epoch=0) for row in rows]).wave
            with torch.inference_mode():
                scores = detector(wave.to(detector.eer_threshold.device)).score
            for score in scores.tolist():
                census.add({"score": score})
    return census


def _some(manifest: Manifest) -> npt.NDArray[np.int64]:
    return np.sort(np.random.default_rng(0).permutation(len(manifest))[:_CENSUS])


def measured(recording: Recording, start: int = 0, frames: int | None = None) -> Quality:
    """What a recording is like, or a part of it; see `Recording.waves`.

    Raises:
        AudioError: it cannot be decoded.
    """
    meter = QualityMeter()
    for wave in recording.waves(start, frames):
        meter.add(wave)
    return meter.quality()


def _loud_part(recording: Recording) -> tuple[int, int, int]:
    """First sample and length of what lies between the quiet edges of a recording, and the rate in Hz."""
    energies, left, length, rate = [], np.empty(0, np.float32), 0, SAMPLE_RATE
    for block in recording.blocks():
        rate = block.sample_rate
        energy, left = step_energies(np.concatenate([left, block.wave]), rate)
        energies.append(energy)
        length += len(block.wave)
    return *loud_part(np.concatenate(energies), length, rate), rate


class _Moments:
    """Means of scores over time in steps of `STEP_S`."""

    def __init__(self) -> None:
        self._sums: dict[int, list[float]] = {}
        self.end_s = 0.0

    def add(self, window: Window, times: npt.NDArray[np.float64], scores: npt.NDArray[np.float32]) -> None:
        """Takes a window's scores ``(S,)`` and their times in it ``(S,)``; not those of repeated audio."""
        start_s, heard_s = window.start / SAMPLE_RATE, window.heard / SAMPLE_RATE
        self.end_s = max(self.end_s, start_s + heard_s)
        inside = times <= max(heard_s, float(times[0]))
        for time, score in zip(times[inside], scores[inside], strict=True):
            step = int(min(start_s + time, self.end_s - 1e-6) / STEP_S)
            held = self._sums.setdefault(step, [0.0, 0.0])
            held[0] += float(score)
            held[1] += 1

    def means(self) -> Iterator[tuple[float, float, float]]:
        """Beginning, end and mean score of each step, in order."""
        for step, (total, count) in sorted(self._sums.items()):
            yield step * STEP_S, min((step + 1) * STEP_S, self.end_s), total / count


def _joined(moments: Sequence[Moment]) -> tuple[Span, ...]:
    """Stretches that consecutive moments make."""
    spans: list[Span] = []
    for moment in moments:
        if spans and spans[-1].end_s == moment.start_s:
            spans[-1] = Span(spans[-1].start_s, moment.end_s)
        else:
            spans.append(Span(moment.start_s, moment.end_s))
    return tuple(spans)


def _batches(windows: Iterator[Window], size: int) -> Iterator[list[Window]]:
    while batch := list(islice(windows, size)):
        yield batch
