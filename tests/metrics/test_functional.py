import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.metrics import functional
from deepfake_lab.types import LabError

OFFICIAL = json.loads((Path(__file__).parent / "official_vectors.json").read_text())
VECTORS = {vector["name"]: vector for vector in OFFICIAL["vectors"]}
ASV = functional.AsvErrors(**OFFICIAL["meta"]["asv"])
FOUR = ("eer", "min_dcf", "act_dcf", "cllr")
KINDS = {"numpy": np.array, "tensor": lambda scores: torch.tensor(scores, dtype=torch.float64)}

tied_scores = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)
score_lists = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=30)


def naive_det(bonafide, spoof):
    """The definition, step by step: pass the trials in ascending order, bona fide first among equals."""
    steps = sorted([(score, 0) for score in bonafide] + [(score, 1) for score in spoof])
    missed, accepted = 0, len(spoof)
    points = [(0.0, 1.0)]
    for _, label in steps:
        missed, accepted = (missed + 1, accepted) if label == 0 else (missed, accepted - 1)
        points.append((missed / len(bonafide), accepted / len(spoof)))
    return points


def pair(vector, kind):
    return KINDS[kind](vector["bonafide"]), KINDS[kind](vector["spoof"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VECTORS)
def test_official_answers(name, kind):
    expected = VECTORS[name]["expected"]
    scores = pair(VECTORS[name], kind)
    together = functional.detection_metrics(*scores, threshold=0.0)
    for metric in FOUR:
        answer = getattr(functional, metric)(*scores)
        assert type(answer) is float
        assert answer == pytest.approx(expected[metric], abs=1e-9)
        assert together[metric] == answer


@pytest.mark.parametrize("form", ["min_tdcf_2019", "min_tdcf_2021"])
def test_official_tandem_costs(form):
    known = [vector for vector in VECTORS.values() if form in vector["expected"]]
    assert len(known) >= 10
    for vector in known:
        answer = getattr(functional, form)(*pair(vector, "numpy"), ASV)
        assert answer == pytest.approx(vector["expected"][form], abs=1e-9)


@pytest.mark.parametrize("name", VECTORS)
def test_official_thresholds_lie_on_the_det_curve(name):
    curve = functional.det_curve(*pair(VECTORS[name], "numpy"))
    expected = VECTORS[name]["expected"]
    nearest = np.abs(curve.miss_rate - curve.false_alarm_rate).argmin()
    cheapest = (1.9 * curve.miss_rate + curve.false_alarm_rate).argmin()
    assert curve.threshold[nearest] == pytest.approx(expected["eer_threshold"], abs=1e-9)
    assert curve.threshold[cheapest] == pytest.approx(expected["min_dcf_threshold"], abs=1e-9)


@given(tied_scores, tied_scores)
def test_equals_the_definition_under_ties(bonafide, spoof):
    points = naive_det(bonafide, spoof)
    nearest = min(points, key=lambda point: abs(point[0] - point[1]))
    scores = np.array(bonafide), np.array(spoof)
    assert functional.eer(*scores) == pytest.approx(sum(nearest) / 2, abs=1e-12)
    assert functional.min_dcf(*scores) == pytest.approx(min(1.9 * miss + alarm for miss, alarm in points), abs=1e-12)
    curve = functional.det_curve(*scores)
    np.testing.assert_allclose(np.stack([curve.miss_rate, curve.false_alarm_rate], axis=1), points, atol=1e-12)
    wins = [(fake < real) + 0.5 * (fake == real) for real in bonafide for fake in spoof]
    assert functional.roc_auc(*scores) == pytest.approx(np.mean(wins), abs=1e-12)


@given(score_lists, score_lists)
def test_ranks_alone_decide(bonafide, spoof):
    scores = np.array(bonafide), np.array(spoof)
    mapped = tuple(
        4 * array**3 + 7
        for array in np.split(np.unique(np.concatenate(scores), return_inverse=True)[1], [len(bonafide)])
    )
    for metric in (functional.eer, functional.min_dcf, functional.roc_auc):
        assert metric(*mapped) == pytest.approx(metric(*scores), abs=1e-12)


@given(score_lists, score_lists)
def test_bounds_and_sign_swap(bonafide, spoof):
    scores = np.array(bonafide), np.array(spoof)
    swapped = -scores[1], -scores[0]
    assert functional.roc_auc(*swapped) == pytest.approx(functional.roc_auc(*scores), abs=1e-12)
    assert functional.roc_auc(*scores[::-1]) == pytest.approx(1 - functional.roc_auc(*scores), abs=1e-12)
    assert functional.cllr(*swapped) == pytest.approx(functional.cllr(*scores), abs=1e-12)
    assert 0 <= functional.eer(*scores) <= 1
    assert 0 <= functional.min_dcf(*scores) <= functional.act_dcf(*scores) + 1e-12 <= 2.9 + 1e-12
    step = 0.5 / len(bonafide) + 0.5 / len(spoof)
    if not set(bonafide) & set(spoof):
        assert functional.eer(*swapped) == pytest.approx(functional.eer(*scores), abs=step)


@settings(max_examples=50)
@given(score_lists, score_lists, st.floats(-20, 20))
def test_decisions_equal_scikit_learn(bonafide, spoof, threshold):
    scores = np.array(bonafide + spoof)
    truth = np.array([0] * len(bonafide) + [1] * len(spoof))
    called = (scores < threshold).astype(int)
    ours = functional.detection_metrics(np.array(bonafide), np.array(spoof), threshold)
    theirs = {
        "accuracy": sklearn.metrics.accuracy_score(truth, called),
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(truth, called),
        "precision": sklearn.metrics.precision_score(truth, called, zero_division=0),
        "recall": sklearn.metrics.recall_score(truth, called),
        "f1": sklearn.metrics.f1_score(truth, called, zero_division=0),
        "roc_auc": sklearn.metrics.roc_auc_score(truth, -scores),
    }
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(truth, called, labels=[0, 1]).ravel()
    theirs |= {"cm/tp": tp, "cm/fp": fp, "cm/tn": tn, "cm/fn": fn}
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-12)
    assert functional.confusion(np.array(bonafide), np.array(spoof), threshold) == (tp, fp, tn, fn)
    assert set(ours) == set(theirs) | set(FOUR)


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=40, unique=True), st.data())
def test_eer_threshold_realises_the_eer(scores, data):
    count = data.draw(st.integers(1, len(scores) - 1))
    bonafide, spoof = np.array(scores[:count]), np.array(scores[count:])
    threshold = functional.eer_threshold(bonafide, spoof)
    errors = (np.mean(bonafide < threshold) + np.mean(spoof >= threshold)) / 2
    assert errors == pytest.approx(functional.eer(bonafide, spoof), abs=1e-12)
    metrics = functional.detection_metrics(bonafide, spoof)
    assert metrics["balanced_accuracy"] == pytest.approx(1 - metrics["eer"], abs=1e-12)


