import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation.breakdown import breakdown
from deepfake_lab.evaluation.cells import MEASURES
from deepfake_lab.metrics.functional import detection_metrics
from deepfake_lab.types import LabError


@pytest.fixture
def table(make_table):
    table = make_table({"dev": ("world",), "test": ("world", "piper")}, sentences=24)
    codec = np.where(table.index % 3 == 0, "C01", "-")
    return table.assign(codec=codec, gender=np.where(table.index % 2, "F", "M"))


def expected(trials, threshold):
    scores = trials["score"].to_numpy()
    real, fake = (scores[trials["label"] == label] for label in (0, 1))
    return detection_metrics(real, fake, threshold)


def select(table, split, condition, cell):
    """Trials of a cell, chosen by hand."""
    trials = table[table["split"] == split]
    for column, value in zip(condition.split(" x "), cell.split(" x "), strict=True):
        if column == "attack":
            trials = trials[(trials["label"] == 0) | (trials["attack"] == f"openprompts/{value}")]
        elif column == "duration":
            low = float(value.removeprefix("from ").split(" ")[0])
            high = float(value.split(" ")[2]) if " to " in value else np.inf
            trials = trials[(trials["duration_s"] >= low) & (trials["duration_s"] < high)]
        elif column != "all":
            trials = trials[trials[column] == value]
    return trials


def test_every_cell_is_measured_as_if_alone(table):
    cells = breakdown(table, 0.25, replicates=40)
    assert {"all", "attack", "codec", "attack x codec", "gender", "duration"} == set(cells["condition"])
    assert {"piper x C01", "piper x -", "world x C01", "world x -"} == set(
        cells["cell"][(cells["condition"] == "attack x codec") & (cells["split"] == "test")]
    )
    for _, row in cells.iterrows():
        trials = select(table, row["split"], row["condition"], row["cell"])
        assert row["spoof"] == trials["label"].sum()
        assert row["bonafide"] == (trials["label"] == 0).sum()
        for name, value in expected(trials, 0.25).items():
            if name in MEASURES:
                assert row[name] == pytest.approx(value, abs=1e-12), (row["condition"], row["cell"], name)
                assert row[f"{name}_low"] <= row[f"{name}_high"]
        assert row["groups"] == min(trials["group"][trials["label"] == label].nunique() for label in (0, 1))


def test_the_whole_comes_first_and_single_values_are_left_out(table):
    cells = breakdown(table, 0.0, replicates=5)
    assert cells.groupby("split", sort=False).first()["cell"].tolist() == ["all", "all"]
    assert "speaker" not in set(cells["condition"])  # there is one
    assert list(cells.columns[:2]) == ["split", "condition"]


def test_clusters_may_be_speakers(table):
    speaker = "s" + (table.index % 6).astype(str)
    narrow = breakdown(table.assign(speaker=speaker), 0.0, cluster="speaker", conditions=(), replicates=50)
    assert narrow["groups"].tolist() == [6, 6]


def test_a_cell_of_one_class_has_counts_but_no_eer(table):
    lonely = table.assign(codec=np.where((table["label"] == 0) & (table.index % 3 == 0), "C09", table["codec"]))
    cells = breakdown(lonely, 0.0, conditions=["codec"], replicates=20)
    (row,) = cells[(cells["cell"] == "C09") & (cells["split"] == "test")].to_dict("records")
    assert (row["spoof"], row["bonafide"] > 0) == (0, True)
    assert np.isnan(row["eer"])
    assert np.isnan(row["eer_low"])
    assert 0 <= row["accuracy"] <= 1


def test_without_a_threshold_there_are_no_decisions(table):
    cells = breakdown(table, float("nan"), conditions=(), replicates=5)
    assert cells["accuracy"].isna().all()
    assert cells["eer"].notna().all()


def test_same_seed_same_numbers_in_any_order(table):
    one = breakdown(table, 0.0, replicates=60, seed=3)
    two = breakdown(
        pd.concat([part.sample(frac=1, random_state=0) for _, part in table.groupby("split")]),
        0.0,
        replicates=60,
        seed=3,
    )
    pd.testing.assert_frame_equal(one, two)


def test_nan_is_refused(table):
    with pytest.raises(LabError, match=r"1 of .* scores are NaN"):
        breakdown(table.assign(score=table["score"].where(table.index != 3)), 0.0)
