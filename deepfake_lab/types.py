"""The words of the field as types: what a label, a score, a batch and a detector's output are.

Everything else in the package agrees with this module:

* a **label** is 0 for bona fide (real) and 1 for spoof (fake);
* a **score** is one real number a trial, *higher = more bona fide*, meant as a log-likelihood ratio
  ``ln p(audio | bona fide) - ln p(audio | spoof)``: never a probability.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from torch import Tensor

BONAFIDE: Final = 0
SPOOF: Final = 1
LABEL_NAMES: Final = ("bonafide", "spoof")
"""Name of each label, by its number."""

Split = Literal["train", "dev", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

Domain = Literal["corpus", "codec", "language", "speaker", "gender"]
"""Columns of a manifest that say under which conditions an utterance was made, and nothing of its class."""

SAMPLE_RATE: Final = 16_000
"""The one rate at which waveforms travel through the lab, in Hz."""


class LabError(Exception):
    """Something a user can mend: the message names the object, the offending value and what to do next.

    Entry points print it without a traceback and exit with status 2.
    """


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those that led to it, the latest first."""
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


class Span(NamedTuple):
    """A stretch of an utterance, in seconds from its beginning."""

    start_s: float
    end_s: float


class Batch(NamedTuple):
    """A rectangle of utterances on its way to a detector.

    Attributes:
        wave: waveforms ``(B, T)``, float32, mono, 16 kHz, nominally within [-1, 1].
        label: labels ``(B,)``, int64, 0 = bona fide, 1 = spoof.
        row: row of each utterance in its split's manifest ``(B,)``, int64; it identifies the trial.
        key: names of the utterances, for messages to people.
        features: of the utterances ``(B, C, F, L)``, float16, where a cache gives them in place of `wave` ``(B, 0)``.
    """

    wave: Tensor
    label: Tensor
    row: Tensor
    key: tuple[str, ...]
    features: Tensor | None = None


class Output(NamedTuple):
    """What a detector says of a batch.

    Attributes:
        score: scores ``(B,)``, float32, higher = more bona fide; calibrated where the detector is.
        raw_score: the same before calibration ``(B,)``; what losses train.
        embedding: utterance embeddings ``(B, E)``.
        projection: what the head makes of embeddings beside the score, for losses of directions ``(B, P)``: cosines
            to class vectors, or a unit vector; P is 0 where the head is linear.
        frame_scores: scores over time ``(B, S)``, on the scale of `score`; S is 0 unless they were asked for.
    """

    score: Tensor
    raw_score: Tensor
    embedding: Tensor
    projection: Tensor
    frame_scores: Tensor
