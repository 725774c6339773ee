"""Sweeps for real on the toy corpus: pruned, killed, resumed, shared, repeated; and the launchers of multirun."""

import contextlib
import io
import json
import re
import shlex
import shutil
import signal
import sys

import pytest

from deepfake_lab import sweep
from deepfake_lab.config import CONF

QUICK = ("experiment=toy", "metric=dev/loss", "trainer.max_epochs=3", "tracking.system_metrics=false")
PRUNE_SOON = ("sweep.pruner.n_startup_trials=1", "sweep.pruner.n_warmup_steps=0")
NOTHING_ELSE = "loader.batch_size: null, model.encoder.dropout: null, model.encoder.hidden: null"


def trials(lab, name="crnn-toy"):
    """Trials of a study, in the order of their numbers."""
    import optuna

    return optuna.load_study(study_name=name, storage=f"sqlite:///{lab.folder}/runs/sweep-{name}/study.db").trials


def parent_and_children(lab, name="crnn-toy"):
    runs = lab.mlflow_runs()
    (parent,) = runs[runs["tags.mlflow.runName"] == f"sweep-{name}"].to_dict("records")
    return parent, runs[runs["tags.mlflow.parentRunId"] == parent["run_id"]].set_index("tags.sweep.trial")


def kill_in_trial(process, number, how):
    """Ends a sweep in the first epoch of a trial."""
    reached = False
    for line in process.stdout:
        reached = reached or line.startswith(f"trial {number}:")
        if reached and line.startswith("epoch   1/"):
            process.send_signal(how)
            break
    return process.communicate(timeout=120)[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, empty_database):
    """Folder of a sweep of five trials, what it printed, and nothing else. Only to copy."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(io.StringIO()) as printed:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["sweep", *QUICK, *PRUNE_SOON, "sweep.trials=5"])
        sweep.main()
    return folder, printed.getvalue()


@pytest.fixture
def swept(lab, finished):
    """A lab in which that sweep was done, and what it printed. MLflow's artifacts stay where they were."""
    shutil.copytree(finished[0], lab.folder, dirs_exist_ok=True)
    return lab, finished[1]


def test_a_sweep_leaves_a_parent_with_a_child_for_each_trial(swept):
    lab, printed = swept
    study = trials(lab)
    assert {trial.state.name for trial in study} == {"COMPLETE", "PRUNED"}
    parent, children = parent_and_children(lab)
    assert parent["status"] == "FINISHED"
    assert parent["tags.multirun"] == "parent"
    best = min(trial.value for trial in study if trial.state.name == "COMPLETE")
    assert parent["metrics.objective"] == pytest.approx(best)
    assert "# Sweep crnn-toy" in parent["tags.mlflow.note.content"]
    assert sorted(children.index) == ["0", "1", "2", "3", "4"]
    for trial in study:
        child = children.loc[str(trial.number)]
        assert child["status"] == "FINISHED"
        assert child["metrics.objective"] == pytest.approx(trial.value)
        assert (child["tags.pruned"] == "true") == (trial.state.name == "PRUNED")
        assert child["tags.sweep.study"] == "crnn-toy"
        for key, value in trial.params.items():
            assert child[f"params.{key}"] == str(value)
    assert "metrics.test/eer" not in children, "a sweep has no business on test"
    for text in ("Searched:", "optim.lr: 0.0001 to 0.01, logarithmic", "Best trials", "make ui"):
        assert text in printed
    folder = lab.folder / "runs/sweep-crnn-toy"
    assert {path.name for path in (folder / "report").iterdir()} == {
        "report.md",
        "trials.csv",
        "history.png",
        "parameters.png",
    }
    assert len(list(folder.glob("trial-*/detector.ckpt"))) == [trial.state.name for trial in study].count("COMPLETE")


def test_the_objective_is_the_best_epoch_and_the_printed_command_repeats_it(swept):
    lab, printed = swept
    (command,) = re.findall(r"^  python -m deepfake_lab\.run (.*)$", printed, re.MULTILINE)
    status, again = lab("run", *shlex.split(command))
    assert status == 0, again
    repeated = lab.mlflow_runs().iloc[-1]
    import mlflow

    history = mlflow.MlflowClient().get_metric_history(repeated["run_id"], "dev/loss")
    best = min(trial.value for trial in trials(lab) if trial.state.name == "COMPLETE")
    assert min(point.value for point in history) == pytest.approx(best, abs=1e-6)
    assert repeated["metrics.test/eer"] >= 0


