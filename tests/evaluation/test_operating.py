import numpy as np
import pytest

from deepfake_lab.evaluation.operating import operating_points
from deepfake_lab.metrics.functional import confusion, eer_threshold


def classes(table, split):
    trials = table[table["split"] == split]
    return [trials["score"][trials["label"] == label].to_numpy() for label in (0, 1)]


@pytest.fixture
def table(make_table):
    return make_table({"dev": ("world",), "test": ("world", "piper")}, sentences=150)


def test_thresholds_are_of_dev_and_errors_of_each_split(table):
    real, fake = classes(table, "dev")
    equal, costs, misses, alarms = operating_points(table, eer_threshold(real, fake), replicates=100)
    assert costs.threshold == pytest.approx(-np.log(1.9))
    for point in (equal, costs, misses, alarms):
        for split in ("dev", "test"):
            real, fake = classes(table, split)
            tp, fp, tn, fn = confusion(real, fake, point.threshold)
            assert point.misses[split].value == pytest.approx(fp / (fp + tn))
            assert point.false_alarms[split].value == pytest.approx(fn / (fn + tp))
            low, high = point.misses[split].interval
            assert 0 <= low <= point.misses[split].value <= high + 1e-9
    assert 0 < misses.misses["dev"].value <= 0.01
    assert 0 < alarms.false_alarms["dev"].value <= 0.01
    assert misses.threshold < equal.threshold < alarms.threshold


def test_without_dev_there_are_only_costs(table):
    (point,) = operating_points(table[table["split"] == "test"], float("nan"), replicates=5)
    assert point.name == "costs of ASVspoof 5"
    assert set(point.misses) == {"test"}
