"""`python -m deepfake_lab.run`: train, evaluate, report, all recorded in MLflow."""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
import shlex
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deepfake_lab.config import PARENT_RUN_VARIABLE, ModelTraining, build, chosen, launch, resolved, resumed
from deepfake_lab.tasks.processes import leads, part, together, wanted
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from deepfake_lab.data.module import CorpusDataModule
    from deepfake_lab.evaluation.summary import Summary
    from deepfake_lab.models.detector import Detector
    from deepfake_lab.tasks.detection import DetectionTask
    from deepfake_lab.tracking import Run, Tracking


class Job(NamedTuple):
    """A run as plain values, which any process can be told.

    Attributes:
        config: the resolved configuration.
        parameters: what of it somebody chose.
        command: that began it.
    """

    config: dict[str, Any]
    parameters: dict[str, Any]
    command: str


def run(composed: DictConfig, callbacks: Sequence[pl.Callback] = ()) -> float:
    """Does one run, with more callbacks than are configured, and returns the metric that sweeps optimise.

    Raises:
        LabError: the configuration, the tracking store or the corpus is of no use; nothing has been trained then.
    """
    overrides = HydraConfig.get().overrides.task
    if composed.resume is not None:
        composed = resumed(composed, overrides)
    config = resolved(composed)
    _check_stages(config)
    job = Job(config, chosen(composed), shlex.join(["python", "-m", "deepfake_lab.run", *overrides]))
    _quieten()
    count = wanted(config["trainer"], lambda: build(config["trainer"], logger=False))
    return _shared(job, count, callbacks) if count else work(job, callbacks)


def _shared(job: Job, count: int, callbacks: Sequence[pl.Callback]) -> float:
    """The run in processes of its own on this machine. Whatever becomes of them, its MLflow run ends."""
    from deepfake_lab.data.notes import RUN_NOTE, read_note

    if callbacks:
        raise LabError("A sweep watches every epoch in its own process: leave trainer at one device; sweep.jobs=4.")
    build(job.config["data"]).prepare()  # once, before all ask for it
    try:
        return together(work, count, job)
    except BaseException:
        if run_id := read_note(Path(job.config["run_dir"], "run.json"), RUN_NOTE).get("mlflow_run_id"):
            build(job.config["tracking"]).end_abandoned(run_id)
        raise


def work(job: Job, callbacks: Sequence[pl.Callback] = ()) -> float:
    """The run, in one of the processes that do it together, or in the only one."""
    config = job.config
    _quieten()
    import pytorch_lightning as pl

    from deepfake_lab.tasks.memory import keep_freed_memory

    keep_freed_memory()
    tracking: Tracking = build(config["tracking"])
    if leads():
        tracking.connect()  # now, not after an hour of training
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    datamodule: CorpusDataModule = build(config["loader"], corpus=build(config["data"]))
    datamodule.setup()
    metric = _tracked_run(job, tracking, datamodule, callbacks) if leads() else _follow(config, datamodule)
    atexit.register(part)  # not yet: these processes may have another job
    return metric


def _follow(config: dict[str, Any], datamodule: CorpusDataModule) -> float:
    """What all processes but the first do: the work that is done together, and no records."""
    from deepfake_lab.evaluation.evaluate import score
    from deepfake_lab.tasks.faults import explained

    with explained(datamodule, Path(config["run_dir"])):
        task = _build_task(config, datamodule)
        _keep_what_recurs(config, task, datamodule)
        trainer = _build_trainer(config, False, ())
        if "fit" in config["stages"]:
            _fit(config, trainer, task, datamodule)
        if "test" in config["stages"]:
            score(config, trainer, task, datamodule)
    return math.nan


def _quieten() -> None:
    """Drops notices of libraries that no user of the lab can act on."""
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed run
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")  # frozen on purpose
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    # every process knows the metrics of all trials: they have been gathered
    warnings.filterwarnings("ignore", message="It is recommended to use `self.log.*sync_dist=True")
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)  # devices found, processes begun, advertisement


def _check_stages(config: dict[str, Any]) -> None:
    stages = config["stages"]
    if not stages or set(stages) - {"fit", "test"}:
        raise LabError(f"stages={stages}: choose from fit and test.")
    if "fit" not in stages and config["checkpoint"] is None:
        raise LabError("stages=[test] evaluates a trained detector: name it with checkpoint=runs/NAME/detector.ckpt.")
    if "fit" in stages and config["checkpoint"] is not None:
        raise LabError(
            "checkpoint= is for stages=[test]. To train from it on, use model.init=FILE; to go on with an interrupted "
            "run, resume=RUN_DIR."
        )
    if "fit" not in stages and ModelTraining.of(config["model"]).init is not None:
        raise LabError("model.init= is where training starts. stages=[test] evaluates what checkpoint= names.")