def test_more_trials_go_on_under_the_same_parent_and_other_settings_are_refused(swept):
    lab, _ = swept
    before, _ = parent_and_children(lab)
    known = [(trial.number, trial.params, trial.value) for trial in trials(lab)]
    status, printed = lab("sweep", *QUICK, *PRUNE_SOON, "sweep.trials=6")
    assert status == 0, printed
    assert "5 of 6 trials so far" in printed
    assert [(trial.number, trial.params, trial.value) for trial in trials(lab)][:5] == known
    parent, children = parent_and_children(lab)
    assert parent["run_id"] == before["run_id"]
    assert len(children) == 6

    for other, complaint in (
        ("loader.window_s=0.3", "was begun with loader.window_s=0.4, not 0.3"),
        ("sweep.space={optim.lr: {high: 0.1}}", "was begun with sweep.space.optim.lr.high=0.01, not 0.1"),
    ):
        status, printed = lab("sweep", *QUICK, "sweep.trials=7", other)
        assert status == 2
        assert complaint in printed
    assert len(trials(lab)) == 6


@pytest.mark.slow
def test_a_sweep_killed_with_no_warning_goes_on_and_ends_like_an_unbroken_one(swept):
    lab, _ = swept
    unbroken = [(trial.params, trial.value) for trial in trials(lab)]
    same = (*QUICK, *PRUNE_SOON, "sweep.trials=5", "sweep.study=killed")
    kill_in_trial(lab.start("deepfake_lab.sweep", *same), 3, signal.SIGKILL)
    left = trials(lab, "killed")
    assert [trial.state.name for trial in left][3:] == ["RUNNING"]
    before, _ = parent_and_children(lab, "killed")

    status, printed = lab("sweep", *same)
    assert status == 0, printed
    assert "trial 3: its process is gone" in printed
    after = trials(lab, "killed")
    assert [trial.number for trial in after if trial.state.name == "FAIL"] == [3]
    done = [(trial.params, trial.value) for trial in after if trial.state.name != "FAIL"]
    assert [params for params, _ in done] == [params for params, _ in unbroken]
    assert [value for _, value in done] == pytest.approx([value for _, value in unbroken])
    parent, children = parent_and_children(lab, "killed")
    assert parent["run_id"] == before["run_id"]
    assert parent["status"] == "FINISHED"
    assert children["status"].to_dict() == {str(n): "KILLED" if n == 3 else "FINISHED" for n in range(6)}


def test_an_interrupted_sweep_says_what_it_has(lab):
    process = lab.start("deepfake_lab.sweep", *QUICK, "trainer.max_epochs=500", "callbacks.early_stopping=null")
    printed = kill_in_trial(process, 0, signal.SIGINT)
    assert process.returncode == 130
    assert "the same command, called again, goes on" in printed
    assert list(lab.mlflow_runs()["status"]) == ["KILLED", "KILLED"]


@pytest.mark.slow
def test_calls_and_processes_share_a_study(lab):
    (lab.folder / "mlflow.db").unlink()  # they have to agree on this too
    command = ("deepfake_lab.sweep", *QUICK, "trainer.max_epochs=1", "sweep.trials=3")
    calls = [lab.start(*command, "sweep.jobs=2"), lab.start(*command)]
    for call in calls:
        printed, _ = call.communicate(timeout=280)
        assert call.returncode == 0, printed
        assert "3 complete." in printed
    assert [trial.number for trial in trials(lab)] == list(range(3))
    parent, children = parent_and_children(lab)
    assert parent["status"] == "FINISHED"
    assert sorted(children.index) == ["0", "1", "2"]
    assert set(children["status"]) == {"FINISHED"}
    assert len(lab.mlflow_runs()) == 4, "no run is lost and none is there twice"


def test_trials_that_all_fail_end_the_sweep(lab):
    space = f"sweep.space={{optim.lr: {{low: 1e30, high: 1e35}}, optim.weight_decay: null, {NOTHING_ELSE}}}"
    status, printed = lab("sweep", *QUICK, space)
    assert status == 2
    assert "3 trials in a row have failed, the last: the training loss is nan" in printed
    assert "Traceback" not in printed
    parent, children = parent_and_children(lab)
    assert [parent["status"], *children["status"]] == ["FAILED"] * 4


