import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.data.spans import are_spans, spans_of, spans_text
from deepfake_lab.types import Span


@given(st.lists(st.integers(0, 500_000), min_size=2, max_size=8, unique=True), st.floats(0, 9))
def test_what_was_written_is_read_again(places, shift_s):
    places = sorted(places)[: len(places) // 2 * 2]
    spans = [Span(start / 1e4, end / 1e4) for start, end in zip(places[::2], places[1::2], strict=True)]
    text = spans_text(spans, shift_s)
    assert are_spans(text, 50.0 + shift_s)
    for found, span in zip(spans_of(text), spans, strict=True):
        assert found == pytest.approx([span.start_s + shift_s, span.end_s + shift_s], abs=6e-5)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("0-1", True),
        ("0.5-1.25 1.25-2.0", True),  # they may touch
        ("0.5-1.25 1.2-2.0", False),
        ("1.0-2.0 0.2-0.4", False),
        ("1-1", False),
        ("0.5-2.1", False),  # the utterance has 2 s
        ("", False),
        ("-", False),
        ("0.5", False),
        ("0.5-1.0,1.2-1.4", False),
        ("-0.5-1.0", False),
        ("0.5-1.0 ", False),
    ],
)
def test_form(text, right):
    assert are_spans(text, 2.0) == right
