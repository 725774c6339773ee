import numpy as np
import pytest

from deepfake_lab.evaluation.plots.explanation import explanation
from deepfake_lab.serving.explain import Explanation
from deepfake_lab.serving.judge import Judgement, Moment
from deepfake_lab.serving.quality import Quality
from deepfake_lab.types import Span

FAKE, REAL = (20, 100), (40, 30)
"""Bins and frames of what speaks for either."""


def found(**changes):
    attribution = np.zeros((64, 150))
    attribution[FAKE], attribution[REAL] = -3.0, 1.0
    wave = np.random.default_rng(0).normal(0, 0.1, 48_000).astype(np.float32)
    usual = {
        "times": 1 + 0.02 * np.arange(150),
        "frequencies": np.geomspace(50, 7_900, 64),
        "attribution": attribution,
        "attention": np.full(150, 1 / 150),
        "method": "integrated gradients of Mel features",
        "score": -1.5,
        "baseline": 0.6,
        "windows": 3,
        "wave": wave,
    }
    return Explanation(**usual | changes)


def judged(windows=3, reason=""):
    moments = tuple(Moment(0.5 * step, 0.5 * step + 0.5, step - 4.0, 0.9) for step in range(20))
    quality = Quality(10.0, -20.0, 8_000.0, 0.0, 5.0)
    verdict = "undecided" if reason else "spoof"
    return Judgement(-1.4, 0.8, (0.7, 0.9), verdict, reason, windows, quality, moments, (Span(1.5, 2.5),))


def panels(figure):
    """Panels by what their heights say."""
    return {axes.get_ylabel().partition(" (")[0]: axes for axes in figure.axes if axes.get_ylabel()}


def test_parts_are_drawn_where_they_are(draw):
    figure = explanation(found(), judged(), "a.wav")
    shown = panels(figure)
    level, parts = shown["frequency"].images
    assert np.unravel_index(parts.get_array().argmin(), (64, 150)) == FAKE
    assert np.unravel_index(parts.get_array().argmax(), (64, 150)) == REAL
    assert level.get_extent() == parts.get_extent() == pytest.approx((0.99, 3.99, -0.5, 63.5))
    rows = ("waveform", "frequency", "score by 0.1 s", "score over time")
    assert {shown[row].get_xlim() for row in rows} == {(1.0, 4.0)}
    axes = shown["frequency"]
    names = [int(label.get_text()) for label in axes.get_yticklabels()]
    heights = dict(zip(names, axes.get_yticks(), strict=True))
    assert heights[1_000] == pytest.approx(np.log(20) / np.log(158) * 63, abs=0.1)
    draw(figure)


def test_the_caption_tells_what_is_explained_and_what_it_does_not_mean(words):
    whole, first = (" ".join(" ".join(words(explanation(found(), judged(count), "a.wav"))).split()) for count in (3, 9))
    for text in ("from +0.60", "to -1.50", "Mel features", "wrong by -0.10", "not what is fake", "p_fake 0.800, spoof"):
        assert text in whole
    assert "in all windows (3.0 s)" in whole
    assert "the first 3 of 9 windows (3.0 s)" in first


def test_doubt_is_told(words):
    assert "p_fake 0.800, undecided: no speech (0.0 s found)" in "".join(
        words(explanation(found(), judged(reason="no speech (0.0 s found)"), "a.wav"))
    )


def test_sums_over_time_are_those_of_the_parts():
    shown = panels(explanation(found(), judged(), "a.wav"))
    bars = {round(bar.get_x(), 6): bar.get_height() for bar in shown["score by 0.1 s"].patches}
    assert len(bars) == 30
    assert {begin: height for begin, height in bars.items() if height} == {1.6: 1.0, 3.0: -3.0}
    (shares,) = shown["attention"].lines
    np.testing.assert_allclose(shares.get_ydata(), 100 / 3)
    assert "attention" not in panels(explanation(found(attention=None), judged(), "a.wav"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("$a_1$ & ü.wav", "$a_1$ & ü.wav"),
        ("録音.wav", "\ufffd\ufffd.wav"),  # the font has no such letters
        ("M\udcfcller.wav", "M\ufffdller.wav"),
        ("long " * 99 + ".wav", "..." + ("long " * 99 + ".wav")[-90:]),
    ],
)
def test_any_name_is_written(name, written, words, draw):
    figure = explanation(found(), judged(), name)
    assert f"{written}\np_fake 0.800, spoof" in words(figure)
    draw(figure)
