"""`python -m deepfake_lab.run`: train, evaluate, report, all recorded in MLflow."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shlex
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from deepfake_lab.config import PARENT_RUN_VARIABLE, ModelTraining, build, chosen, launch, resolved, resumed
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from deepfake_lab.data.module import CorpusDataModule
    from deepfake_lab.evaluation.summary import Summary
    from deepfake_lab.models.detector import Detector
    from deepfake_lab.tasks.detection import DetectionTask
    from deepfake_lab.tracking import Run, Tracking

CONTROL = "shuffled_labels"


def run(composed: DictConfig, callbacks: Sequence[pl.Callback] = ()) -> float:
    """Does one run, with more callbacks than are configured, and returns the metric that sweeps optimise.

    Raises:
        LabError: the configuration, the tracking store or the corpus is of no use; nothing has been trained then.
    """
    if composed.resume is not None:
        composed = resumed(composed, HydraConfig.get().overrides.task)
    config = resolved(composed)
    _check_stages(config)

    _quieten()
    import pytorch_lightning as pl

    from deepfake_lab.tasks.memory import keep_memory

    keep_memory()
    tracking: Tracking = build(config["tracking"])
    tracking.connect()  # now, not after an hour of training
    pl.seed_everything(config["seed"], workers=True, verbose=False)
    datamodule: CorpusDataModule = build(config["loader"], corpus=build(config["data"]))
    datamodule.setup()
    parameters = chosen(composed)
    return _tracked_run(config, parameters, tracking, datamodule, callbacks)


def _quieten() -> None:
    """Drops notices of libraries that no user of the lab can act on."""
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")  # a resumed run
    warnings.filterwarnings("ignore", message="Found .* in eval mode at the start of training")  # frozen on purpose
    warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)` is deprecated")  # Lightning on torch
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # devices found, advertisement


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


def _tracked_run(
    config: dict[str, Any],
    parameters: dict[str, Any],
    tracking: Tracking,
    datamodule: CorpusDataModule,
    callbacks: Sequence[pl.Callback],
) -> float:
    """The run proper, inside an MLflow run."""
    from deepfake_lab.evaluation.cards import card_of
    from deepfake_lab.evaluation.report import print_summary
    from deepfake_lab.tasks.features import feature_recipe
    from deepfake_lab.tracking import flatten, source_tags

    run_dir = Path(config["run_dir"])
    run_dir.mkdir(parents=True, exist_ok=True)
    note = run_dir / "run.json"
    known = json.loads(note.read_text()) if config["resume"] and note.is_file() else {}
    begun = known.get("mlflow_run_id")
    command = known.get("command") or shlex.join(
        ["python", "-m", "deepfake_lab.run", *HydraConfig.get().overrides.task]
    )
    tags = source_tags() | {**config["choices"], "seed": str(config["seed"]), "corpus": datamodule.corpus.name}
    with tracking.run(run_dir.name, tags=tags, run_id=begun, parent=os.environ.get(PARENT_RUN_VARIABLE)) as tracked:
        about = {"mlflow_run_id": tracked.id, "tracking_uri": tracking.uri, "command": command}
        note.write_text(json.dumps(about))
        (run_dir / "config.yaml").write_text(OmegaConf.to_yaml(config))
        tracked.log_config(config, flatten(parameters) | config["choices"])
        tracked.log_corpus(datamodule.corpus.name, datamodule.manifest)
        task = _build_task(config)
        datamodule.trim = task.detector.treatment.trim
        tracked.log_metrics(card_of(task.detector).metrics())
        if config["embedding_cache"]:
            task.detector.cache_embeddings(Path(config["embedding_cache"]))
        if config["loader"]["feature_cache"] and "fit" in config["stages"]:
            datamodule.keep_features(feature_recipe(task, datamodule))
        trainer = _build_trainer(config, tracked, callbacks)
        if "fit" in config["stages"]:
            _fit(config, trainer, task, datamodule)
            kept = _kept_metric(trainer, config["metric"])
        if "test" not in config["stages"]:
            _record_detector(run_dir, trainer, datamodule, tracked)
            return kept
        summary = _evaluate(config, trainer, task, datamodule, tracked)
    print_summary(summary)
    print(f"MLflow run {tracked.id} ({run_dir.name}); compare runs: {tracking.ui_hint}")
    if "fit" in config["stages"]:
        return kept
    metrics = summary.metrics()
    return metrics.get(config["metric"], metrics["test/eer"])  # there is no dev in a corpus for evaluation alone


def _build_task(config: dict[str, Any]) -> DetectionTask:
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
    return task


def _new_detector(config: dict[str, Any], training: ModelTraining) -> Detector:
    """The detector to train; an interrupted run's gets its weights from the last checkpoint later on."""
    from deepfake_lab.checkpoint import build_detector, initialise
    from deepfake_lab.models.ensemble import Ensemble

    detector = build_detector(config["model"])
    if isinstance(detector, Ensemble) and training != ModelTraining():
        raise LabError("An ensemble's members are not trained: leave out model.init, freeze, learning_rates, domain.")
    if not _last_checkpoint(config).is_file():
        if training.init:
            print(initialise(detector, training.init))
        else:
            detector.load_pretrained()
    detector.fine_tune(training.freeze, training.learning_rates)
    return detector


