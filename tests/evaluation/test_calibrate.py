import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from deepfake_lab.evaluation.calibrate import (
    EFFECTIVE_SPOOF_PRIOR,
    LEAST_CLAIM,
    bayes_threshold,
    calibrated,
    expected_calibration_error,
    fit_affine,
    fit_logistic,
    reliability,
    spoof_probability,
    threshold_for_false_alarms,
    threshold_for_misses,
)
from deepfake_lab.metrics.functional import act_dcf, cllr, eer, min_dcf, roc_auc
from deepfake_lab.metrics.ranking import BAYES_THRESHOLD
from deepfake_lab.types import LabError

SCORE = st.integers(-60, 60).map(lambda number: number / 4)
SCORES = st.lists(SCORE, min_size=1, max_size=30).map(np.array)
PRIOR = st.sampled_from([0.05, EFFECTIVE_SPOOF_PRIOR, 0.5, 0.9])


PATIENT = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 10_000, "maxfev": 10_000}


def cost(affine, real, fake, prior):
    """What is minimised, term by term: prior-weighted cross-entropy less the logarithm of Jeffreys's prior."""
    scale, offset = affine
    trials = 1 / ((1 - prior) ** 2 / len(real) + prior**2 / len(fake))
    odds = math.log((1 - prior) / prior)
    entropy = (1 - prior) * np.logaddexp(0, -(scale * real + offset + odds)).mean()
    entropy += prior * np.logaddexp(0, scale * fake + offset + odds).mean()
    information = np.zeros((2, 2))
    for scores in (real, fake):
        for score in scores:
            slope = 0.25 / np.cosh((scale * score + offset) / 2) ** 2
            information += slope * np.array([[score**2, score], [score, 1]]) / len(scores)
    return trials * entropy - 0.5 * math.log(max(np.linalg.det(information), 1e-300))


def gaussian(real=4_000, fake=9_000, distance=2.0, seed=0):
    """Scores of both classes that are log-likelihood ratios: normal, with variance twice their mean."""
    rng = np.random.default_rng(seed)
    spread = math.sqrt(2 * distance)
    return rng.normal(distance, spread, real), rng.normal(-distance, spread, fake)


