"""Windows do not depend on how audio comes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab import audio
from deepfake_lab.serving.windows import Windows


def cut(wave, parts, cutter):
    found = [window for part in parts for window in cutter.feed(part)]
    return [*found, *cutter.finish()]


@given(st.integers(1, 60), st.integers(1, 12), st.lists(st.integers(0, 60), max_size=6), st.data())
def test_chunks_of_any_size_give_the_windows_of_the_whole(size, length, bounds, data):
    hop = data.draw(st.integers(1, length))
    wave = np.arange(size, dtype=np.float32)
    cutter = Windows(length, hop, origin=7)
    at_once = cut(wave, [wave], cutter)
    cutter.reset()
    in_parts = cut(wave, np.split(wave, sorted(bounds)), cutter)
    assert [window.start for window in in_parts] == [window.start for window in at_once]
    for one, other in zip(in_parts, at_once, strict=True):
        np.testing.assert_array_equal(one.wave, other.wave)
        np.testing.assert_array_equal(one.wave[: one.heard], one.start - 7 + np.arange(one.heard))
    heard = {int(sample) for window in at_once for sample in window.wave}
    assert heard == set(range(size)), "every sample is heard"
    if hop == length:
        np.testing.assert_array_equal(np.stack([window.wave for window in at_once]), audio.windows(wave, length))


def test_nothing_gives_nothing():
    cutter = Windows(4, 2)
    assert cut(None, [np.empty(0, np.float32)], cutter) == []
