"""Windows scored together get the scores that they get alone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from deepfake_lab.serving.batching import Batcher
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.scoring import score_windows


@pytest.fixture
def batches():
    """Sizes of the batches so far."""
    return []


@pytest.fixture
def batcher(batches):
    made = Batcher(8, 0.05, lambda windows, seconds: batches.append(windows))
    yield made
    made.close()


def windows(speech, count, seed=0):
    return list(speech(count * 0.5, seed).reshape(count, -1))


def test_those_of_many_askers_are_scored_together_as_they_are_alone(detector, speech, batcher, batches):
    asked = [windows(speech, count, count) for count in (1, 3, 5, 2, 9)]
    with ThreadPoolExecutor(len(asked)) as threads:
        given = list(threads.map(lambda waves: batcher.scorer(detector)(waves, True), asked))
    for waves, scores in zip(asked, given, strict=True):
        alone = [score_windows(detector, [wave], True) for wave in waves]
        np.testing.assert_allclose(scores.whole, [one.whole[0] for one in alone], atol=1e-4)
        np.testing.assert_allclose(scores.local, [one.local[0] for one in alone], atol=1e-4)
        np.testing.assert_array_equal(scores.times, alone[0].times)
    assert sum(batches) == 20
    assert max(batches) == 8
    assert len(batches) < 8


def test_a_long_recording_does_not_hold_up_a_stream(detector, speech, monkeypatch):
    order, begin = [], threading.Event()
    batcher = Batcher(4, 0.0)

    def watched(asked, waves, frames):
        begin.wait()
        order.append(([float(wave[0]) for wave in waves], frames))
        return score_windows(asked, waves, frames)

    monkeypatch.setattr("deepfake_lab.serving.batching.score_windows", watched)
    ask = batcher.scorer(detector)
    with ThreadPoolExecutor(3) as threads:
        blocked = threads.submit(ask, [np.zeros(8_000, np.float32)], True)
        while batcher.waiting:
            time.sleep(0.001)
        long = threads.submit(ask, [np.full(8_000, 0.1, np.float32)] * 9, True)
        while batcher.waiting < 9:
            time.sleep(0.001)
        short = threads.submit(ask, [np.full(8_000, 0.2, np.float32)], True)
        while batcher.waiting < 10:
            time.sleep(0.001)
        begin.set()
        for job in (blocked, long, short):
            job.result(30)
    assert order[1][0] == pytest.approx([0.1, 0.2, 0.1, 0.1])
    assert [len(waves) for waves, _ in order] == [1, 4, 4, 2]
    batcher.close()


def test_detectors_do_not_mix_and_one_that_fails_fails_alone(detector, speech, batcher):
    class BrokenDetector(torch.nn.Module):
        eer_threshold = torch.tensor(0.0)

        def forward(self, wave, frames):
            raise RuntimeError("out of memory")

    ask, ask_broken = batcher.scorer(detector), batcher.scorer(BrokenDetector())
    with ThreadPoolExecutor(6) as threads:
        good = [threads.submit(ask, windows(speech, 2), frames) for frames in (True, False, True)]
        bad = [threads.submit(ask_broken, windows(speech, 11), False) for _ in range(3)]
        for job in bad:
            with pytest.raises(RuntimeError, match="out of memory"):
                job.result(30)
        shapes = [job.result(30).local.shape for job in good]
    assert [shape[1] > 0 for shape in shapes] == [True, False, True]
    assert batcher.waiting == 0
    assert len(ask(windows(speech, 1), False).whole) == 1


def test_what_is_left_when_it_closes_gets_an_error(detector, speech):
    batcher = Batcher(4, 30.0)  # waits for more than will come
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(batcher.scorer(detector), windows(speech, 1), False)
        while not batcher.waiting:
            time.sleep(0.001)
        batcher.close()
        with pytest.raises(RuntimeError, match="has stopped"):
            job.result(30)
    with pytest.raises(RuntimeError, match="has stopped"):
        batcher.scorer(detector)(windows(speech, 1), False)


def test_a_judge_says_the_same_through_it(detector, speech, encode, batcher):
    recording = Recording(encode(speech(6.3)), "a.wav")
    alone, together = Judge(detector)(recording), Judge(detector, scorer=batcher.scorer(detector))(recording)
    assert together.score == pytest.approx(alone.score, abs=1e-4)
    np.testing.assert_allclose(together.moments, alone.moments, atol=1e-4)


def test_a_detector_that_gives_no_number_is_no_judge(detector, speech, encode):
    from copy import deepcopy

    from deepfake_lab.audio import AudioError

    broken = deepcopy(detector)
    broken.calibration_offset.fill_(float("nan"))
    with pytest.raises(AudioError, match=r"a\.wav: the detector gives no finite score"):
        Judge(broken)(Recording(encode(speech(1.0)), "a.wav"))