class TestFit:
    def test_true_ratios_are_found_again_behind_any_distortion(self):
        real, fake = gaussian(100_000, 100_000)
        scale, offset = fit_affine(7.5 * real - 3, 7.5 * fake - 3)
        assert 7.5 * scale == pytest.approx(1, abs=0.01)
        assert offset - 3 * scale == pytest.approx(0, abs=0.02)

    @pytest.mark.parametrize("prior", [0.05, EFFECTIVE_SPOOF_PRIOR, 0.5])
    @pytest.mark.parametrize("distance", [1.0, 9.0])
    def test_agrees_with_a_search_that_knows_the_cost_alone(self, prior, distance):
        rng = np.random.default_rng(1)
        real, fake = rng.standard_t(3, 20) + distance, rng.standard_t(3, 60) - distance
        found = minimize(cost, [1.0, 0.0], args=(real, fake, prior), method="Nelder-Mead", options=PATIENT)
        assert fit_affine(real, fake, prior) == pytest.approx(found.x, rel=1e-4, abs=1e-4)

    @pytest.mark.parametrize("prior", [0.05, EFFECTIVE_SPOOF_PRIOR, 0.5])
    def test_agrees_with_scikit_learn_where_trials_are_many(self, prior):
        real, fake = gaussian(distance=1.0)
        solver = LogisticRegression(C=np.inf, tol=1e-10, class_weight={1: (1 - prior) / 4_000, 0: prior / 9_000})
        solver.fit(np.concatenate([real, fake])[:, None], np.repeat([1, 0], [4_000, 9_000]))
        scale, offset = fit_affine(real, fake, prior)
        assert scale == pytest.approx(solver.coef_.item(), rel=0.005)
        assert offset == pytest.approx(solver.intercept_.item() - math.log((1 - prior) / prior), abs=0.005)

    def test_calibrating_the_calibrated_changes_nothing(self):
        real, fake = gaussian(300, 500, seed=2)
        first = fit_affine(real**3, fake**3)
        scale, offset = fit_affine(first(real**3), first(fake**3))
        assert scale == pytest.approx(1, abs=1e-9)
        assert offset == pytest.approx(0, abs=1e-9)

    @settings(deadline=None)
    @given(real=SCORES, fake=SCORES, prior=PRIOR)
    def test_order_of_trials_stays(self, real, fake, prior):
        fitted = fit_affine(real, fake, prior)
        assert fitted.scale > 0
        assert math.isfinite(fitted.offset)
        for metric in (eer, min_dcf, roc_auc):
            assert metric(fitted(real), fitted(fake)) == metric(real, fake)

    @settings(deadline=None)
    @given(real=SCORES, fake=SCORES, prior=PRIOR, scale=st.floats(0.1, 5), offset=st.floats(-5, 5))
    def test_no_other_map_costs_less_nor_do_the_raw_scores(self, real, fake, prior, scale, offset):
        if np.ptp([*real, *fake]) > 0:
            least = cost(fit_affine(real, fake, prior), real, fake, prior)
            assert least <= min(cost((1.0, 0.0), real, fake, prior), cost((scale, offset), real, fake, prior)) + 1e-9

    @pytest.mark.parametrize("distance", [0.3, 1.0, 4.0])
    @pytest.mark.parametrize(("unit", "zero"), [(1.0, 0.0), (0.2, 1.0), (6.0, -3.0)])
    def test_cllr_of_the_trials_fitted_on_does_not_rise(self, distance, unit, zero):
        real, fake = (unit * part + zero for part in gaussian(200, 300, distance))
        fitted = fit_affine(real, fake, 0.5)
        assert cllr(fitted(real), fitted(fake)) <= cllr(real, fake) + 1e-3

    @settings(deadline=None)
    @given(real=SCORES, fake=SCORES, unit=st.sampled_from([0.1, 40.0, 1e6]), zero=SCORE)
    def test_unit_and_zero_of_the_scores_do_not_matter(self, real, fake, unit, zero):
        plain, moved = fit_affine(real, fake), fit_affine(unit * real + zero, unit * fake + zero)
        np.testing.assert_allclose(moved(unit * real + zero), plain(real), atol=1e-6, rtol=1e-6)

    def test_calibration_lowers_the_cost_of_decisions_on_new_trials(self):
        dev, test = ([part / 5 - 1 for part in gaussian(seed=seed)] for seed in (3, 4))
        fitted = fit_affine(*dev)
        raw, calibrated = act_dcf(*test), act_dcf(*map(fitted, test))
        assert raw > 2 * calibrated
        assert calibrated == pytest.approx(min_dcf(*test), abs=0.02)

    def test_takes_tensors(self):
        real, fake = gaussian(50, 60)
        assert fit_affine(torch.from_numpy(real), torch.from_numpy(fake)) == fit_affine(real, fake)


def test_a_table_is_calibrated_on_its_dev_rows_alone(make_table):
    table = make_table(sentences=60)
    found = calibrated(table)
    dev = table[table["split"] == "dev"]
    fitted = fit_affine(*(dev.loc[dev["label"] == label, "score"].to_numpy() for label in (0, 1)))
    np.testing.assert_allclose(found["score"], fitted.scale * table["score"] + fitted.offset)
    assert found["raw_score"].equals(table["score"].rename("raw_score"))
    assert found.drop(columns=["score", "raw_score"]).equals(table.drop(columns=["score", "raw_score"]))


