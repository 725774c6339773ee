import numpy as np
import pytest

from deepfake_lab.evaluation.calibrate import expected_calibration_error, reliability
from deepfake_lab.evaluation.plots.decisions import confusion_matrix, reliability_diagram, score_distributions


def test_confusion_matrix_counts(make_table, words):
    table = make_table({"test": ("world",)}, sentences=10, scale=20.0)
    table.loc[table.index[:3], "score"] = -50.0  # three real trials that are called fake
    assert {"7\n70.0%", "3\n30.0%", "0\n0.0%", "10\n100.0%"} <= set(words(confusion_matrix(table, 0.0)))


def test_a_system_looks_the_same_in_every_panel(make_table):
    figure = score_distributions(make_table(sentences=50), 0.0)
    legends = [panel.get_legend_handles_labels() for panel in figure.axes]
    colours = [
        {handle.get_edgecolor() for handle, label in zip(*legend, strict=True) if label.startswith("world")}
        for legend in legends
    ]
    assert len(figure.axes) == 3
    assert len(set.union(*colours)) == 1


def test_the_easier_of_many_systems_are_pooled(make_table):
    table = make_table({"test": tuple(f"A{number}" for number in range(17, 33))})
    table.loc[table["attack"] == "openprompts/A20", "score"] += 4
    figure = score_distributions(table, 0.0)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels[:2] == ["bona fide (20)", "A20 (20)"]
    assert labels[-1] == "11 easier systems (220)"


def test_reliability_shows_scores_before_and_after_calibration(make_table, words):
    table = make_table({"dev": ("world",), "test": ("piper",)}, sentences=100)
    figure = reliability_diagram(table)
    panels = figure.axes[:2]
    for axes, split in zip(panels, ("dev", "test"), strict=True):
        trials = table[table["split"] == split]
        errors = []
        for container, column in zip(axes.containers, ("raw_score", "score"), strict=True):
            bins = reliability(trials[column].to_numpy(), trials["label"].to_numpy())
            errors.append(expected_calibration_error(bins))
            points, _, (bars,) = container.lines
            known = bins.dropna()
            assert points.get_xydata() == pytest.approx(known[["predicted", "observed"]].to_numpy())
            ends = np.array([bar[:, 1] for bar in bars.get_segments()])
            assert ends == pytest.approx(known[["observed_low", "observed_high"]].to_numpy())
        assert f"ECE {errors[0]:.1%} before calibration, {errors[1]:.1%} calibrated" in axes.get_title()
    counted = [patch.get_height() for patch in figure.axes[2].patches]
    assert sum(counted) == 2 * 200
    assert "calibrated" in words(figure)


def test_scores_that_were_never_calibrated_are_drawn_once(make_table, words):
    table = make_table({"test": ("piper",)})
    figure = reliability_diagram(table.assign(raw_score=table["score"]))
    assert len(figure.axes[0].containers) == 1
    assert "not calibrated" in words(figure)
