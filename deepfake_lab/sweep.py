"""`python -m deepfake_lab.sweep`: search hyperparameters with Optuna; each trial is a run."""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from deepfake_lab.config import (
    CONF,
    PARENT_RUN_VARIABLE,
    USER_ERROR,
    Terminated,
    build,
    chosen,
    compose,
    explain,
    launch,
    quoted,
    resolved,
    suggestion,
)
from deepfake_lab.data.notes import RUN_NOTE, read_note
from deepfake_lab.run import run
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    import optuna

    from deepfake_lab.tracking import Run, Tracking
    from deepfake_lab.tuning.study import SharedStudy


def sweep(composed: DictConfig) -> float | None:
    """Begins a sweep or goes on with it, and returns the best value, if there is one.

    Raises:
        LabError: the configuration is of no use (nothing has been trained then), or trial after trial fails.
    """
    config = resolved(composed)
    overrides = [text for text in HydraConfig.get().overrides.task if not re.match(r"[+~]*(sweep[.=]|run_dir=)", text)]
    _check(config)
    config["sweep"]["space"] = _checked_space(config, overrides)

    from deepfake_lab.tracking import source_tags
    from deepfake_lab.tuning.report import leaders

    settings = config["sweep"]
    study, tracking = _open(config)
    parent = _begin(study, tracking, config, chosen(composed))
    tags = source_tags() | {**config["choices"], "seed": str(config["seed"])}
    with tracking.run(study.folder.name, tags=tags, run_id=parent) as tracked, _children_of(parent):
        tracked.log_config({key: config[key] for key in ("sweep", "metric", "mode", "choices")})
        deadline = time.time() + (float("inf") if settings["timeout_s"] is None else settings["timeout_s"])
        try:
            if settings["jobs"] == 1:
                _work(config, overrides, deadline)
            else:
                _work_side_by_side(config, overrides, deadline)
        finally:  # however it ended, what was found is worth a look
            _report(config, overrides, study, tracked)
    print(f"MLflow run {parent} ({study.folder.name}); compare runs: {tracking.ui_hint}")
    best = leaders(study.study)
    return best[0].value if best else None


def _check(config: Mapping[str, Any]) -> None:
    """Refuses what no sweep can be about."""
    import numpy as np

    from deepfake_lab.metrics.functional import detection_metrics

    settings, metric = config["sweep"], config["metric"]
    known = ["dev/loss", *(f"dev/{name}" for name in detection_metrics(np.array([1.0]), np.array([0.0])))]
    if not metric.startswith("dev/"):
        raise LabError(f"metric={metric}: a sweep chooses on dev alone; what has chosen a detector cannot judge it.")
    if metric not in known and not metric.startswith("dev/loss/"):
        raise LabError(f"metric={metric}: no such metric. {suggestion(metric, known)}Choices: {', '.join(known)}.")
    if "fit" not in config["stages"] or config["resume"] is not None:
        raise LabError("a sweep trains: stages must hold fit, and resume is for single runs.")
    devices = config["trainer"].get("devices", 1)
    if devices != 1 and not (isinstance(devices, list) and len(devices) == 1):
        raise LabError(f"trainer.devices={devices}: a trial takes one device. For several trials at once: sweep.jobs.")
    if settings["trials"] < 1 or settings["jobs"] < 1:
        raise LabError(f"sweep.trials={settings['trials']} sweep.jobs={settings['jobs']}: both must be at least 1.")
    if Path(settings["study"]).name != settings["study"]:
        raise LabError(f"sweep.study={settings['study']}: a name that can be a folder's is needed.")
    space, model = HydraConfig.get().runtime.choices["sweep"], config["choices"]["model"]
    spaces = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))
    if space not in (*spaces, model):
        hint = suggestion(str(space), spaces)
        raise LabError(f"sweep={space}: no such search space. {hint}Choices: {', '.join(spaces)}.")


