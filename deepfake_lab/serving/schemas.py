"""What the service takes and answers, as its documentation has it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

_Probability = Field(ge=0, le=1)


class Answer(BaseModel):
    """Something that the service says: exactly these fields."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Problem(Answer):
    """Why something was not done."""

    code: str = Field(description="a word for programs", examples=["too_large"])
    message: str = Field(description="a sentence for people")


class SpanSaid(Answer):
    """A stretch of a recording, in s."""

    start_s: float
    end_s: float


class MomentSaid(SpanSaid):
    """What is said of half a second."""

    score: float
    p_fake: float = _Probability


class QualitySaid(Answer):
    """What a recording is like."""

    duration_s: float
    level_db: float = Field(description="root mean square, in dB of full scale")
    band_hz: float = Field(description="highest frequency within 60 dB of the strongest")
    clipped: float = Field(description="share of samples at the limit")
    speech_s: float = Field(description="how much of it is speech")


class Detection(Answer):
    """What is said of a recording: a line of `predict output=x.jsonl`."""

    path: str = Field(description="name of the upload, or what of it can be shown")
    score: float = Field(description="log-likelihood ratio, higher = more bona fide")
    p_fake: float = Field(ge=0, le=1, description="probability that it is fake, given the prior")
    verdict: Literal["spoof", "bonafide", "undecided"]
    reason: str = Field(description="why it is undecided; empty otherwise")
    duration_s: float
    windows: int = Field(description="windows that were scored")
    p_fake_low: float | None = Field(description="95 % interval that the windows give; null where there are too few")
    p_fake_high: float | None
    speech_s: float
    where: list[SpanSaid] = Field(description="stretches that are more probably fake than the threshold")
    quality: QualitySaid
    over_time: list[MomentSaid] = Field(description="scores of each half second")


class ExplanationSaid(Answer):
    """What moved the score of some seconds of a recording, by cells of time and frequency."""

    times_s: list[float] = Field(description="edges of the steps, in s")
    bands_hz: list[float] = Field(description="edges of the bands, in Hz")
    parts: list[list[float]] = Field(
        description="what each step of each band adds to the score; what speaks for a fake is negative"
    )
    attention: list[float] | None = Field(
        description="share of each step in what the detector heard; null where it pays no attention over time"
    )
    score: float = Field(description="mean score of the windows that are explained")
    baseline: float = Field(description="the same of their long-term spectra alone; the parts add up to the difference")
    windows: int = Field(description="windows that are explained")
    method: str


class ModelSaid(Answer):
    """The detector that answers."""

    name: str
    version: str
    digest: str = Field(description="SHA-256 of its checkpoint")
    window_s: float = Field(description="what it hears at once, in s")
    stream_hop_s: float = Field(description="from one decision on a stream to the next, in s")
    threshold: float = Field(description="p_fake above which the verdict is spoof")
    release: float = Field(description="p_fake below which a stream's flag is taken back")
    prior: float = Field(description="probability of a fake before listening")
    loaded: datetime = Field(description="when it was loaded")


class CensusSaid(Answer):
    """How what was judged has been, counted in bins."""

    counts: dict[str, list[int]] = Field(description="recordings and streams by measure, one number a bin")
    edges: dict[str, list[float | None]] = Field(description="edges of the bins; null is infinity")
    shift: dict[str, float] | None = Field(
        description="population stability index to the training data; null where the detector knows nothing of these"
    )


class Health(Answer):
    """That the service answers."""

    status: Literal["ok", "ready"]


class DecisionSaid(Answer):
    """A message of a stream: what is said of its last window."""

    type: Literal["decision"]
    start_s: float
    end_s: float
    score: float
    p_fake: float = _Probability
    speech_s: float
    state: Literal["flag", "pass", "listening"]
    reason: str = Field(description="why the window changes nothing; empty if it may")
    changed: bool = Field(description="whether it changed the state")


class FinalSaid(Answer):
    """The last message of a stream: what is said of all of it."""

    type: Literal["final"]
    ended: Literal["end", "idle", "too_long", "stopping"] = Field(
        description="why it ended: asked for by 'end', or not"
    )
    state: Literal["flag", "pass", "listening"]
    score: float | None = Field(description="mean of its windows; null where nothing was heard")
    p_fake: float | None
    verdict: Literal["spoof", "bonafide", "undecided"]
    reason: str
    duration_s: float
    windows: int
    quality: QualitySaid | None


class StreamProblem(Problem):
    """The last message of a stream that cannot go on."""

    type: Literal["error"]
