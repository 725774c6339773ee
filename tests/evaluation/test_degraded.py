"""What a trial goes through depends on its key and the seed, and scores are of that."""

import numpy as np
import pytest
import torch
from make_detectors import make_detectors

from deepfake_lab.augment.level import Polarity
from deepfake_lab.checkpoint import load_detector
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.evaluation.conditions import Pinned
from deepfake_lab.evaluation.degraded import Degraded, score_degraded
from deepfake_lab.evaluation.trials import sampled, trials_of


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return load_detector(make_detectors(tmp_path_factory.mktemp("detectors"))[0])


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    return trials_of(Toy(tmp_path_factory.mktemp("toy")), "test", 100)


def noise_on(wave, draw):
    return wave + draw.standard_normal(len(wave)).astype(np.float32)


def test_a_trial_hears_the_same_whatever_else_is_measured(detector, trials):
    few = sampled(trials, 20, seed=3)
    whole, part, other = (Degraded(some, detector, noise_on, seed) for some, seed in ((trials, 0), (few, 0), (few, 1)))
    places = {key: row for row, key in enumerate(trials.table["key"].to_pylist())}
    for row, key in enumerate(few.table["key"].to_pylist()):
        assert np.array_equal(part[row], whole[places[key]])
        assert not np.array_equal(part[row], other[row])
    clean = Degraded(few, detector, None, 0)
    noise = [part[row] - clean[row] for row in range(2)]
    assert not np.allclose(*noise, atol=1e-3)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_scores_are_the_detectors_of_degraded_windows(detector, trials, num_workers):
    condition = Pinned(lambda p, gain_db: Polarity(p), "gain_db", [0], "") if num_workers == 0 else None
    harm = condition.at("0") if condition else noise_on
    table = score_degraded(detector, trials, harm, batch_size=7, num_workers=num_workers)
    heard = torch.from_numpy(np.stack([Degraded(trials, detector, harm, 0)[row] for row in range(len(trials))]))
    with torch.inference_mode():
        output = detector(heard)
    np.testing.assert_allclose(table["score"], output.score, atol=1e-4)
    np.testing.assert_allclose(table["raw_score"], output.raw_score, atol=1e-4)
    assert table["key"].tolist() == trials.table["key"].to_pylist()
