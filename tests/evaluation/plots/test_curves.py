import sys

import numpy as np
import pytest
from scipy.special import ndtri

from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.evaluation.compare import Estimate
from deepfake_lab.evaluation.plots.curves import det, roc, seeds
from deepfake_lab.metrics.functional import eer


def rate_of(table):
    return eer(*(table["score"][table["label"] == label].to_numpy() for label in (0, 1)))


def test_det_marks_the_eer_on_probit_axes(make_table, words):
    table = make_table({"test": ("world", "piper")}, sentences=100)
    figure = det(table, {"test": Interval(0.1, 0.2)})
    rate = rate_of(table)
    assert f"test: EER {rate:.1%} (10.0 to 20.0)" in words(figure)
    (axes,) = figure.axes
    point = next(line for line in axes.lines if line.get_marker() == "o")
    assert point.get_xdata() == pytest.approx(ndtri(rate))
    assert {"5", "10", "20"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_the_band_of_the_det_curve_holds_its_eer(make_table):
    table = make_table({"dev": ("world",), "test": ("piper",)}, sentences=100, spread=2.0)
    (axes,) = det(table).axes
    assert len(axes.patches) == 2
    for band, split in zip(axes.patches, ("dev", "test"), strict=True):
        assert band.get_path().contains_point([ndtri(rate_of(table[table["split"] == split]))] * 2)


def test_a_curve_without_errors_has_no_band(make_table, words, draw):
    figure = det(make_table({"test": ("world",)}, scale=20.0))
    assert not figure.axes[0].patches
    assert not any("band" in text for text in words(figure))
    draw(figure)


def test_roc_names_the_area(make_table, words):
    table = make_table({"test": ("piper",)}, sentences=50)
    real, fake = (table["score"][table["label"] == label].to_numpy() for label in (0, 1))
    area = (fake[:, None] < real).mean()
    assert f"test: AUC {area:.3f}" in words(roc(table))


def test_seeds_are_ordered_by_their_mean(make_table, words, draw):
    runs = {
        name: [make_table({"test": ("world", "piper")}, scale=scale, seed=seed) for seed in range(3)]
        for name, scale in (("weak", 0.2), ("strong", 2.0))
    }
    estimates = {name: Estimate(np.mean(list(map(rate_of, tables))), Interval(0, 0.5)) for name, tables in runs.items()}
    figure = seeds(runs, estimates)
    left, right = figure.axes
    assert [label.get_text() for label in right.get_yticklabels()] == ["strong", "weak"]
    assert f"{100 * estimates['weak'].value:.1f} (0.0 to 50.0)" in words(figure)
    ticks = [line.get_xdata() for line in right.lines if line.get_marker() == "|"]
    assert ticks[1] == pytest.approx([100 * rate_of(table) for table in runs["weak"]])
    assert len([line for line in left.lines if len(line.get_xdata()) > 2]) == 6
    draw(figure)


def test_more_configurations_than_colours_are_listed_though_not_drawn(make_table, draw):
    runs = {f"model-{number}": [make_table({"test": ("world",)}, seed=number)] for number in range(9)}
    estimates = {name: Estimate(rate_of(tables[0]), Interval(0, 0.5)) for name, tables in runs.items()}
    figure = seeds(runs, estimates)
    left, right = figure.axes
    assert len(right.get_yticklabels()) == 9
    assert len([line for line in left.lines if len(line.get_xdata()) > 2]) == 6
    draw(figure)


def test_no_global_state(make_table):
    roc(make_table())
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
