"""Jobs here are small programs; `tests/test_benchmark.py` has real runs."""

import math
import os
import subprocess
import sys
import threading
import time

import pytest

from deepfake_lab.benchmarking.jobs import Job, Outcome, Plan
from deepfake_lab.benchmarking.work import Worker, alone

JOBS = [Job("m", "f", seed, "a", test) for seed in (0, 1) for test in ("a", "b")]
LEAVE = (
    "import pathlib, sys; place = pathlib.Path(sys.argv[1]) / 'report'; (place / 'scores/test').mkdir(parents=True); "
    "(place / 'metrics.json').write_text('{\"dev/eer\": 0.25, \"test/eer\": 0.5}'); "
    "(place / 'scores/test/trials.parquet').touch(); sum(range(10**7)); "
    "import os; os.fstat(int(sys.argv[2]))"
)
"""What a run leaves, and some work; ends well if it has inherited the lock."""


@pytest.fixture
def plan():
    return Plan(JOBS, {}, {}, [], {}, "", "", "", "")


@pytest.fixture
def worker(tmp_path):
    """Makes a worker whose jobs end well, but for those that are told to fail."""

    def make(failing=(), lock=None):
        def command(job):
            program = "import sys; print('no'); sys.exit(3)" if job.name in failing else LEAVE
            return [sys.executable, "-c", program, str(tmp_path / job.name), str(lock)]

        return Worker(tmp_path, lock, command, os.environ, tracking=None)

    with alone(tmp_path) as lock:
        yield lambda failing=(): make(failing, lock)


def states(folder):
    return [Outcome.read(folder / job.name).state for job in JOBS]


def test_what_is_done_stays_and_what_needs_a_failed_job_waits(worker, plan, tmp_path, capsys):
    worker(failing=[JOBS[0].name]).work(plan)
    assert states(tmp_path) == ["failed", "new", "finished", "finished"]
    printed = capsys.readouterr().out
    assert f"{JOBS[0].name}: FAILED with exit status 3" in printed
    assert f"{JOBS[2].name}: dev EER 25.00 %" in printed
    assert f"{JOBS[3].name}: test EER 50.00 %" in printed
    outcome = Outcome.read(tmp_path / JOBS[2].name)
    assert outcome.wall_s > 0.05
    assert outcome.processor_s > 0.05

    kept = [Outcome.read(tmp_path / job.name) for job in JOBS]
    worker().work(plan)
    assert [Outcome.read(tmp_path / job.name) for job in JOBS] == kept
    worker().work(plan, retry=True)
    assert states(tmp_path) == ["finished"] * 4
    assert Outcome.read(tmp_path / JOBS[0].name).attempts == 2
    assert math.isnan(Outcome.read(tmp_path / JOBS[0].name).wall_s), "nobody knows what its attempts took in all"
    assert Outcome.read(tmp_path / JOBS[2].name) == kept[2]


def test_no_job_begins_after_the_time(worker, plan, tmp_path):
    worker().work(plan, minutes=0)
    assert states(tmp_path) == ["new"] * 4


def test_the_lock_lasts_as_long_as_a_process_that_inherited_it(tmp_path, capsys):
    with alone(tmp_path) as lock:
        orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    entered = threading.Event()

    def enter():
        with alone(tmp_path):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    time.sleep(0.3)
    assert not entered.is_set()
    orphan.communicate(b"\n")
    waiting.join(10)
    assert entered.is_set()
    assert "still at work here; waiting for it" in capsys.readouterr().out