def _checked_space(config: Mapping[str, Any], overrides: list[str]) -> dict[str, Any]:
    """Entries of the search space, less those that the command line fixes, each tried in the configuration of a run."""
    from deepfake_lab.tuning.space import corners, read_space

    fixed = {text.partition("=")[0].lstrip("+") for text in overrides}
    entries = {key: entry for key, entry in config["sweep"]["space"].items() if key not in fixed}
    for corner in corners(read_space(entries)):
        try:
            with _composed([*overrides, *_as_overrides(corner)]) as composed:
                resolved(composed)
        except (LabError, HydraException, OmegaConfBaseException) as error:
            raise LabError(f"sweep.space: {explain(error, 'sweep', overrides)}") from error
    return entries


def _as_overrides(parameters: Mapping[str, Any]) -> list[str]:
    from deepfake_lab.tuning.space import as_text

    return [quoted(f"{key}={as_text(value)}") for key, value in parameters.items()]


@contextmanager
def _composed(overrides: list[str]) -> Iterator[DictConfig]:
    """Configuration of a run with some overrides; `${hydra:...}` means this run within the block."""
    whole = compose("sweep", ["run_dir=.", *overrides], with_hydra=True)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(whole)
    try:
        yield OmegaConf.masked_copy(whole, [str(key) for key in whole if key not in ("hydra", "sweep")])
    finally:
        HydraConfig.instance().cfg = before


def _open(config: Mapping[str, Any]) -> tuple[SharedStudy, Tracking]:
    """The study and the tracking store, which both can be used."""
    from deepfake_lab.tuning.study import SharedStudy

    settings = config["sweep"]
    tracking: Tracking = build({**config["tracking"], "system_metrics": False})  # those are for the trials to record
    tracking.connect()
    sampler = functools.partial(build, settings["sampler"])
    pruner = build(settings["pruner"]) if settings["pruner"] else None
    storage, folder = Path(settings["storage"]), Path(config["run_dir"])
    return SharedStudy(settings["study"], storage, folder, config["mode"], sampler, pruner), tracking


def _begin(study: SharedStudy, tracking: Tracking, config: Mapping[str, Any], common: Mapping[str, Any]) -> str:
    """Checks that earlier calls searched the same, with the same in common; returns their parent run in MLflow."""
    from deepfake_lab.tracking import flatten
    from deepfake_lab.tuning.space import describe, read_space

    settings = config["sweep"]
    study.agree(flatten({**common, "sweep": {"space": settings["space"]}}))
    print(f"Sweep {settings['study']}: {len(study.counted())} of {settings['trials']} trials so far. Searched:")
    print(describe(read_space(settings["space"])), flush=True)
    with study.lock:
        if "mlflow_run_id" not in study.study.user_attrs:
            study.study.set_user_attr("mlflow_run_id", tracking.open_parent(study.folder.name))
    return str(study.study.user_attrs["mlflow_run_id"])


@contextmanager
def _children_of(parent: str) -> Iterator[None]:
    """Nests the runs of a block, in this process and those that it starts, under a parent run."""
    before = os.environ.get(PARENT_RUN_VARIABLE)
    os.environ[PARENT_RUN_VARIABLE] = parent
    try:
        yield
    finally:
        os.environ.pop(PARENT_RUN_VARIABLE)
        os.environ.update({} if before is None else {PARENT_RUN_VARIABLE: before})


def _work(config: Mapping[str, Any], overrides: list[str], deadline: float) -> None:
    """Does trials until there are as many as wanted, counting those of other processes, or time is up."""
    from optuna.trial import TrialState

    from deepfake_lab.tuning.space import read_space

    study, tracking = _open(config)
    space = read_space(config["sweep"]["space"])
    while time.time() < deadline:
        for dead in study.fail_dead():
            print(f"trial {dead.number}: its process is gone; another takes its place", flush=True)
            _annotate(tracking, config, dead, killed=True)
        trial = study.claim(space, config["sweep"]["trials"], config["seed"])
        if trial is not None:
            _try(trial, study, config, overrides)
            _annotate(tracking, config, study.trials()[trial.number])
            study.check_failures()
        elif study.trials(TrialState.RUNNING):
            time.sleep(0.5)  # others are at work; should one die, its trial is made up for here
        else:
            return


