"""Linear: statistics of the training set, statistics over time, nothing else."""

import numpy as np
import pytest
import torch

from deepfake_lab.models.linear import Linear


@pytest.mark.parametrize(("deviation", "parts"), [(True, 2), (False, 1)])
def test_is_the_standardised_mean_and_deviation_over_time_of_standardised_bins(deviation, parts):
    generator = np.random.default_rng(0)
    mean, variance = generator.normal(size=6), generator.uniform(0.5, 2, 6)
    model = Linear(2, 3, deviation=deviation).eval()
    model.standardise.norm.running_mean.copy_(torch.from_numpy(mean))
    model.standardise.norm.running_var.copy_(torch.from_numpy(variance))
    pooled_mean, pooled_variance = generator.normal(size=6 * parts), generator.uniform(0.1, 2, 6 * parts)
    model.standardise_pooled.norm.running_mean.copy_(torch.from_numpy(pooled_mean))
    model.standardise_pooled.norm.running_var.copy_(torch.from_numpy(pooled_variance))
    features = generator.normal(size=(4, 2, 3, 50))
    standard = (features.reshape(4, 6, 50) - mean[:, None]) / np.sqrt(variance[:, None])
    expected = np.concatenate([standard.mean(-1), standard.std(-1)][:parts], axis=1)
    expected = (expected - pooled_mean) / np.sqrt(pooled_variance)
    np.testing.assert_allclose(model(torch.from_numpy(features).float()), expected, rtol=1e-4, atol=1e-4)
    assert model.embedding_dim == expected.shape[1] == 6 * parts


def test_training_takes_batches_of_one_too():
    model, features = Linear(1, 4), torch.randn(5, 1, 4, 10, generator=torch.Generator().manual_seed(0))
    model(features)
    before = model.standardise_pooled.norm.running_mean.clone()
    assert torch.isfinite(model(features[:1])).all()
    assert torch.equal(model.standardise_pooled.norm.running_mean, before)


def test_has_nothing_to_train():
    assert list(Linear(1, 768).parameters()) == []


def test_constant_features_have_finite_gradients():
    features = torch.ones(2, 1, 4, 10, requires_grad=True)
    Linear(1, 4).eval()(features).sum().backward()
    assert torch.isfinite(features.grad).all()