class TestFewOrStrangeTrials:
    @pytest.mark.parametrize("trials", [1, 10, 500])
    def test_parted_classes_claim_as_if_each_held_half_a_trial_of_the_other(self, trials):
        fitted = fit_affine(np.full(trials, 900.0), np.full(trials, 100.0), 0.5)
        assert fitted(900.0) == pytest.approx(math.log((trials + 0.5) / 0.5))
        assert fitted(100.0) == pytest.approx(-math.log((trials + 0.5) / 0.5))

    @pytest.mark.parametrize("prior", [0.05, 0.5])
    @pytest.mark.parametrize(("real", "fake"), [(1, 1), (1, 30), (500, 10_000)])
    def test_a_rare_class_does_not_pass_for_many_and_no_prior_turns_a_claim(self, real, fake, prior):
        fitted = fit_affine(np.full(real, 900.0), np.full(fake, 100.0), prior)
        assert 0 < fitted(900.0) < math.log(4 * max(min(real, fake) / prior, 1))
        assert -math.log(4 * max(min(real, fake) / (1 - prior), 1) / prior) < fitted(100.0) < 0

    @settings(deadline=None)
    @given(
        real=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8).map(np.array),
        fake=st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8).map(np.array),
    )
    def test_always_finite_and_increasing(self, real, fake):
        scale, offset = fit_affine(real, fake)
        assert scale > 0
        assert math.isfinite(scale)
        assert math.isfinite(offset)

    @pytest.mark.parametrize("prior", [0.05, 0.5])
    def test_scores_that_mislead_are_taught_to_say_nothing(self, prior):
        real, fake = gaussian(80, 200)
        fitted = fit_affine(100 * fake + 7, 100 * real + 7, prior)
        claims = fitted(100 * np.concatenate([real, fake]) + 7)
        assert 0 < np.abs(claims).max() <= LEAST_CLAIM
        assert np.abs(spoof_probability(claims) - 0.5).max() < 0.003
        assert eer(fitted(100 * fake + 7), fitted(100 * real + 7)) == eer(fake, real) > 0.8

    def test_scores_that_are_all_the_same_say_nothing(self):
        fitted = fit_affine(np.full(5, 1.5), np.full(9, 1.5))
        assert fitted(1.5) == pytest.approx(0, abs=1e-9)
        assert 0 < fitted.scale <= 1

    @pytest.mark.parametrize(
        ("real", "fake", "prior", "complaint"),
        [
            ([], [1.0], 0.5, "no bona fide trials"),
            ([1.0], [], 0.5, "no spoof trials"),
            ([1.0, math.nan], [1.0], 0.5, "1 of 2 bona fide scores are NaN"),
            ([1.0], [math.inf], 0.5, "1 of 1 spoof scores are infinite"),
            ([1.0], [0.0], 1.0, r"spoof_prior=1\.0: a probability"),
        ],
    )
    def test_what_cannot_be_fitted_is_refused(self, real, fake, prior, complaint):
        with pytest.raises(LabError, match=complaint):
            fit_affine(np.array(real), np.array(fake), prior)

    def test_features_that_repeat_each_other_share_the_weight(self):
        real, fake = gaussian(60, 60)
        *weights, offset = fit_logistic(np.stack([real] * 3, axis=1), np.stack([fake] * 3, axis=1), 0.5)
        scale, alone = fit_affine(real, fake, 0.5)
        assert weights == pytest.approx([scale / 3] * 3)
        assert offset == pytest.approx(alone)


class TestThresholds:
    def test_default_is_that_of_asvspoof_5(self):
        assert bayes_threshold() == pytest.approx(BAYES_THRESHOLD) == pytest.approx(-math.log(1.9))
        assert bayes_threshold(EFFECTIVE_SPOOF_PRIOR, 1, 1) == pytest.approx(bayes_threshold())

    @settings(deadline=None)
    @given(prior=st.floats(0.01, 0.99), miss=st.floats(0.1, 50), alarm=st.floats(0.1, 50), score=st.floats(-20, 20))
    def test_parts_where_accepting_begins_to_cost_less(self, prior, miss, alarm, score):
        p_fake = spoof_probability(np.array([score]), prior).item()
        accepting, rejecting = alarm * p_fake, miss * (1 - p_fake)
        if not math.isclose(accepting, rejecting, rel_tol=1e-9):
            assert (score >= bayes_threshold(prior, miss, alarm)) == (accepting < rejecting)

    @settings(deadline=None)
    @given(real=SCORES, fake=SCORES, rate=st.floats(0, 0.99))
    def test_false_alarms_stay_within_the_rate_at_the_fewest_misses(self, real, fake, rate):
        threshold = threshold_for_false_alarms(real, fake, rate)
        assert threshold not in {*real, *fake}
        assert np.mean(fake >= threshold) <= rate + 1e-9
        for lower in {*real, *fake}:
            if np.mean(real < lower) < np.mean(real < threshold):
                assert np.mean(fake >= lower) > rate

    @settings(deadline=None)
    @given(real=SCORES, fake=SCORES, rate=st.floats(0, 0.99))
    def test_misses_stay_within_the_rate_at_the_fewest_false_alarms(self, real, fake, rate):
        threshold = threshold_for_misses(real, fake, rate)
        assert threshold not in {*real, *fake}
        assert np.mean(real < threshold) <= rate + 1e-9
        for higher in {*real, *fake}:
            if np.mean(fake >= higher) < np.mean(fake >= threshold):
                assert np.mean(real < higher) > rate

    def test_rates_that_are_whole_numbers_of_trials_are_used_up(self):
        real, fake = np.arange(1000) / 10.0, np.arange(1000) / 10.0 - 50.03
        assert np.sum(fake >= threshold_for_false_alarms(real, fake, 0.003)) == 3
        assert 0.29 * 100 < 29  # in floating point
        assert np.sum(real[:100] < threshold_for_misses(real[:100], fake, 0.29)) == 29

    def test_nonsense_is_refused(self):
        one = np.ones(3)
        with pytest.raises(LabError, match=r"rate=1\.0"):
            threshold_for_misses(one, one, 1.0)
        with pytest.raises(LabError, match="no spoof trials"):
            threshold_for_false_alarms(one, one[:0], 0.1)
        with pytest.raises(LabError, match="cost_miss=0"):
            bayes_threshold(0.5, 0, 1)
        with pytest.raises(LabError, match="spoof_prior=0"):
            bayes_threshold(0)


