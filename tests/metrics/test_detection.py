import math
import subprocess
import sys

import pytest
import torch

from deepfake_lab.metrics.detection import DetectionMetrics
from deepfake_lab.metrics.functional import detection_metrics, eer_threshold
from deepfake_lab.types import LabError


@pytest.fixture
def epoch():
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(40) % 2
    return torch.arange(40), label, torch.randn(40, generator=generator) + 1 - 2 * label


def batches(metric, index, label, score, size=7):
    for start in range(0, len(index), size):
        part = slice(start, start + size)
        metric.update(index[part], label[part], score[part])
    return metric


def test_equals_the_pure_functions(epoch):
    index, label, score = epoch
    order = torch.randperm(len(index), generator=torch.Generator().manual_seed(1))
    metric = batches(DetectionMetrics(threshold=0.25), *(column[order] for column in epoch))
    real, fake = score[label == 0], score[label == 1]
    assert metric.compute() == detection_metrics(real, fake, 0.25)
    for ours, expected in zip(metric.trials(), epoch, strict=True):
        assert torch.equal(ours, expected)
    metric.reset()
    assert len(metric.trials()[0]) == 0


def test_repeated_trials_count_once(epoch):
    metric = batches(DetectionMetrics(0.0), *epoch)
    once = metric.compute()
    metric.update(*(column[:5] for column in epoch))
    assert metric.compute() == once
    assert torch.equal(metric.trials()[0], epoch[0])


def test_without_a_threshold_the_trials_give_their_own(epoch):
    _, label, score = epoch
    metric = batches(DetectionMetrics(), *epoch)
    own = eer_threshold(score[label == 0], score[label == 1])
    assert metric.eer_threshold() == own
    unset = metric.compute()
    metric.threshold = own
    metric.update(*(column[:1] for column in epoch))  # a repeated trial, which makes it compute again
    assert metric.compute() == unset


def test_scores_are_never_squashed():
    metric = DetectionMetrics()
    metric.update(torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0.75, 0.25], requires_grad=True))
    metric.update(torch.tensor([2, 3]), torch.tensor([0, 1]), torch.tensor([9.0, -9.0]))
    assert metric.trials()[2].tolist() == [0.75, 0.25, 9.0, -9.0]
    assert not metric.trials()[2].requires_grad


def test_nan_names_the_trials(epoch):
    index, label, score = epoch
    score[[3, 17]] = math.nan
    metric = batches(DetectionMetrics(), index, label, score)
    with pytest.raises(LabError, match=r"2 of 40 scores are NaN: rows 3, 17 of the split"):
        metric.compute()


TWO_PROCESSES = """
import multiprocessing, sys, torch
from deepfake_lab.metrics.detection import DetectionMetrics

def rank_main(rank):
    torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[1], rank=rank, world_size=2)
    index = torch.tensor([[0, 2, 4], [1, 3, 0]])[rank]  # five trials shared by two: the sampler repeats the first
    metric = DetectionMetrics(0.0)
    metric.update(index, index % 2, 2.0 - index)
    values = metric.compute()
    trials = metric.trials()
    assert trials[0].tolist() == [0, 1, 2, 3, 4] and trials[2].tolist() == [2, 1, 0, -1, -2], trials
    assert (values["cm/tp"], values["cm/fp"], values["cm/tn"], values["cm/fn"]) == (1, 1, 2, 1), values
    assert len(metric.index) == 1  # each process keeps its own share
    torch.distributed.destroy_process_group()

ranks = [multiprocessing.get_context("fork").Process(target=rank_main, args=(rank,)) for rank in (0, 1)]
[rank.start() for rank in ranks]
[rank.join() for rank in ranks]
sys.exit(any(rank.exitcode for rank in ranks))
"""


def test_two_processes_see_every_trial_once(tmp_path):
    # a fresh interpreter, since a process that has run PyTorch or started threads cannot be forked safely
    command = [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "store")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
