import numpy as np

from deepfake_lab.evaluation.plots.style import thin


def test_large_curves_are_thinned_without_a_visible_change():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-3, 3, 200_000))
    thin_x, thin_y = thin(x, np.sin(x))
    assert len(thin_x) < 10_000
    assert np.abs(np.interp(x, thin_x, thin_y) - np.sin(x)).max() < 0.005
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
