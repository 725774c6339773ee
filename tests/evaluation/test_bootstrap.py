import numpy as np
import pytest
from scipy.stats import norm

from deepfake_lab.evaluation.bootstrap import chance_eer_interval, clustered_interval
from deepfake_lab.metrics import functional
from deepfake_lab.metrics.ranking import MISS_WEIGHT
from deepfake_lab.types import LabError

STATISTICS = ("eer", "min_dcf", "act_dcf", "cllr", "roc_auc")


def sentences(rng, count, copies=2, between=0.0):
    """Real recordings and spoofed copies of each; `between` is the share of variance that copies have in common."""
    labels = np.tile([0, *[1] * copies], count)
    groups = np.repeat(np.arange(count), copies + 1)
    shared = np.repeat(rng.normal(size=(count, 2)), copies + 1, axis=0)[np.arange(len(labels)), labels]
    noise = rng.normal(size=len(labels))
    return 1 - 2 * labels + np.sqrt(between) * shared + np.sqrt(1 - between) * noise, labels, groups


def cost_at(threshold, real, fake):
    return MISS_WEIGHT * np.mean(real < threshold) + np.mean(fake >= threshold)


@pytest.mark.parametrize("name", STATISTICS)
def test_equals_naive_resampling_of_groups(name):
    rng = np.random.default_rng(0)
    scores, labels, groups = sentences(rng, 40)
    scores = np.round(scores, 1)  # with ties
    best = min(np.unique(scores), key=lambda at: cost_at(at, scores[labels == 0], scores[labels == 1]))
    members = [np.flatnonzero(groups == group) for group in range(40)]
    values, sober = [], []
    for _ in range(1500):
        drawn = np.concatenate([members[group] for group in rng.integers(40, size=40)])
        classes = scores[drawn][labels[drawn] == 0], scores[drawn][labels[drawn] == 1]
        values.append(getattr(functional, name)(*classes))
        sober.append(2 * cost_at(best, *classes) - values[-1])
    naive = np.quantile(values, 0.025), np.quantile(sober if name == "min_dcf" else values, 0.975)
    interval = clustered_interval(scores, labels, groups, name, replicates=1500, seed=1)
    assert interval == pytest.approx(naive, abs=0.15 * (naive[1] - naive[0]))


def test_interval_covers_the_truth_where_groups_are_respected():
    rng = np.random.default_rng(0)
    truth = norm.cdf(-1)
    covered = {"clustered": 0, "single": 0}
    runs = 150
    for _ in range(runs):
        scores, labels, groups = sentences(rng, 50, copies=8, between=0.7)
        for name, names in (("clustered", groups), ("single", np.arange(len(scores)))):
            low, high = clustered_interval(scores, labels, names, replicates=200)
            covered[name] += low <= truth <= high
    assert covered["clustered"] / runs > 0.88
    assert covered["single"] / runs < covered["clustered"] / runs - 0.03


def test_same_seed_same_interval():
    data = sentences(np.random.default_rng(0), 60)
    first = clustered_interval(*data, replicates=200, seed=3)
    assert clustered_interval(*data, replicates=200, seed=3) == first
    assert clustered_interval(*data, replicates=200, seed=4) != first
    low, high = clustered_interval(*data, replicates=200, seed=3, level=0.5)
    assert first.low <= low <= high <= first.high
    assert first.high - first.low > high - low


def test_neither_order_nor_names_matter():
    scores, labels, groups = sentences(np.random.default_rng(0), 60)
    order = np.random.default_rng(1).permutation(len(scores))
    names = np.array([f"sentence {group:03d}" for group in groups])
    expected = clustered_interval(scores, labels, groups, replicates=200)
    assert clustered_interval(scores[order], labels[order], names[order], replicates=200) == expected


def test_large_tables_are_resampled_in_blocks(monkeypatch):
    data = sentences(np.random.default_rng(0), 30)
    whole = clustered_interval(*data, replicates=100)
    monkeypatch.setattr("deepfake_lab.evaluation.bootstrap.BLOCK", 700)
    assert clustered_interval(*data, replicates=100) == pytest.approx(whole, abs=0.05)
    assert chance_eer_interval(40, 50, replicates=100) == pytest.approx((0.4, 0.6), abs=0.06)


def test_replicates_without_a_class_are_left_out():
    scores, labels = np.array([1.0, 2.0, -1.0, -2.0]), np.array([0, 0, 1, 1])
    assert clustered_interval(scores, labels, np.arange(4)) == (0, 0)
    assert np.isnan(clustered_interval(scores, np.zeros(4), np.arange(4))).all()


def test_lengths_must_agree():
    with pytest.raises(LabError, match="3 scores, 3 labels and 2 groups"):
        clustered_interval(np.zeros(3), np.zeros(3), np.zeros(2))


def test_chance_interval_equals_naive_permutation():
    rng = np.random.default_rng(5)
    values = []
    for _ in range(1000):
        ranks = rng.permutation(150).astype(float)
        values.append(functional.eer(ranks[:100], ranks[100:]))
    naive = np.quantile(values, [0.025, 0.975])
    assert chance_eer_interval(100, 50) == pytest.approx(tuple(naive), abs=0.012)
    assert chance_eer_interval(100, 50) == chance_eer_interval(100, 50)
    assert np.isnan(chance_eer_interval(0, 5, replicates=3)).all()
