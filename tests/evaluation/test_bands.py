import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from deepfake_lab.evaluation.bands import det_band
from deepfake_lab.evaluation.bootstrap import clustered_interval


def trials(mean, size, rng, copies=1):
    """Normal scores around mean and -mean, in groups of one recording and its copies."""
    scores = np.repeat(np.concatenate([rng.normal(mean, size=size), rng.normal(-mean, size=size)]), copies)
    group = np.repeat(np.arange(2 * size), copies)
    return pd.DataFrame({"score": scores, "label": np.repeat([0, 1], size * copies), "group": group.astype(str)})


def across(band):
    """Lines of constant difference of the probits, and the bounds of their sum."""
    return band.low[1] - band.low[0], band.low.sum(axis=0), band.high.sum(axis=0)


def test_bands_cover_the_true_curve():
    """That of two normal distributions of the same variance is a straight line on probit axes."""
    rng = np.random.default_rng(0)
    covered, middles = [], []
    for draw in range(120):
        lines, low, high = across(det_band(trials(0.7, 150, rng), replicates=100, seed=draw))
        low, high = (np.interp([-0.8, 0, 0.8], lines, bound) for bound in (low, high))
        covered.append((low <= -2 * 0.7) & (high >= -2 * 0.7))
        middles.append((low + high) / 2)
    assert 0.89 < np.mean(covered) < 0.99
    assert np.mean(middles, axis=0) == pytest.approx(-2 * 0.7, abs=0.05)


def test_on_the_line_of_equal_errors_the_band_is_the_interval_of_the_eer():
    table = trials(1.0, 600, np.random.default_rng(1))
    lines, low, high = across(det_band(table, replicates=600))
    crossing = [ndtr(np.interp(0, lines, bound) / 2) for bound in (low, high)]
    expected = clustered_interval(table["score"].to_numpy(), table["label"], table["group"])
    assert crossing == pytest.approx(tuple(expected), abs=0.01)  # which is corrected for its bias


def test_copies_in_a_group_make_no_band_narrower():
    alone, copied = (trials(1.0, 200, np.random.default_rng(2), copies) for copies in (1, 5))
    lines, low, high = across(det_band(alone))
    copied_lines, copied_low, copied_high = across(det_band(copied))
    at = np.linspace(-1, 1, 9)
    for bound, copied_bound in ((low, copied_low), (high, copied_high)):
        assert np.interp(at, copied_lines, copied_bound) == pytest.approx(np.interp(at, lines, bound), abs=0.08)


def test_there_is_no_band_where_there_are_no_errors():
    band = det_band(trials(20.0, 50, np.random.default_rng(3)))
    assert band.outline.shape == (2, 0)


def test_blocks_change_nothing_but_the_draws(monkeypatch):
    table = trials(1.0, 300, np.random.default_rng(4))
    whole = det_band(table, replicates=400)
    monkeypatch.setattr("deepfake_lab.evaluation.bands.BLOCK", 7 * 600)
    blocks = det_band(table, replicates=400)
    assert np.abs(blocks.low - whole.low).max() < 0.2
