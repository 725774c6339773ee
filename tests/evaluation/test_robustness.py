"""What is left of detectors under conditions: the numbers, by the plain metrics, the words and the pictures."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from deepfake_lab.augment.level import Gain
from deepfake_lab.evaluation.conditions import Codecs, Pinned
from deepfake_lab.evaluation.pages.robustness import robustness_page, write_robustness
from deepfake_lab.evaluation.plots.robustness import over_levels, side_by_side
from deepfake_lab.evaluation.robustness import MEAN, Place, Robustness, groups_of, measure
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.evaluation.trials import CLEAN
from deepfake_lab.metrics.functional import eer

THRESHOLDS = {"before": 0.2, "after": 0.1}
CONDITIONS = {"gain": Pinned(Gain, "gain_db", [-6, -20], "gain, dB"), "codecs": Codecs(["gsm"])}


@pytest.fixture
def tables(make_table):
    """The second detector tells more; conditions shift scores, and codecs mix them up."""
    clean = make_table({"test": ("world", "piper")}, sentences=60)
    mess = np.random.default_rng(0).normal(size=len(clean))

    def scored(score):
        return clean.assign(score=score)

    found = {}
    for name, gain in (("before", 0.0), ("after", 2.0)):
        score = clean["score"] + gain * (1 - 2 * clean["label"])
        found |= {Place(name, CLEAN): scored(score), Place(name, "gain", "-6"): scored(score - 1)}
        found |= {Place(name, "gain", "-20"): scored(score - 50), Place(name, "codecs", "gsm 13"): scored(score + mess)}
    return found


@pytest.fixture
def found(tables):
    groups = groups_of(tables["before", CLEAN, ""])
    return Robustness("a test", THRESHOLDS, measure(tables, THRESHOLDS, replicates=60), groups, ["Mind this."])


def test_numbers_are_those_of_the_plain_metrics(tables, found):
    for place, table in tables.items():
        real, fake = by_class(table)
        rates, threshold = found.rates[place], THRESHOLDS[place.detector]
        assert rates.eer.value == pytest.approx(eer(real, fake))
        assert rates.miss.value == pytest.approx((real < threshold).mean())
        assert rates.false_alarm.value == pytest.approx((fake >= threshold).mean())
        assert rates.hter.value == pytest.approx((rates.miss.value + rates.false_alarm.value) / 2)
        other = found.rates[place._replace(detector="before")].eer.value
        assert rates.gain.value == pytest.approx(other - rates.eer.value)
        for estimate in rates:
            assert estimate.interval.low <= estimate.value <= estimate.interval.high
    assert found.groups == 60


def test_a_shift_costs_decisions_and_no_eer(found):
    for name in THRESHOLDS:
        clean, shifted = (found.rates[Place(name, *which)] for which in ((CLEAN, ""), ("gain", "-20")))
        assert shifted.eer == clean.eer
        assert (shifted.miss.value, shifted.false_alarm.value, shifted.hter.value) == (1, 0, 0.5)


def test_the_mean_weighs_conditions_alike_whatever_their_levels(found):
    for name in THRESHOLDS:
        rates = {place[1:]: rates.eer.value for place, rates in found.rates.items() if place.detector == name}
        expected = ((rates["gain", "-6"] + rates["gain", "-20"]) / 2 + rates["codecs", "gsm 13"]) / 2
        assert rates[MEAN, ""] == pytest.approx(expected)
    assert found.rates[Place("after", MEAN)].gain.interval.low > 0


def test_report_has_it_all(found, tmp_path):
    page = write_robustness(found, CONDITIONS, tmp_path)
    assert page.reasons[0].startswith("Gain of after over before: ")
    assert page.reasons[0].endswith("points of mean EER, better.")
    assert page.warnings == ["Mind this."]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"robustness.{end}" for end in ("md", "html", "csv")),
        *(f"robustness-{number}.png" for number in (0, 1)),
    }
    rows = pd.read_csv(tmp_path / "robustness.csv", keep_default_na=False).set_index(["detector", "condition", "level"])
    assert len(rows) == 2 * 5
    assert float(rows.loc[("after", "gain", "-20"), "hter"]) == 0.5
    table = page.sections[0].parts[0]
    assert [row[0] for row in table.rows] == ["clean", "gain -6", "gain -20", "codecs gsm 13", "mean"]
    assert found.metrics()["robustness/after/codecs/gsm_13/eer"] == found.rates["after", "codecs", "gsm 13"].eer.value


def test_one_detector_and_one_condition_are_enough(found):
    rates = {place: one for place, one in found.rates.items() if place.detector == "before" and place.level != "gsm 13"}
    alone = Robustness("a test", {"before": 0.2}, rates, 10)
    page = robustness_page(alone, {"gain": CONDITIONS["gain"]})
    assert page.reasons == []
    assert page.warnings == ["fewer than 50 groups of a class (10): intervals are too narrow"]
    assert [len(section.parts) for section in page.sections] == [1, 1, 1]


def words(figure):
    return {text.get_text() for text in figure.findobj(Text)}


def test_pictures_hold_every_detector_and_level(found):
    said = words(over_levels(found, {"gain": "gain, dB"}))
    assert {"clean", "-6", "-20", "before, EER", "after, HTER", "gain, dB"} <= said
    assert {"gsm 13", "after, EER", "codec, kbit/s"} <= words(side_by_side(found, "codecs", "codec, kbit/s"))
