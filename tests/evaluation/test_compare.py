import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from deepfake_lab.evaluation.bootstrap import touches_zero
from deepfake_lab.evaluation.compare import compare, in_words, pooled_estimate
from deepfake_lab.metrics import functional
from deepfake_lab.types import LabError


@pytest.fixture
def system(make_table):
    """Makes a score table of test: a detector of so much skill, trained with so many a seed."""

    def make(scale, seed=0, sentences=60):
        return make_table({"test": ("world", "piper")}, sentences=sentences, scale=scale, seed=seed)

    return make


def eer(table):
    scores = table["score"].to_numpy()
    return functional.eer(scores[table["label"] == 0], scores[table["label"] == 1])


def test_a_better_detector_is_shown_to_be_better(system):
    bad, good = system(0.3, seed=1), system(1.5, seed=2)
    found, *_ = compare([bad], [good], replicates=300)
    assert found.measure == "eer"
    assert found.first.value == eer(bad)
    assert found.difference.value == pytest.approx(eer(good) - eer(bad))
    assert found.difference.interval.high < 0
    assert found.p_value < 0.01
    assert found.better == "second"
    assert in_words(found, "old", "new", "EER").startswith("EER: new is better: new - old = -")
    assert compare([good], [bad], replicates=300)[0].better == "first"


def test_a_higher_area_is_better(system):
    found = {one.measure: one for one in compare([system(0.3, seed=1)], [system(1.5, seed=2)], replicates=200)}
    assert found["roc_auc"].difference.value > 0
    assert found["roc_auc"].better == "second"


def test_equals_are_not_told_apart(system):
    found, *_ = compare([system(0.7, seed=1)], [system(0.7, seed=2)], replicates=300)
    assert found.better == ""
    assert found.difference.interval.low < 0 < found.difference.interval.high
    assert "no difference shown" in in_words(found, "one", "two", "EER")


def test_a_detector_does_not_differ_from_itself(system):
    table = system(0.7)
    for one in compare([table], [table.sample(frac=1, random_state=1)], replicates=100):
        assert one.difference == (0, (0, 0))
        assert one.p_value == pytest.approx(1)


def test_pairing_shows_what_separate_intervals_do_not(system):
    table = system(0.7)
    rng = np.random.default_rng(0)
    better = table.assign(score=table["score"] - 0.15 * (2 * table["label"] - 1) + 0.01 * rng.normal(size=len(table)))
    found = {one.measure: one for one in compare([table], [better], replicates=400)}["cllr"]
    assert found.better == "second"
    assert found.first.interval.low < found.second.interval.high  # apart they overlap


def test_seeds_widen_the_interval(system):
    alike = [system(0.7, seed=1)] * 3
    apart = [system(scale, seed=1) for scale in (0.4, 0.7, 1.0)]
    narrow, wide = (pooled_estimate(seeds, replicates=200) for seeds in (alike, apart))
    assert narrow.value == eer(alike[0])
    assert wide.value == pytest.approx(np.mean([eer(table) for table in apart]))
    lengths = [high - low for _, (low, high) in (narrow, wide)]
    between = np.std([eer(table) for table in apart], ddof=1) / np.sqrt(3)
    assert lengths[1] > lengths[0]
    assert lengths[1] >= 2 * 1.96 * between


def test_p_values_of_no_difference_are_uniform(system):
    """Two detectors of the same skill on 80 evaluations: a rank test sees nothing odd."""
    p_values = [
        compare([system(0.7, 2 * n, 30)], [system(0.7, 2 * n + 1, 30)], replicates=150)[0].p_value for n in range(80)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert np.mean(np.array(p_values) < 0.05) < 0.15


@given(st.floats(-0.2, 0.2))
def test_p_value_and_interval_agree(shift):
    from deepfake_lab.evaluation.bootstrap import intervals_of

    values = np.random.default_rng(0).normal(shift, 0.1, 2001)
    values[0] = shift
    low, high = intervals_of(values, 40)
    p_value = touches_zero(values, 40)
    if abs(p_value - 0.05) > 0.003:
        assert (p_value < 0.05) == (low > 0 or high < 0)


def test_trials_must_be_the_same(system):
    table = system(0.7)
    with pytest.raises(LabError, match=r"score table 2: 1 trials of score table 1 are missing.*test-bonafide-0"):
        compare([table], [table.iloc[1:]])
    with pytest.raises(LabError, match=r"score table 2: 1 trials are not in score table 1"):
        compare([table.iloc[1:]], [table])
    with pytest.raises(LabError, match=r"score table 2: 1 trials are there more than once"):
        compare([table], [table.iloc[[0, *range(len(table))]]])
    with pytest.raises(LabError, match=r"180 trials have another label"):
        compare([table], [table.assign(label=1 - table["label"])])
