import numpy as np
import pytest
from matplotlib.colors import to_rgb

from deepfake_lab.evaluation.breakdown import breakdown
from deepfake_lab.evaluation.plots.conditions import crossed, forest, heat_map

CONDITIONS = ("attack", "codec", "duration", "gender")


@pytest.fixture
def cells(make_table):
    """Two systems under two codecs, but piper under one of them alone."""
    table = make_table({"dev": ("world",), "test": ("world", "piper")}, sentences=30)
    table.loc[(table["duration_s"] >= 2) & (table["label"] == 1), "score"] += 2  # harder
    table["codec"] = np.where((table.index % 2 == 0) & ~table["attack"].str.endswith("piper"), "C01", "-")
    return breakdown(table, 0.0, replicates=40)


def labels(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_the_hardest_come_first_but_durations_in_their_order(cells, draw):
    figure = forest(cells, ["dev", "test"], CONDITIONS)
    (axes,) = figure.axes
    seconds = ["duration", "0 to 2 s", "2 to 4 s"]
    assert labels(axes) == ["attack", "piper", "world", "codec", "none", "C01", *seconds]  # gender parts nothing
    rates = cells[(cells["split"] == "test") & (cells["condition"] == "duration")].set_index("cell")["eer"]
    assert rates["0 to 2 s"] < rates["2 to 4 s"]
    draw(figure)


def test_markers_and_bars_are_those_of_the_cells(cells, words):
    figure = forest(cells, ["test"], ("attack",))
    (axes,) = figure.axes
    rows = cells[(cells["split"] == "test") & (cells["condition"] == "attack")].set_index("cell")
    rates = 100 * rows.loc[["piper", "world"], ["eer", "eer_low", "eer_high"]].to_numpy()
    markers = next(line for line in axes.lines if line.get_marker() == "o")
    assert markers.get_xdata() == pytest.approx(rates[:, 0])
    bars = np.array([bar[:, 0] for bar in axes.collections[0].get_segments()])
    assert bars == pytest.approx(rates[:, 1:])
    assert "{:.1f} ({:.1f} to {:.1f})".format(*rates[0]) in words(figure)


def test_only_the_hardest_of_many_cells_are_drawn(make_table, draw):
    table = make_table({"test": tuple(f"A{number:02d}" for number in range(30))}, sentences=10)
    figure = forest(breakdown(table, 0.0, replicates=10), ["test"], ("attack",))
    assert labels(figure.axes[0])[0] == "attack, the hardest 20 of 30"
    assert len(labels(figure.axes[0])) == 21
    draw(figure)


def test_heat_map_has_a_number_where_there_is_a_cell(cells, words, draw):
    assert crossed(cells, "test")
    assert not crossed(cells, "dev")
    figure = heat_map(cells, "test")
    axes = figure.axes[0]
    assert labels(axes) == ["all attacks", "piper", "world"]
    known = cells[(cells["split"] == "test") & cells["condition"].isin(["all", "attack", "codec", "attack x codec"])]
    known = known.dropna(subset=["eer"])
    numbers = [text.get_text() for text in axes.texts if not text.get_text().startswith("±")]
    assert sorted(numbers) == sorted(f"{100 * rate:.1f}" for rate in known["eer"])
    halves = (known["eer_high"] - known["eer_low"]) * 50
    assert sorted({text.get_text() for text in axes.texts} - set(numbers)) == sorted(
        {f"±{half:.1f}" for half in halves}
    )
    assert len(numbers) == 8  # of nine places: piper was never under C01
    assert "none" in words(figure)
    draw(figure)


def test_numbers_in_the_heat_map_can_be_read(make_table):
    attacks = tuple(f"A{number:02d}" for number in range(12))
    table = make_table({"test": attacks}, sentences=60)
    table["codec"] = np.where(table.index % 2, "C01", "C02")
    number = table["attack"].str.extract(r"A(\d+)", expand=False).fillna("0").astype(int)
    table["score"] += number / 3  # from easy to hard
    axes = heat_map(breakdown(table, 0.0, replicates=10), "test").axes[0]
    (image,) = axes.images
    for text in axes.texts:
        column, row = (round(place) for place in text.get_position())
        paper = image.cmap(image.norm(image.get_array()[row, column]))[:3]
        light, dark = sorted(map(luminance, (paper, to_rgb(text.get_color()))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.4  # WCAG 2.2, contrast (minimum)


def luminance(colour):
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))
