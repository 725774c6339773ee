"""Bands end where they should; equalisers are what was drawn."""

import numpy as np
import pytest
import torch

from deepfake_lab.augment.filters import BandLimit, Equaliser, convolved

FREQUENCY = np.fft.rfftfreq(16_000, 1 / 16_000)


def gains(augmentation, rows):
    """Gain of each row at `FREQUENCY`, ``(rows, F)``."""
    torch.manual_seed(0)
    batch = torch.randn(1, 16_000).repeat(rows, 1)
    after = augmentation(batch)
    return np.abs(np.fft.rfft(after.double()) / np.fft.rfft(batch.double()))


def test_a_band_has_one_edge_or_two_a_third_of_the_rows_each():
    gain = gains(BandLimit((300, 300), (3_000, 3_000), p=1), 300)
    inside = (FREQUENCY >= 300) & (FREQUENCY <= 3_000)
    below, above = FREQUENCY <= 270, FREQUENCY >= 3_300
    np.testing.assert_allclose(gain[:, inside], 1, atol=1e-2)
    kept = np.stack([gain[:, below].mean(axis=1), gain[:, above].mean(axis=1)], axis=1)
    np.testing.assert_allclose(kept, kept.round(), atol=1e-2)
    kinds, counts = np.unique(kept.round(), axis=0, return_counts=True)
    assert kinds.tolist() == [[0, 0], [0, 1], [1, 0]]
    assert counts.min() > 75
    halfway = gain[:, FREQUENCY == 285][kept[:, 0] < 0.5]
    np.testing.assert_allclose(halfway, 0.5, atol=1e-2)


def test_edges_are_drawn_from_their_ranges():
    gain = gains(BandLimit((100, 500), (2_000, 7_000), p=1), 200)
    assert (np.abs(gain[:, (FREQUENCY >= 500) & (FREQUENCY <= 2_000)] - 1) < 1e-2).all()
    reach = np.array([FREQUENCY[row > 0.5].max() for row in gain])
    assert len(set(reach[reach < 7_700])) > 100
    assert reach.min() < 2_600


def test_an_equaliser_joins_its_gains_by_lines_over_octaves():
    db = 20 * np.log10(gains(Equaliser((-10, 10), p=1), 50))
    points = 8_000 / 2.0 ** np.arange(7, -1, -1)
    at_points = np.stack([np.interp(points, FREQUENCY, row) for row in db])
    assert np.abs(at_points).max() == pytest.approx(10, abs=0.3)
    assert at_points.min(axis=0).max() < -7
    assert at_points.max(axis=0).min() > 7
    heard = FREQUENCY >= 63
    for row, known in zip(db, at_points, strict=True):
        line = np.interp(np.log2(FREQUENCY[heard]), np.log2(points), known)
        np.testing.assert_allclose(row[heard], line, atol=0.3)


@pytest.mark.parametrize("taps", [1, 491, 9_900])  # blocks of several sizes
@pytest.mark.parametrize("samples", [100, 20_000])
def test_convolution_in_blocks_is_convolution(samples, taps):
    draw = np.random.default_rng(0)
    wave, filters = draw.uniform(-1, 1, (2, samples)), draw.standard_normal((2, 3, taps)) / np.sqrt(taps)
    delay = taps // 2
    after = convolved(torch.tensor(wave), torch.tensor(filters), delay)
    for row, given, own in zip(after.numpy(), wave, filters, strict=True):
        expected = sum(np.convolve(given**power, one) for power, one in enumerate(own, start=1))
        np.testing.assert_allclose(row, expected[delay : delay + samples], atol=1e-9)
