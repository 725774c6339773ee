import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.evaluation.cells import MEASURES, SOBER_DCF, Cells
from deepfake_lab.metrics.functional import detection_metrics
from deepfake_lab.metrics.ranking import MISS_WEIGHT

trials = st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2), st.integers(0, 3)), max_size=14)
weights = st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=3)


def columns(rows):
    return np.array(rows, dtype=np.int64).reshape(-1, 3).T


def expected(real, fake, threshold):
    """The metrics of trials that are really repeated."""
    if not len(real) or not len(fake):
        return {}
    return detection_metrics(real.astype(float), fake.astype(float), threshold)


@given(trials, trials, weights, st.sampled_from([-1.0, 0.5, 3.0]), st.booleans())
def test_a_weight_is_that_many_trials(real, fake, weights, threshold, shared):
    real, real_part, real_group = columns(real)
    fake, fake_cell, fake_group = columns(fake)
    part_of = np.zeros(3, np.int64) if shared else np.arange(3)
    real_part = real_part * (not shared)
    cells = Cells(
        real.astype(float),
        fake.astype(float),
        groups=(real_group, fake_group),
        parts=real_part,
        cells=fake_cell,
        part_of=part_of,
        threshold=threshold,
    )
    measured = cells.measures(np.array(weights, np.int64))
    for row, often in enumerate(np.array(weights)):
        for cell, part in enumerate(part_of):
            reals = np.repeat(real[real_part == part], often[real_group[real_part == part]])
            fakes = np.repeat(fake[fake_cell == cell], often[fake_group[fake_cell == cell]])
            for name, value in expected(reals, fakes, threshold).items():
                if name in MEASURES:
                    found = measured[row, cell, MEASURES.index(name)]
                    assert found == pytest.approx(value, abs=1e-12), (name, row, cell)
            if not len(reals) or not len(fakes):
                assert np.isnan(measured[row, cell, :5]).all()
    assert (cells.counts[:, 1] == np.bincount(fake_cell, minlength=3)).all()


def test_without_a_threshold_there_are_no_decisions():
    zero = np.zeros(2, np.int64)
    cells = Cells(
        np.array([1.0, 2.0]),
        np.array([0.0, 1.5]),
        groups=(zero, zero),
        parts=zero,
        cells=zero,
        part_of=zero[:1],
        threshold=float("nan"),
    )
    (values,) = cells.measures(np.ones((1, 1), np.int64))[0]
    assert np.isfinite(values[:5]).all()
    assert np.isnan(values[5:SOBER_DCF]).all()
    assert np.isfinite(values[SOBER_DCF])


@given(trials.filter(bool), trials.filter(bool), weights)
def test_sober_costs_are_those_of_a_threshold_chosen_elsewhere_and_of_what_a_choice_here_flatters(real, fake, weights):
    (real, _, real_group), (fake, _, fake_group) = columns(real), columns(fake)
    cells = Cells(
        real.astype(float),
        fake.astype(float),
        groups=(real_group, fake_group),
        parts=np.zeros(len(real), np.int64),
        cells=np.zeros(len(fake), np.int64),
        part_of=np.zeros(1, np.int64),
        threshold=0.0,
    )

    def costs(reals, fakes):
        """At every threshold there is."""
        return np.array([MISS_WEIGHT * np.mean(reals < at) + np.mean(fakes >= at) for at in range(-3, 5)])

    best = np.isclose(costs(real, fake), costs(real, fake).min())  # equally good ones
    for (measured,), often in zip(cells.measures(np.array(weights, np.int64)), np.array(weights), strict=True):
        reals, fakes = np.repeat(real, often[real_group]), np.repeat(fake, often[fake_group])
        if not len(reals) or not len(fakes):
            assert np.isnan(measured[SOBER_DCF])
        else:
            drawn = costs(reals, fakes)
            assert np.isclose(measured[SOBER_DCF], 2 * drawn[best] - drawn.min()).any()
