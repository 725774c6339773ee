"""What is left of a detector: the numbers, by the plain metrics, and the words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.evaluation.attack_report import AttackReport, attack_page, measure, write_attack
from deepfake_lab.evaluation.masking import in_words
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.evaluation.trials import CLEAN, sampled
from deepfake_lab.metrics.functional import eer


@pytest.fixture
def tables(make_table):
    """Scores of test as they are, and pushed to the wrong side by 1 and by 100."""
    clean = make_table({"test": ("world", "piper")}, sentences=30)
    push = 2 * clean["label"] - 1
    pushed = {f"snr_db={name}": clean.assign(score=clean["score"] + by * push) for name, by in (("40", 1), ("20", 100))}
    return {CLEAN: clean, **pushed}


def test_numbers_are_those_of_the_plain_metrics(tables):
    levels = measure(tables, 0.2, replicates=50)
    for level, table in zip(levels, tables.values(), strict=True):
        assert level.eer.value == pytest.approx(eer(*by_class(table)))
        assert level.accuracy.value == pytest.approx(((table["score"] >= 0.2) == (table["label"] == 0)).mean())
        assert level.eer.interval.low <= level.eer.value <= level.eer.interval.high
    clean, some, every = levels
    real, fake = by_class(tables[CLEAN])
    flagged, passed = ((real < 1.2) & (real >= 0.2)).sum(), ((fake >= -0.8) & (fake < 0.2)).sum()
    assert some.flagged.value == pytest.approx(flagged / (real >= 0.2).sum())
    assert some.passed.value == pytest.approx(passed / (fake < 0.2).sum())
    assert some.success.value == pytest.approx((flagged + passed) / ((real >= 0.2).sum() + (fake < 0.2).sum()))
    assert (clean.success.value, every.success.value, every.accuracy.value, every.eer.value) == (0, 1, 0, 1)


def test_only_what_was_changed_counts_as_success(tables):
    some = measure(tables, 0.2, targets=(1,), replicates=50)[1]
    assert some.success == some.passed
    assert np.isnan(some.flagged.value)
    nothing = measure(tables, -1e9, targets=(1,), replicates=50)[1]  # no spoof is judged right
    assert np.isnan(nothing.success.value)


def test_report_says_what_is_wrong_with_the_gradients(tables, tmp_path):
    levels = measure(tables, 0.2, replicates=50)
    page = attack_page(AttackReport("pgd on x test", 0.2, levels, checked=16))
    assert page.reasons[-1] == "No sign of masked gradients on 16 recordings."
    assert "SNR 20 dB, 0.0 % and 100.0 %" in page.verdict
    doubted = AttackReport("pgd on x test", 0.2, levels, checked=16, suspicions=["Something is odd."])
    write_attack(doubted, tmp_path)
    assert "Do not take what follows for robustness. Something is odd." in (tmp_path / "robustness.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {f"robustness.{end}" for end in ("md", "html", "png", "csv")}
    assert list(pd.read_csv(tmp_path / "robustness.csv")["budget"]) == list(tables)
    assert doubted.metrics()["adversary/snr_db_20/accuracy"] == 0


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({}, None),
        ({"untrue": 9}, "not its slope on 9 of 20"),
        ({"single": {"a": 7, "b": 19}}, "At a a single step misleads on 7 of 20 recordings, several steps on 5"),
        ({"steps": {"a": 19, "b": 16}, "single": {"a": 5, "b": 5}}, "a misleads on 19 of 20"),
        ({"at_last": 19}, "without bounds misleads on 19"),
    ],
)
def test_each_sign_of_masked_gradients_is_put_into_words(odd, said):
    fine = {"untrue": 1, "single": {"a": 5, "b": 19}, "steps": {"a": 5, "b": 20}, "at_last": 20}
    found = list(in_words(20, **{**fine, **odd}))
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_samples_have_as_many_of_each_class_as_there_are(make_manifest):
    manifest = make_manifest("test", 20)  # 20 bona fide, 40 spoofs

    @settings(max_examples=25, deadline=None)
    @given(most=st.integers(2, 80), seed=st.integers(0, 3))
    def check(most, seed):
        drawn = sampled(manifest, most, seed)
        reals, fakes = drawn.counts()["test"]
        assert reals + fakes == min(most, 60)
        assert reals == min(20, max(most // 2, most - 40))
        keys = drawn.table["key"].to_pylist()
        assert keys == [key for key in manifest.table["key"].to_pylist() if key in set(keys)]

    check()