def _try(trial: optuna.Trial, study: SharedStudy, config: Mapping[str, Any], overrides: list[str]) -> None:
    """Does a trial, and tells the study how it went."""
    from optuna import TrialPruned

    from deepfake_lab.tuning.pruning import Pruning

    run_dir = study.folder / f"trial-{trial.number:03d}-{datetime.now():%Y%m%d-%H%M%S-%f}"
    trial.set_user_attr("run_dir", str(run_dir))
    parameters = _as_overrides(trial.params)
    print(f"trial {trial.number}: {' '.join(parameters)}", flush=True)
    try:
        with _composed([*overrides, *parameters, quoted(f"run_dir={run_dir}")]) as composed:
            value = run(composed, [Pruning(trial, config["metric"])])
        if value != value:
            raise LabError(f"{config['metric']} is not a number")
    except TrialPruned as reason:
        study.tell(trial)
        print(f"trial {trial.number}: {reason}", flush=True)
    except (LabError, RuntimeError, MemoryError) as error:  # memory of a GPU that ran out is a RuntimeError
        study.tell(trial, error=str(error))
        print(f"trial {trial.number}: failed: {error}", flush=True)
    else:
        study.tell(trial, value)
        print(f"trial {trial.number}: {config['metric']} {value:.4f}, best {study.study.best_value:.4f}", flush=True)


def _annotate(
    tracking: Tracking, config: Mapping[str, Any], trial: optuna.trial.FrozenTrial, *, killed: bool = False
) -> None:
    """Writes into a trial's run which trial it was and what the study makes of it."""
    note = Path(trial.user_attrs.get("run_dir", "")) / "run.json"
    if run_id := read_note(note, RUN_NOTE).get("mlflow_run_id"):  # else it ended before its run began
        objective = {"objective": trial.value} if trial.value is not None else {}
        tags = {"sweep.study": config["sweep"]["study"], "sweep.trial": str(trial.number)}
        tracking.annotate(run_id, objective, tags, killed=killed)


def _work_side_by_side(config: Mapping[str, Any], overrides: list[str], deadline: float) -> None:
    """Does `_work` in several processes.

    Raises:
        LabError: a process has failed or died.
    """
    overrides = [*overrides, "callbacks.progress_bar=null", "++trainer.enable_progress_bar=false"]  # lines would mix
    context = multiprocessing.get_context("spawn")  # CUDA survives no fork
    arguments = (config, overrides, deadline)
    workers = [context.Process(target=_worker, args=arguments) for _ in range(config["sweep"]["jobs"])]
    for worker in workers:
        worker.start()
    try:
        for worker in workers:
            worker.join()
    except Terminated:  # an interruption reaches them from the terminal
        for worker in workers:
            if worker.pid and worker.is_alive():
                os.kill(worker.pid, signal.SIGINT)
        raise
    if failed := [worker.exitcode for worker in workers if worker.exitcode]:
        raise LabError(f"{len(failed)} of {len(workers)} processes failed (status {failed[0]}). Call again to go on.")


def _worker(config: Mapping[str, Any], overrides: list[str], deadline: float) -> None:
    try:
        _work(config, overrides, deadline)
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        sys.exit(1)  # the parent was interrupted too, and says so


def _report(config: Mapping[str, Any], overrides: list[str], study: SharedStudy, tracked: Run) -> None:
    """Prints, draws and records what has been found."""
    from deepfake_lab.tuning import report

    best = report.leaders(study.study)
    words = [*overrides, *_as_overrides(best[0].params)] if best else []
    command = shlex.join(["python", "-m", "deepfake_lab.run", *words])
    report.write_report(study.study, config["metric"], command, study.folder / "report")
    report.print_report(study.study, config["metric"], command)
    print(f"Pictures and the table of all trials: {study.folder / 'report'}")
    tracked.log_folder(study.folder / "report", "report")
    markdown = report.to_markdown(study.study, config["metric"], command)
    values = {"objective": best[0].value} if best and best[0].value is not None else {}
    tracked.log_results(values, step=0, description=markdown)


def main() -> None:
    """Entry point."""
    launch("sweep", sweep)


if __name__ == "__main__":
    main()
