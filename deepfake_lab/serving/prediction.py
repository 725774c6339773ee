"""What is said of one recording, in the one shape that `predict` writes and the service answers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepfake_lab.serving.judge import Judgement


@dataclass(frozen=True)
class Prediction:
    """What is said of one recording: the columns of the output, up to `windows` unless details are asked for.

    Attributes:
        path: of the recording.
        score: mean score of its windows, higher = more bona fide.
        p_fake: probability that it is fake, given the prior.
        verdict: "spoof", "bonafide" or "undecided".
        reason: why it is undecided; empty otherwise.
        duration_s: length in s.
        windows: number of windows that were scored.
        p_fake_low: lower end of the 95 % interval that the windows give; None where there are too few.
        p_fake_high: its upper end.
        speech_s: how much of it is speech, in s.
        where: stretches that are more probably fake than the threshold, such as "1.5-3.0 7.0-9.5", in s.
    """

    path: str
    score: float
    p_fake: float
    verdict: str
    reason: str
    duration_s: float
    windows: int
    p_fake_low: float | None
    p_fake_high: float | None
    speech_s: float
    where: str


def prediction(name: str, judgement: Judgement) -> Prediction:
    """The row of a recording."""
    low, high = (None if math.isnan(end) else end for end in judgement.interval)
    return Prediction(
        path=name.encode(errors="backslashreplace").decode(),  # names of files need not be valid UTF-8
        score=judgement.score,
        p_fake=judgement.p_fake,
        verdict=judgement.verdict,
        reason=judgement.reason,
        duration_s=round(judgement.quality.duration_s, 3),
        windows=judgement.windows,
        p_fake_low=low,
        p_fake_high=high,
        speech_s=round(judgement.quality.speech_s, 2),
        where=" ".join(f"{span.start_s:.1f}-{span.end_s:.1f}" for span in judgement.spans),
    )


def record(row: Prediction, judgement: Judgement) -> dict[str, Any]:
    """All that there is to say of a recording, as plain containers: a line of JSON."""
    return asdict(row) | {
        "where": [span._asdict() for span in judgement.spans],
        "quality": asdict(judgement.quality),
        "over_time": [moment._asdict() for moment in judgement.moments],
    }