def _tracked_run(job: Job, tracking: Tracking, datamodule: CorpusDataModule, callbacks: Sequence[pl.Callback]) -> float:
    """The run proper, inside an MLflow run."""
    from deepfake_lab.data.files import write_whole
    from deepfake_lab.data.notes import RUN_NOTE, read_note
    from deepfake_lab.evaluation.cards import card_of
    from deepfake_lab.evaluation.evaluate import evaluate
    from deepfake_lab.evaluation.report import print_summary
    from deepfake_lab.tasks.faults import explained
    from deepfake_lab.tracking import OUTBOX, flatten, source_tags

    config = job.config
    run_dir = Path(config["run_dir"])
    run_dir.mkdir(parents=True, exist_ok=True)
    note = run_dir / "run.json"
    requeued = int(os.environ.get("SLURM_RESTART_COUNT", 0)) > 0  # the same job in the same folder, once more
    known = read_note(note, RUN_NOTE) if config["resume"] or requeued else {}
    begun = known.get("mlflow_run_id")
    tags = source_tags() | {**config["choices"], "seed": str(config["seed"]), "corpus": datamodule.corpus.name}
    parent, outbox = os.environ.get(PARENT_RUN_VARIABLE), run_dir / OUTBOX
    with (
        tracking.run(run_dir.name, tags=tags, run_id=begun, parent=parent, outbox=outbox) as tracked,
        explained(datamodule, run_dir),
    ):
        about = {
            "mlflow_run_id": tracked.id,
            "tracking_uri": tracking.uri,
            "command": known.get("command") or job.command,
        }
        write_whole(note, json.dumps(about))
        write_whole(run_dir / "config.yaml", OmegaConf.to_yaml(config))
        tracked.log_config(config, flatten(job.parameters) | config["choices"])
        tracked.log_corpus(datamodule.corpus.name, datamodule.manifest)
        task = _build_task(config, datamodule)
        tracked.log_metrics(card_of(task.detector).metrics())
        _keep_what_recurs(config, task, datamodule)
        trainer = _build_trainer(config, tracked.logger, callbacks)
        if "fit" in config["stages"]:
            _fit(config, trainer, task, datamodule)
            kept = _kept_metric(trainer, config["metric"])
        summary = evaluate(config, trainer, task, datamodule, tracked) if "test" in config["stages"] else None
        _record_detector(run_dir, trainer, datamodule, tracked)
        if summary is not None:
            _record_results(run_dir, summary, trainer.current_epoch, datamodule, tracked)
    if summary is not None:
        print_summary(summary)
    if waiting := len(tracked.outbox):
        print(f"MLflow is away, or its disk is full: {waiting} records of run {tracked.id} wait in {outbox}.")
        print("Send them when it takes them again:")
        print(f"python -m deepfake_lab.report what=outbox run={run_dir}")
    elif summary is not None:
        print(f"MLflow run {tracked.id} ({run_dir.name}); compare runs: {tracking.ui_hint}")
    if summary is None or "fit" in config["stages"]:
        return kept
    metrics = summary.metrics()
    return metrics.get(config["metric"], metrics["test/eer"])  # there is no dev in a corpus for evaluation alone


def _build_task(config: dict[str, Any], datamodule: CorpusDataModule) -> DetectionTask:
    from deepfake_lab.checkpoint import load_detector

    training = ModelTraining.of(config["model"])
    detector = load_detector(config["checkpoint"]) if config["checkpoint"] else _new_detector(config, training)
    if detector.window_s != config["loader"]["window_s"]:
        raise LabError(
            f"loader.window_s={config['loader']['window_s']}: the detector hears windows of {detector.window_s} s. "
            f"Set loader.window_s={detector.window_s}."
        )
    optimizer = build(config["optim"])
    task: DetectionTask = build(config["task"], detector=detector, loss=build(config["loss"]), optimizer=optimizer)
    if training.domain is not None:
        task.hide_domain(training.domain, training.domain_weight)
    datamodule.trim = detector.treatment.trim
    return task


