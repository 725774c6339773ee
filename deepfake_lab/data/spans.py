"""What of a partial spoof is fake, as text in a manifest: ``0.52-1.31 2.04-2.5``, in seconds from its beginning."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from deepfake_lab.types import Span

SPANS_FORM: Final = "stretches in seconds such as '0.52-1.31 2.04-2.5', in order and within the utterance"
_SPAN = re.compile(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)")
_SLACK_S = 1e-3  # by which rounding may go beyond the end


def spans_text(spans: Iterable[Span], shift_s: float = 0.0) -> str:
    """Writes stretches for a manifest.

    Args:
        spans: what is fake, in order.
        shift_s: how much later it is in the utterance.
    """
    return " ".join(f"{span.start_s + shift_s:.4f}-{span.end_s + shift_s:.4f}" for span in spans)


def spans_of(text: str) -> list[Span]:
    """Reads what `spans_text` has written, or somebody else in its form."""
    return [Span(float(start), float(end)) for start, end in _SPAN.findall(text)]


def are_spans(text: str, duration_s: float) -> bool:
    """Whether a text says which stretches of an utterance are fake, in order and apart."""
    if not all(map(_SPAN.fullmatch, text.split(" "))):
        return False
    spans = spans_of(text)
    apart = all(before.end_s <= after.start_s for before, after in pairwise(spans))
    return apart and all(start < end for start, end in spans) and spans[-1].end_s <= duration_s + _SLACK_S
