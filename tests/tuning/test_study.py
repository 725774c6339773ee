"""Trials are claimed by real processes, some of which are killed; nothing is trained."""

import functools
import multiprocessing
import os
import signal

import pytest
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from deepfake_lab.tuning.space import read_space
from deepfake_lab.tuning.study import SharedStudy
from deepfake_lab.types import LabError

SPACE = read_space({"x": {"low": -1.0, "high": 1.0}, "y": [1, 2, 3]})
SPAWN = multiprocessing.get_context("spawn")


def opened(folder, name="s", mode="min"):
    sampler = functools.partial(TPESampler, n_startup_trials=3)
    return SharedStudy(name, folder / "studies.db", folder / name, mode, sampler, None)


def work(folder, trials, kill_at=None):
    """Claims and ends trials until there are as many as wanted; perhaps dies in the middle of one."""
    study = opened(folder)
    study.fail_dead()
    while trial := study.claim(SPACE, trials, seed=0):
        if trial.number == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        study.tell(trial, (trial.params["x"] - 0.3) ** 2 * trial.params["y"])


def in_process(*arguments):
    process = SPAWN.Process(target=work, args=arguments)
    process.start()
    return process


def outcome(study):
    return [(trial.params, trial.value) for trial in study.counted()]


def test_processes_share_the_trials_and_count_each_once(tmp_path):
    workers = [in_process(tmp_path, 12) for _ in range(2)]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    trials = opened(tmp_path).trials()
    assert [trial.number for trial in trials] == list(range(12))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert len({trial.params["x"] for trial in trials}) == 12


def test_a_killed_study_goes_on_as_if_it_had_not_been(tmp_path):
    for name in ("killed", "unbroken"):
        (tmp_path / name).mkdir()
    killed = in_process(tmp_path / "killed", 8, 5)
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    study = opened(tmp_path / "killed")
    assert [trial.number for trial in study.fail_dead()] == [5]
    assert study.fail_dead() == []
    work(tmp_path / "killed", 8)
    work(tmp_path / "unbroken", 8)
    assert outcome(study) == outcome(opened(tmp_path / "unbroken"))
    assert [trial.state for trial in study.trials()].count(TrialState.FAIL) == 1


def test_a_trial_at_work_is_nobody_elses(tmp_path):
    mine = opened(tmp_path)
    trial = mine.claim(SPACE, 1, seed=0)
    other = opened(tmp_path)
    assert other.fail_dead() == mine.fail_dead() == []
    assert other.claim(SPACE, 1, seed=0) is None
    mine.tell(trial, 1.0)
    assert other.counted()[0].value == 1.0


def test_trials_end_complete_pruned_or_failed_and_all_count(tmp_path):
    study = opened(tmp_path)
    study.tell(study.claim(SPACE, 3, seed=0), 0.5)
    pruned = study.claim(SPACE, 3, seed=0)
    pruned.report(0.9, 0)
    study.tell(pruned)
    study.tell(study.claim(SPACE, 3, seed=0), error="no memory")
    assert [trial.state.name for trial in study.counted()] == ["COMPLETE", "PRUNED", "FAIL"]
    assert study.claim(SPACE, 3, seed=0) is None


def test_failures_in_a_row_are_not_taken_for_bad_luck(tmp_path):
    study = opened(tmp_path)
    for value in (None, None, 1.0, None, None):
        study.tell(study.claim(SPACE, 9, seed=0), value, error="no memory" if value is None else None)
        study.check_failures()
    study.tell(study.claim(SPACE, 9, seed=0), error="no corpus")
    with pytest.raises(LabError, match="3 trials in a row have failed, the last: no corpus"):
        study.check_failures()


def test_other_settings_are_another_study(tmp_path):
    opened(tmp_path).agree({"trainer.max_epochs": "4", "optim": "adam"})
    opened(tmp_path).agree({"trainer.max_epochs": "4", "optim": "adam"})
    with pytest.raises(LabError, match=r"sweep\.study=s was begun with trainer\.max_epochs=4, not 8"):
        opened(tmp_path).agree({"trainer.max_epochs": "8", "optim": "adam"})
    with pytest.raises(LabError, match="was begun with optim=adam, not nothing"):
        opened(tmp_path).agree({"trainer.max_epochs": "4"})
    opened(tmp_path, name="t").agree({"trainer.max_epochs": "8"})


def test_a_file_that_is_no_study_is_named(tmp_path):
    (tmp_path / "studies.db").write_text("this is no database, but it is long enough to be looked at" * 50)
    with pytest.raises(LabError, match=r"sweep\.storage=.*studies\.db: cannot be used .*not a database"):
        opened(tmp_path)


def test_maximising_is_maximising(tmp_path):
    study = opened(tmp_path, mode="max")
    for value in (0.1, 0.9, 0.5):
        study.tell(study.claim(SPACE, 3, seed=0), value)
    assert study.study.best_value == 0.9


def test_a_pruner_sees_the_trials_of_other_processes(tmp_path):
    def study():
        return SharedStudy("s", tmp_path / "s.db", tmp_path, "min", TPESampler, MedianPruner(n_startup_trials=1))

    good, bad = study(), study()
    trial = good.claim(SPACE, 2, seed=0)
    trial.report(0.1, 0)
    assert not trial.should_prune()
    good.tell(trial, 0.1)
    trial = bad.claim(SPACE, 2, seed=0)
    trial.report(0.9, 0)
    assert trial.should_prune()
