import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from deepfake_lab.evaluation.calibrate import fit_affine
from deepfake_lab.evaluation.fuse import fit_weights, fuse
from deepfake_lab.evaluation.scores import COLUMNS, by_class
from deepfake_lab.metrics.functional import act_dcf, cllr, eer, min_dcf
from deepfake_lab.types import LabError


def split(table, name):
    return table[table["split"] == name]


@pytest.fixture
def tables(make_table):
    """Scores of two detectors that err independently, and of a third that repeats the second."""
    one, two = (make_table(sentences=150, spread=2.0, seed=seed) for seed in (1, 2))
    return {"one": one, "two": two, "again": two.assign(score=2 * two["score"] + 1)}


@pytest.fixture
def pair(tables):
    return {name: tables[name] for name in ("one", "two")}


@pytest.mark.parametrize("fusion", ["mean", "logistic_regression"])
class TestBoth:
    def test_result_is_a_calibrated_score_table_that_beats_its_parts(self, pair, fusion):
        fused = fuse(pair, fusion)
        assert tuple(fused.table.columns) == COLUMNS
        for name in set(COLUMNS) - {"score", "raw_score"}:
            assert fused.table[name].equals(pair["one"][name]), name
        test = by_class(split(fused.table, "test"))
        for table in pair.values():
            assert eer(*test) < eer(*by_class(split(table, "test"))) - 0.03
        assert act_dcf(*test) < min_dcf(*test) + 0.1

    def test_weights_and_calibration_say_how_scores_came_about(self, pair, fusion):
        table, weights, calibration = fuse(pair, fusion)
        raw = sum(w * pair[name]["score"] for name, w in zip(pair, weights.weights, strict=True)) + weights.offset
        np.testing.assert_allclose(table["raw_score"], raw)
        np.testing.assert_allclose(table["score"], calibration.scale * raw + calibration.offset)
        assert calibration == pytest.approx(fit_affine(*by_class(split(table, "dev"), "raw_score")))

    def test_nothing_is_learnt_from_other_splits(self, pair, fusion):
        before = fuse(pair, fusion)
        changed = {name: table.copy() for name, table in pair.items()}
        for table in changed.values():
            table.loc[table["split"] != "dev", "score"] *= -7
        after = fuse(changed, fusion)
        assert after.weights == before.weights
        assert after.calibration == before.calibration

    def test_order_of_rows_does_not_matter(self, pair, fusion):
        shuffled = pair | {"two": pair["two"].sample(frac=1, random_state=0)}
        pd.testing.assert_frame_equal(fuse(shuffled, fusion).table, fuse(pair, fusion).table)

    def test_unit_of_a_detector_does_not_matter(self, pair, fusion):
        other = pair | {"two": pair["two"].assign(score=100 * pair["two"]["score"] - 40)}
        np.testing.assert_allclose(fuse(other, fusion).table["score"], fuse(pair, fusion).table["score"], atol=1e-6)

    def test_what_repeats_another_counts_only_in_the_mean(self, tables, pair, fusion):
        thrice, twice = (fuse(some, fusion).table["score"] for some in (tables, pair))
        assert np.allclose(thrice, twice, atol=1e-6) == (fusion == "logistic_regression")

    def test_one_table_is_only_calibrated(self, tables, fusion):
        table = tables["one"]
        fitted = fit_affine(*by_class(split(table, "dev")))
        np.testing.assert_allclose(fuse({"one": table}, fusion).table["score"], fitted(table["score"]), atol=1e-7)


def test_mean_is_that_of_calibrated_scores(pair):
    fused = fuse(pair, "mean")
    maps = [fit_affine(*by_class(split(table, "dev"))) for table in pair.values()]
    calibrated = [one(table["score"]) for one, table in zip(maps, pair.values(), strict=True)]
    np.testing.assert_allclose(fused.table["raw_score"], (calibrated[0] + calibrated[1]) / 2)


def test_mean_without_dev_is_that_of_the_scores(pair):
    fused = fuse({name: split(table, "test") for name, table in pair.items()}, "mean")
    expected = (split(pair["one"], "test")["score"] + split(pair["two"], "test")["score"]) / 2
    np.testing.assert_allclose(fused.table["score"], expected)
    assert fused.weights == ((0.5, 0.5), 0.0)
    assert fused.calibration == (1.0, 0.0)


def test_logistic_regression_agrees_with_scikit_learn_where_trials_are_many(make_table):
    dev = [split(make_table(sentences=5_000, spread=3.0, seed=seed), "dev") for seed in (1, 2)]
    scores, labels = np.stack([table["score"] for table in dev], axis=1), dev[0]["label"].to_numpy()
    solver = LogisticRegression(C=np.inf, tol=1e-10).fit(scores, 1 - labels)
    fitted = fit_weights(scores, labels, "logistic_regression", spoof_prior=0.5)
    assert fitted.weights == pytest.approx(list(solver.coef_[0]), rel=0.002)
    assert fitted.offset == pytest.approx(solver.intercept_.item(), abs=0.002)
    assert cllr(*(fitted(scores[labels == label]) for label in (0, 1))) < min(cllr(*by_class(one)) for one in dev)


def test_logistic_regression_trusts_the_better_detector_more(make_table):
    tables = {str(spread): make_table(sentences=200, spread=spread, seed=spread) for spread in (1, 4)}
    good, bad = fuse(tables, "logistic_regression").weights.weights
    assert good > 2 * bad > 0


class TestRefusal:
    def refused(self, tables, fusion="mean"):
        with pytest.raises(LabError) as caught:
            fuse(tables, fusion)
        return str(caught.value)

    def test_trials_that_do_not_match_are_named(self, pair):
        two = pair["two"]
        key = two["key"].iloc[3]
        told = self.refused({"one": pair["one"], "runs/b": two.drop(index=3)})
        assert told.startswith(f"runs/b: 1 trials of one are missing, such as {key}.")

    def test_trials_of_another_split_are_other_trials(self, pair):
        two = pair["two"].copy()
        row = two.index[two["split"] == "dev"][0]
        two.loc[row, "split"] = "test"
        assert "two: 1 trials of one are missing" in self.refused(pair | {"two": two})

    def test_equal_keys_of_different_corpora_are_different_trials(self, pair):
        assert "two: 1050 trials of one are missing" in self.refused(pair | {"two": pair["two"].assign(corpus="other")})
        doubled = {name: pd.concat([table, table.assign(corpus="other")]) for name, table in pair.items()}
        assert len(fuse(doubled).table) == 2 * len(pair["one"])

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_scores_that_are_none_are_named(self, pair, value):
        two = pair["two"].copy()
        two.loc[5, "score"] = value
        assert f"two: 1 trials have no finite score, such as {two['key'][5]}." in self.refused(pair | {"two": two})

    def test_nothing_to_fit_on(self, pair):
        test = {name: split(table, "test") for name, table in pair.items()}
        assert "no bona fide trials" in self.refused(test, "logistic_regression")
        real = {name: table[(table["split"] != "dev") | (table["label"] == 0)] for name, table in pair.items()}
        assert "no spoof trials" in self.refused(real)

    def test_nothing_to_fuse_or_no_such_fusion(self, pair):
        assert "no score tables" in self.refused({})
        assert "fusion=median: no such fusion" in self.refused(pair, "median")
