import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.metrics import functional
from deepfake_lab.metrics.ranking import BAYES_THRESHOLD, MISS_WEIGHT, RankedTrials

weighted_scores = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=12)
STATISTICS = ("eer", "min_dcf", "act_dcf", "cllr", "roc_auc")


def test_official_costs():
    assert pytest.approx(1.9, abs=1e-15) == MISS_WEIGHT
    assert pytest.approx(-0.6418538861723947, abs=1e-15) == BAYES_THRESHOLD


@given(weighted_scores, weighted_scores)
def test_a_weight_is_that_many_trials(real, fake):
    scores, weights = zip(
        *((np.array(column, float) for column in zip(*rows, strict=True)) for rows in (real, fake)), strict=True
    )
    repeated = [np.repeat(score, weight.astype(int)) for score, weight in zip(scores, weights, strict=True)]
    trials = RankedTrials.of(*scores)
    ones = np.ones(len(trials.score))
    rows = trials.weighted(np.stack([np.concatenate(weights)[trials.order], ones]))
    for name in STATISTICS:
        once = getattr(functional, name)(*scores)
        often = getattr(functional, name)(*repeated)
        np.testing.assert_allclose(getattr(rows, name)(), [often, once], atol=1e-12, err_msg=name)
    decisions = functional.detection_metrics(*repeated, threshold=0.5)
    np.testing.assert_allclose(rows.accuracy(0.5)[0], decisions["accuracy"], atol=1e-12)
    np.testing.assert_array_equal(
        [count[0] for count in rows.confusion(0.5)], [decisions[f"cm/{c}"] for c in ("tp", "fp", "tn", "fn")]
    )
