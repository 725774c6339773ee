"""Speech in recordings."""

import numpy as np
import pytest

from deepfake_lab.data.corpora.openprompts_audio import pieces


def test_pieces_begin_and_end_with_speech_and_cut_at_the_pause():
    draw = np.random.default_rng(1)
    wave = 1e-5 * draw.standard_normal(16_000 * 9)
    wave[8000:80000] += 0.1 * draw.standard_normal(72000)
    wave[84800:128000] += 0.1 * draw.standard_normal(43200)
    first, second = pieces(wave.astype(np.float32), 1.2)
    assert (first.start, first.stop, second.start, second.stop) == (8000, 80000, 84800, 128000)
    assert first.level == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("wave", [np.zeros(32_000), np.full(32_000, 1e-3), np.zeros(0), 0.1 * np.ones(8_000)])
def test_there_is_no_piece_in_silence_and_in_short_files(wave):
    assert pieces(wave.astype(np.float32), 1.2) == []