class TestReliability:
    @pytest.fixture
    def trials(self):
        real, fake = gaussian(6_000, 2_000, distance=1.0, seed=5)
        return np.concatenate([real, fake]), np.repeat([0, 1], [6_000, 2_000])

    @pytest.mark.parametrize("prior", [0.05, 0.5, 0.8])
    def test_true_ratios_are_reliable_at_every_prior(self, trials, prior):
        table = reliability(*trials, prior=prior, bins=10)
        filled = table[table["bonafide"] + table["spoof"] > 20]
        inside = filled["predicted"].between(filled["observed_low"], filled["observed_high"])
        assert inside.sum() >= len(filled) - 1
        assert table["predicted"].dropna().between(table["low"].min(), 1).all()
        assert expected_calibration_error(table) < 0.02
        assert table["weight"].sum() == pytest.approx(1)
        assert (table["weight"] * table["observed"]).sum() == pytest.approx(prior)

    def test_boldness_shows(self, trials):
        scores, labels = trials
        table = reliability(5 * scores, labels)
        assert expected_calibration_error(table) > 0.1
        assert table["observed_high"].iloc[-1] < table["predicted"].iloc[-1]

    def test_counts_and_intervals_at_the_share_of_the_set_are_those_of_wilson(self, trials):
        scores, labels = trials
        table = reliability(scores, labels, prior=0.25, bins=7)
        p_fake = 1 / (1 + np.exp(scores + math.log(3)))
        for row in table.itertuples():
            here = (p_fake >= row.low) & (p_fake < row.high)
            assert (row.bonafide, row.spoof) == ((here & (labels == 0)).sum(), (here & (labels == 1)).sum())
            interval = binomtest(row.spoof, row.bonafide + row.spoof).proportion_ci(0.95, "wilson")
            found = (row.observed, row.observed_low, row.observed_high)
            assert found == pytest.approx((labels[here].mean(), interval.low, interval.high), abs=1e-9)
            assert row.predicted == pytest.approx(p_fake[here].mean())

    def test_prior_weighs_classes_as_copies_of_trials_do(self, trials):
        scores, labels = trials
        copies = np.where(labels == 1, 3, 1)
        often = reliability(np.repeat(scores, copies), np.repeat(labels, copies), prior=0.5)
        once = reliability(scores, labels, prior=0.5)
        for column in ("weight", "predicted", "observed"):
            np.testing.assert_allclose(once[column], often[column])

    def test_certainty_belongs_to_the_outermost_bins_and_empty_bins_say_nothing(self):
        table = reliability(np.array([-800.0, 800.0]), np.array([1, 0]), bins=4)
        assert table["spoof"].tolist() == [0, 0, 0, 1]
        assert table["bonafide"].tolist() == [1, 0, 0, 0]
        assert table["observed"].isna().tolist() == [False, True, True, False]
        assert expected_calibration_error(table) == 0

    @pytest.mark.parametrize(
        ("labels", "bins", "complaint"),
        [([0, 0], 10, "no spoof"), ([1, 1], 10, "no bona fide"), ([0], 10, "2 scores and 1"), ([0, 1], 0, "bins=0")],
    )
    def test_nonsense_is_refused(self, labels, bins, complaint):
        with pytest.raises(LabError, match=complaint):
            reliability(np.array([0.0, 1.0]), np.array(labels), bins=bins)
