"""What is wrong with a corpus, and what that makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

Purpose = Literal["training", "evaluation"]
PURPOSES: Final[tuple[Purpose, ...]] = get_args(Purpose)


class Concern(NamedTuple):
    """Something that a user of the corpus must know.

    Attributes:
        code: for tags.
        text: a clause for people, without a full stop.
        forbids: what the corpus is unfit for because of it; empty for a mere reservation.
    """

    code: str
    text: str
    forbids: tuple[Purpose, ...] = ()


class Verdict(NamedTuple):
    """Whether a corpus is fit for a purpose.

    Attributes:
        purpose: what it would be used for.
        reasons: what forbids that; empty if it is fit.
        reserved: whether there is something else to say about the corpus.
    """

    purpose: Purpose
    reasons: tuple[str, ...]
    reserved: bool

    @property
    def fit(self) -> bool:
        """Whether nothing forbids the use."""
        return not self.reasons

    @property
    def answer(self) -> str:
        """The verdict without its reasons."""
        answer = "no" if not self.fit else "yes, with reservations" if self.reserved else "yes"
        return f"Fit for {self.purpose}: {answer}."

    @property
    def text(self) -> str:
        """The verdict in a sentence or two."""
        return self.answer if self.fit else f"{self.answer} Because {'; '.join(self.reasons)}."


def judge(concerns: Sequence[Concern]) -> tuple[Verdict, ...]:
    """One verdict a purpose."""
    reserved = bool(reservations(concerns))
    return tuple(
        Verdict(purpose, tuple(concern.text for concern in concerns if purpose in concern.forbids), reserved)
        for purpose in PURPOSES
    )


def reservations(concerns: Sequence[Concern]) -> tuple[str, ...]:
    """What forbids nothing, but must be said."""
    return tuple(concern.text for concern in concerns if not concern.forbids)
