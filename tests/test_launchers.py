"""Where the jobs of a sweep go: what docs/scale.md has people type."""

import re
import shlex
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[1] / "docs" / "scale.md"


def examples():
    """Arguments of every command of the document that submits jobs to Slurm."""
    text = DOCUMENT.read_text().replace("\\\n", " ")
    commands = [shlex.split(line) for line in text.splitlines() if "hydra/launcher=submitit_slurm" in line]
    return [command[3:] for command in commands if command[:2] == ["python", "-m"]]


@pytest.mark.parametrize(
    ("example", "asked"),
    [
        (0, {"nodes": "2", "ntasks-per-node": "4", "gpus-per-node": "4", "cpus-per-task": "8", "time": "1440"}),
        pytest.param(
            *(1, {"nodes": "1", "ntasks-per-node": "1", "gpus-per-node": "1", "array": "0-19%10"}),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["several-nodes", "array"],
)
def test_what_slurm_is_asked_for(lab, tmp_path, monkeypatch, example, asked):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("srun", "sbatch"):  # Slurm refuses, so that nothing waits for a job
        (programs / name).write_text("#!/bin/sh\nexit 1\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    settings = [argument for argument in examples()[example] if not argument.startswith("tracking.uri=")]
    process = lab.start("deepfake_lab.run", *settings)
    printed = process.communicate(timeout=200)[0]
    assert process.returncode != 0
    assert "sbatch" in printed
    (submission,) = lab.folder.glob("runs/multirun-*/.submitit/.submission_file_*.sh")
    script = submission.read_text()
    requested = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.MULTILINE))
    assert requested | asked == requested
    assert ("export SLURM_KILL_BAD_EXIT=1" in script) == (example == 0)


@pytest.mark.slow
def test_submitit_runs_the_jobs(lab):
    several = ["seed=0,1", "hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"]
    process = lab.start("deepfake_lab.run", "--multirun", "experiment=toy", "trainer.max_epochs=1", *several)
    printed = process.communicate(timeout=280)[0]
    assert process.returncode == 0, printed
    runs = lab.mlflow_runs()
    assert list(runs["status"]) == ["FINISHED"] * 3
    assert set(runs["tags.seed"].dropna()) == {"0", "1"}
    assert len(list(lab.folder.glob("runs/multirun-*/*/report/metrics.json"))) == 2


def test_a_job_that_slurm_queues_again_is_one_run(lab, monkeypatch):
    command = ["experiment=toy", "hydra.run.dir=runs/job"]
    assert lab("run", *command, "trainer.max_epochs=1")[0] == 0
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    status, printed = lab("run", *command, "trainer.max_epochs=2")
    assert status == 0, printed
    assert "epoch   1/" not in printed
    assert list(lab.mlflow_runs()["status"]) == ["FINISHED"]
