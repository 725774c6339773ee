import math

import pytest

from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.sanity import learned_nothing


def test_a_run_that_learns_is_fine():
    assert learned_nothing(Interval(0.1, 0.2), [0.7, 0.4], 0.69) == []
    assert learned_nothing(Interval(0.1, 0.2), [], 0.69) == []


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(0.45, 0.55), "45.0 to 55.0 %, contains 50 %"),
        (Interval(0.3, 0.5), "contains 50 %"),
        (Interval(0.6, 0.7), "is not below 50 %"),
        (Interval(math.nan, math.nan), "is not below 50 %"),
    ],
)
def test_an_eer_no_better_than_chance(interval, words):
    (reason,) = learned_nothing(interval, [0.1], 0.69)
    assert words in reason


@pytest.mark.parametrize("losses", [[0.7, 0.68, 0.69], [0.98], [math.nan, math.nan], [math.nan, 0.99]])
def test_a_loss_that_never_falls(losses):
    (reason,) = learned_nothing(Interval(0.1, 0.2), [loss * (0.69 if loss > 0.9 else 1) for loss in losses], 0.69)
    assert "never fell below 98%" in reason


def test_the_best_epoch_counts():
    assert learned_nothing(Interval(0.1, 0.2), [0.69, 0.6, 0.7, math.nan], 0.69) == []


def test_both_reasons_together():
    assert len(learned_nothing(Interval(0.4, 0.6), [0.69], 0.69)) == 2