def _build_trainer(config: dict[str, Any], tracked: Run, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    configured = [build(callback) for callback in config["callbacks"].values() if callback]
    trainer: pl.Trainer = build(config["trainer"], callbacks=[*configured, *callbacks], logger=tracked.logger)
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
        fit_ensemble(task.detector, datamodule.val_dataloader())
        trainer.validate(task, datamodule=datamodule, verbose=False)  # which calibrates it
    else:
        last = _last_checkpoint(config)
        trainer.fit(task, datamodule=datamodule, ckpt_path=last if last.is_file() else None, weights_only=True)
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if best:  # without a checkpoint callback the last epoch has to do
            task.detector.load_state_dict(load_detector(best).state_dict())
    task.detector.eval()
    task.detector.trained_on = take_census(task.detector, datamodule.split("train"), datamodule.split("dev")).plain()
    save_detector(task.detector, Path(config["run_dir"]) / "detector.ckpt")


def _record_detector(run_dir: Path, trainer: pl.Trainer, datamodule: CorpusDataModule, tracked: Run) -> None:
    """Records the detector that the run has trained, if any: its file, and a model, which a control must not become."""
    file = run_dir / "detector.ckpt"
    if file.is_file():
        tracked.log_file(file)
        corpus = datamodule.corpus
        tracked.log_detector(file, trainer.current_epoch, None if corpus.shuffle_labels else corpus.name)


def _evaluate(
    config: dict[str, Any], trainer: pl.Trainer, task: DetectionTask, datamodule: CorpusDataModule, tracked: Run
) -> Summary:
    """Scores dev and test with the detector, reports and records what it is worth."""
    import pandas as pd

    from deepfake_lab.evaluation.pages.origin import Origin
    from deepfake_lab.evaluation.pages.run import LEARNED_NOTHING
    from deepfake_lab.evaluation.report import write_report
    from deepfake_lab.evaluation.sanity import learned_nothing
    from deepfake_lab.evaluation.scores import score_table
    from deepfake_lab.evaluation.segments import segment_table, summarize_segments
    from deepfake_lab.evaluation.summary import summarize

    if "dev" in datamodule.evaluated:
        trainer.validate(task, datamodule=datamodule, verbose=False)
    trainer.test(task, datamodule=datamodule, verbose=False)
    table = pd.concat([score_table(datamodule.split(name), *task.scored(name)) for name in datamodule.evaluated])
    control = datamodule.corpus.shuffle_labels
    summary = summarize(table, float(task.detector.eer_threshold), control=control)
    reasons = []
    if "dev" in summary.splits:  # a corpus for evaluation alone does not say what was learnt elsewhere
        reasons = learned_nothing(summary.eer_interval("dev"), task.train_losses, task.loss.constant_loss)
    notes = [finding.text for finding in datamodule.findings]
    notes += [f"{'As a control should, learned nothing' if control else LEARNED_NOTHING}: {why}" for why in reasons]
    if reasons and not control:
        notes.append("Do not use this detector: look at the labels, at optim.lr and at the curves in MLflow.")
    counted = Counter[str]()
    for finding in datamodule.findings:
        counted[finding.code] += finding.number
    summary = dataclasses.replace(summary, notes=tuple(notes), skipped=counted["skipped"])
    tracked.set_tags(
        {f"warning.{finding.code}": "true" for finding in datamodule.findings}
        | {"learned_nothing": str(bool(reasons)).lower()}
        | ({"control": CONTROL} if control else {})
    )
    if any(len(datamodule.split(name).partial_spoofs()) for name in datamodule.evaluated):
        segments = segment_table(task.detector.to(trainer.strategy.root_device), datamodule)
        summary = dataclasses.replace(summary, segments=summarize_segments(segments, summary.threshold))
    run_dir = Path(config["run_dir"])
    write_report(table, summary, run_dir / "report", Origin.of_run(run_dir))
    _record_detector(run_dir, trainer, datamodule, tracked)
    numbers = {f"data/{code}": float(number) for code, number in counted.items() if number}
    tracked.log_results(summary.metrics() | numbers, step=trainer.current_epoch, description=summary.to_markdown())
    tracked.log_folder(run_dir / "report", "report")
    return summary


def main() -> None:
    """Entry point."""
    launch("run", run)


if __name__ == "__main__":
    main()