def test_a_metric_that_training_does_not_log_is_named(lab):
    status, printed = lab("sweep", *QUICK, "metric=dev/loss/contrast")
    assert status == 2
    assert "metric=dev/loss/contrast: no such metric. Choose from dev/" in printed
    assert "Traceback" not in printed


def test_no_trial_begins_after_the_time_is_up(lab):
    status, printed = lab("sweep", *QUICK, "sweep.timeout_s=0")
    assert status == 0, printed
    assert trials(lab) == []


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["metric=test/eer"], "what has chosen a detector cannot judge it"),
        (["metric=dev/err"], "Did you mean dev/eer"),
        (["mode=least"], "mode=least: input should be 'min' or 'max'"),
        (["stages=[test]", "checkpoint=a.ckpt"], "a sweep trains"),
        (["resume=runs/a"], "resume is for single runs"),
        (["trainer.devices=2"], "a trial takes one device"),
        (["sweep.trials=0"], "both must be at least 1"),
        (["sweep.study=a/b"], "a name that can be a folder's"),
        (["sweep=crn"], "Did you mean crnn"),
        (["sweep.trails=3"], "Did you mean sweep.trials"),
        (["modle=crnn"], "Did you mean mode or model?"),
        (["sweep.pruner.n_warmup=3"], "Did you mean sweep.pruner.n_warmup_steps"),
        (["+sweep.space={optim.lrr: [1, 2]}"], "sweep.space: optim.lrr: no such key. Did you mean optim.lr or"),
        (["+sweep.space={frontend: [mel, mfc]}"], "sweep.space: frontend=mfc: no such choice. Did you mean mfcc?"),
        (["sweep.space={loader.batch_size: [8, few]}"], "sweep.space: loader.batch_size=few: input should be"),
        (["sweep.space={frontend: [mel, mfcc]}"], "To add one, write +sweep.space="),
        (["sweep.space={optim.lr: {low: 0.1}}"], "low=0.1 must be below high=0.01"),
        ([f"sweep.space={{optim.lr: null, {NOTHING_ELSE}}}", "optim.weight_decay=0"], "nothing is left to search"),
    ],
)
def test_mistakes_are_explained_before_any_work(lab, overrides, complaint):
    status, printed = lab("sweep", *QUICK, *overrides)
    assert status == 2, printed
    assert complaint in printed
    assert "Traceback" not in printed
    assert not (lab.folder / "runs").exists()


TRAINED = sorted(path.stem for path in (CONF / "model").glob("*.yaml") if "???" not in path.read_text())


@pytest.mark.parametrize("model", TRAINED)
def test_the_space_of_every_model_fits_it(lab, model):
    """Both ends of every range and every choice compose: the sweep comes as far as its first trial."""
    status, printed = lab("sweep", "data=toy", f"model={model}", "sweep.timeout_s=0")
    assert status == 0, printed
    assert "optim.lr: " in printed


def test_what_the_command_line_fixes_is_not_searched(lab):
    status, printed = lab("sweep", *QUICK, "sweep.timeout_s=0", "optim.lr=1e-3")
    assert status == 0, printed
    assert "optim.lr: " not in printed
    assert "optim.weight_decay: " in printed


@pytest.mark.slow
def test_submitit_runs_the_jobs_of_a_multirun(lab):
    process = lab.start(
        "deepfake_lab.run", "--multirun", *QUICK, "seed=0,1", "hydra/launcher=submitit_local", "trainer.max_epochs=1"
    )
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    runs = lab.mlflow_runs().set_index("tags.mlflow.runName")
    (parent,) = [name for name in runs.index if name.startswith("multirun")]
    children = runs.drop(parent)
    assert sorted(children["tags.seed"]) == ["0", "1"]
    assert set(children["tags.mlflow.parentRunId"]) == {runs.loc[parent, "run_id"]}
    assert set(runs["status"]) == {"FINISHED"}
    assert len(lab.runs) == 2
    assert {json.loads((run / "run.json").read_text())["mlflow_run_id"] for run in lab.runs} == set(children["run_id"])


def test_slurm_is_a_launcher_away(lab):
    status, printed = lab(
        "run", *QUICK, "hydra/launcher=submitit_slurm", "hydra.launcher.partition=gpu", "--cfg", "hydra"
    )
    assert status == 0, printed
    assert "submitit_launcher.SlurmLauncher" in printed
    assert "partition: gpu" in printed