def test_eer_threshold_of_parted_classes_lies_midway():
    assert functional.eer_threshold(np.array([2.0, 3.0]), np.array([-4.0, -1.0])) == 0.5


def test_eer_threshold_never_lies_within_a_tie():
    bonafide, spoof = np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0])
    assert functional.eer_threshold(bonafide, spoof) == 0.5


def test_scores_that_say_nothing():
    same = np.zeros(8), np.zeros(12)
    assert functional.eer(*same) == 1.0
    assert functional.min_dcf(*same) == 1.0
    assert functional.cllr(*same) == pytest.approx(1.0, abs=1e-12)
    assert functional.roc_auc(*same) == 0.5


@pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (0, 0)])
def test_an_empty_class_has_no_metrics(sizes):
    scores = tuple(np.arange(float(size)) for size in sizes)
    for metric in (*FOUR, "roc_auc", "eer_threshold"):
        assert math.isnan(getattr(functional, metric)(*scores)), metric
    metrics = functional.detection_metrics(*scores)
    assert all(math.isnan(value) for value in metrics.values())
    with pytest.raises(LabError, match="threshold is NaN"):
        functional.confusion(*scores, threshold=math.nan)


@pytest.mark.parametrize("metric", [*FOUR, "roc_auc", "det_curve", "eer_threshold", "detection_metrics"])
def test_nan_is_refused_with_its_place(metric):
    good, bad = np.array([1.0, 2.0]), np.array([0.0, math.nan, 1.0, math.nan])
    with pytest.raises(LabError, match=r"2 of 4 spoof scores are NaN, at positions 1, 3\."):
        getattr(functional, metric)(good, bad)
    with pytest.raises(LabError, match=r"2 of 4 bona fide scores are NaN"):
        getattr(functional, metric)(torch.tensor(bad), torch.tensor(good))


def test_half_precision_and_gradients_are_taken_as_they_are():
    bonafide = torch.tensor([1.0, 0.5, -0.25], dtype=torch.bfloat16, requires_grad=True)
    spoof = torch.tensor([-1.0, 0.0], dtype=torch.float16)
    expected = functional.detection_metrics(np.array([1.0, 0.5, -0.25]), np.array([-1.0, 0.0]))
    assert functional.detection_metrics(bonafide, spoof) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_on_a_gpu():
    vector = VECTORS["heavy_ties_500_1decimal"]
    scores = [torch.tensor(vector[name], dtype=torch.float64, device="cuda") for name in ("bonafide", "spoof")]
    assert functional.eer(*scores) == pytest.approx(vector["expected"]["eer"], abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_the_four_take_a_second_on_the_largest_evaluation_set(kind):
    rng = np.random.default_rng(0)
    scores = KINDS[kind](rng.normal(1, 1, 138_688)), KINDS[kind](rng.normal(-1, 1, 542_086))
    start = time.process_time()
    for metric in FOUR:
        getattr(functional, metric)(*scores)
    assert time.process_time() - start < 1
