import io

import matplotlib
import numpy as np
import pytest
from scipy.special import ndtri

from deepfake_lab.evaluation import plots
from deepfake_lab.evaluation.bootstrap import Interval

TABLES = {
    "usual": {},
    "few and parted": {"sentences": 10, "scale": 20.0},
    "all equal": {"sentences": 10, "scale": 0.0, "spread": 0.0},
    "inverted": {"scale": -5.0},
    "many systems": {"attacks": {"test": tuple(f"A{number}" for number in range(17, 33))}},
    "one split": {"attacks": {"dev": ("world",)}},
}
FIGURES = {
    "confusion_matrix": lambda table: plots.confusion_matrix(table, 0.0),
    "det": plots.det,
    "roc": plots.roc,
    "score_distributions": lambda table: plots.score_distributions(table, 0.0),
}


def words(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("table", TABLES)
def test_every_table_can_be_drawn(make_table, figure, table):
    drawn = FIGURES[figure](make_table(**TABLES[table]))
    picture = io.BytesIO()
    drawn.savefig(picture, format="png", dpi=40)
    pixels = matplotlib.image.imread(io.BytesIO(picture.getvalue()))
    assert np.ptp(pixels[..., :3]) > 0.5


@pytest.mark.parametrize("figure", FIGURES)
def test_a_single_class_can_be_drawn(make_table, figure):
    table = make_table()
    FIGURES[figure](table[table["label"] == 0]).savefig(io.BytesIO(), dpi=40)


def test_confusion_matrix_counts(make_table):
    table = make_table({"test": ("world",)}, sentences=10, scale=20.0)
    table.loc[table.index[:3], "score"] = -50.0  # three real trials that are called fake
    assert {"7\n70.0%", "3\n30.0%", "0\n0.0%", "10\n100.0%"} <= set(words(plots.confusion_matrix(table, 0.0)))


def test_det_marks_the_eer_on_probit_axes(make_table):
    table = make_table({"test": ("world", "piper")}, sentences=100)
    figure = plots.det(table, {"test": Interval(0.1, 0.2)})
    real, fake = (table["score"][table["label"] == label].to_numpy() for label in (0, 1))
    rate = plots.eer(real, fake)
    assert f"test: EER {rate:.1%} (10.0 to 20.0)" in words(figure)
    (axes,) = figure.axes
    point = next(line for line in axes.lines if line.get_marker() == "o")
    assert point.get_xdata() == pytest.approx(ndtri(rate))
    assert {"5", "10", "20"} <= {label.get_text() for label in axes.get_xticklabels()}


def test_a_system_looks_the_same_in_every_panel(make_table):
    figure = plots.score_distributions(make_table(sentences=50), 0.0)
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
    figure = plots.score_distributions(table, 0.0)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert labels[:2] == ["bona fide (20)", "A20 (20)"]
    assert labels[-1] == "11 easier systems (220)"


def test_large_curves_are_thinned_without_a_visible_change():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, 200_000))
    thin_x, thin_y = plots._thin(x, np.sin(x))
    assert len(thin_x) < 10_000
    assert np.abs(np.interp(x, thin_x, thin_y) - np.sin(x)).max() < 0.005
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])


def test_no_global_state(make_table):
    import sys

    plots.roc(make_table())
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