def _keep_what_recurs(config: dict[str, Any], task: DetectionTask, datamodule: CorpusDataModule) -> None:
    """Has embeddings or features made once; to be called when what they cost has been measured."""
    from deepfake_lab.tasks.features import feature_recipe, require_processor

    if config["embedding_cache"]:
        task.detector.cache_embeddings(Path(config["embedding_cache"]))
    if config["loader"]["feature_cache"] and "fit" in config["stages"]:
        require_processor(config["trainer"]["accelerator"])
        datamodule.keep_features(feature_recipe(task, datamodule))


def _new_detector(config: dict[str, Any], training: ModelTraining) -> Detector:
    """The detector to train; an interrupted run's gets its weights from the last checkpoint later on."""
    from deepfake_lab.checkpoint import build_detector, initialise
    from deepfake_lab.models.ensemble import Ensemble

    detector = build_detector(config["model"])
    if isinstance(detector, Ensemble) and training != ModelTraining():
        raise LabError("An ensemble's members are not trained: leave out model.init, freeze, learning_rates, domain.")
    if not _last_checkpoint(config).is_file():
        if training.init:
            told = initialise(detector, training.init)
            if leads():
                print(told)
        else:
            detector.load_pretrained()
    detector.fine_tune(training.freeze, training.learning_rates)
    return detector


def _build_trainer(
    config: dict[str, Any], logger: pl.loggers.Logger | Literal[False], callbacks: Sequence[pl.Callback]
) -> pl.Trainer:
    configured = [build(callback) for callback in config["callbacks"].values() if callback]
    trainer: pl.Trainer = build(config["trainer"], callbacks=[*configured, *callbacks], logger=logger)
    return trainer


def _kept_metric(trainer: pl.Trainer, metric: str) -> float:
    """The metric of the epoch whose detector is kept."""
    best = getattr(trainer.checkpoint_callback, "best_model_score", None)
    return float(trainer.callback_metrics[metric] if best is None else best)


def _last_checkpoint(config: dict[str, Any]) -> Path:
    """Where an interrupted run goes on from."""
    return Path(config["run_dir"]) / "checkpoints" / "last.ckpt"


def _fit(config: dict[str, Any], trainer: pl.Trainer, task: DetectionTask, datamodule: CorpusDataModule) -> None:
    """Trains the detector, or weighs the members of an ensemble on dev, and leaves it, alone, as `detector.ckpt`."""
    from deepfake_lab.checkpoint import load_detector, save_detector
    from deepfake_lab.evaluation.fuse import fit_ensemble
    from deepfake_lab.models.ensemble import Ensemble
    from deepfake_lab.serving.judge import take_census

    if isinstance(task.detector, Ensemble):
        task.detector.to(trainer.strategy.root_device)
        if leads():  # the others get the weights as they validate together
            fit_ensemble(task.detector, datamodule.loader("dev"))
        trainer.validate(task, datamodule=datamodule, verbose=False)  # which calibrates it
    else:
        last = _last_checkpoint(config)
        trainer.fit(task, datamodule=datamodule, ckpt_path=last if last.is_file() else None, weights_only=True)
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if best:  # without a checkpoint callback the last epoch has to do
            task.detector.load_state_dict(load_detector(best).state_dict())
    task.detector.eval()
    if not leads():
        return
    task.detector.trained_on = take_census(task.detector, datamodule.split("train"), datamodule.split("dev")).plain()
    save_detector(task.detector, Path(config["run_dir"]) / "detector.ckpt")


def _record_detector(run_dir: Path, trainer: pl.Trainer, datamodule: CorpusDataModule, tracked: Run) -> None:
    """Records the detector that the run has trained, if any: its file, and a model, which a control must not become."""
    file = run_dir / "detector.ckpt"
    if file.is_file():
        tracked.log_file(file)
        corpus = datamodule.corpus
        tracked.log_detector(file, trainer.current_epoch, None if corpus.shuffle_labels else corpus.name)


def _record_results(run_dir: Path, summary: Summary, epochs: int, datamodule: CorpusDataModule, tracked: Run) -> None:
    """Records what the evaluation has found, and drops what was kept to go on with it."""
    from deepfake_lab.evaluation.evaluate import SCORES, number_found

    numbers = {f"data/{code}": float(number) for code, number in number_found(datamodule).items() if number}
    tracked.log_results(summary.metrics() | numbers, step=epochs, description=summary.to_markdown())
    tracked.log_folder(run_dir / "report", "report")
    shutil.rmtree(run_dir / SCORES, ignore_errors=True)  # the report's tables have them now


def main() -> None:
    """Entry point."""
    launch("run", run)


if __name__ == "__main__":
    main()
