import pytest

from deepfake_lab.metrics.ranking import BAYES_THRESHOLD, MISS_WEIGHT


def test_official_costs():
    assert pytest.approx(1.9, abs=1e-15) == MISS_WEIGHT
    assert pytest.approx(-0.6418538861723947, abs=1e-15) == BAYES_THRESHOLD
