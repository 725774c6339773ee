"""What a trained detector is worth: dev and test scored through the Trainer, summed up, and reported."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
from torch import Tensor

from deepfake_lab.evaluation.kept import KeptScores, digest
from deepfake_lab.evaluation.pages.origin import Origin
from deepfake_lab.evaluation.pages.run import LEARNED_NOTHING
from deepfake_lab.evaluation.report import write_report
from deepfake_lab.evaluation.sanity import learned_nothing
from deepfake_lab.evaluation.scores import score_table
from deepfake_lab.evaluation.segments import segment_table, summarize_segments
from deepfake_lab.evaluation.summary import Summary, summarize

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from deepfake_lab.data.module import CorpusDataModule
    from deepfake_lab.tasks.detection import DetectionTask
    from deepfake_lab.tracking import Run
    from deepfake_lab.types import Split

CONTROL: Final = "shuffled_labels"
"""Tag of a run whose labels say nothing, so that neither should its detector."""

SCORES: Final = "scores"
"""Folder, in the run's, of scores that are kept until the report is written."""


def score(
    config: dict[str, Any], trainer: pl.Trainer, task: DetectionTask, datamodule: CorpusDataModule
) -> dict[Split, tuple[Tensor, Tensor, Tensor]]:
    """Scores dev and test, but for what an interrupted run has kept; see `DetectionTask.scored`."""
    heard = {"precision": config["trainer"]["precision"], "trim": datamodule.trim}
    heard |= {key: config["loader"][key] for key in ("window_s", "eval_crop", "padding")}
    for name in datamodule.evaluated:
        split = datamodule.split(name)
        folder = Path(config["run_dir"]) / SCORES / f"{name}-{digest(task.detector, split, heard)[:16]}"
        place = {"rank": trainer.global_rank, "world": trainer.world_size}
        kept = KeptScores(folder, len(split), config["scores_every"], **place)
        task.keep(name, kept)
        datamodule.remaining[name] = kept.rows
    if "dev" in datamodule.evaluated:
        trainer.validate(task, datamodule=datamodule, verbose=False)
    trainer.test(task, datamodule=datamodule, verbose=False)
    datamodule.remaining.clear()
    return {name: task.scored(name) for name in datamodule.evaluated}


def evaluate(
    config: dict[str, Any], trainer: pl.Trainer, task: DetectionTask, datamodule: CorpusDataModule, tracked: Run
) -> Summary:
    """Scores dev and test, writes the report into the run's folder, and tags the run with its warnings."""
    scored = score(config, trainer, task, datamodule)
    table = pd.concat([score_table(datamodule.split(name), *scores) for name, scores in scored.items()])
    control = datamodule.corpus.shuffle_labels
    summary = summarize(table, float(task.detector.eer_threshold), control=control)
    reasons = []
    if "dev" in summary.splits:  # a corpus for evaluation alone does not say what was learnt elsewhere
        reasons = learned_nothing(summary.eer_interval("dev"), task.train_losses, task.loss.constant_loss)
    notes = _notes(datamodule, reasons, control=control)
    summary = dataclasses.replace(summary, notes=notes, skipped=number_found(datamodule)["skipped"])
    if any(len(datamodule.split(name).partial_spoofs()) for name in datamodule.evaluated):
        segments = segment_table(task.detector.to(trainer.strategy.root_device), datamodule)
        summary = dataclasses.replace(summary, segments=summarize_segments(segments, summary.threshold))
    tracked.set_tags(
        {f"warning.{finding.code}": "true" for finding in datamodule.findings}
        | {"learned_nothing": str(bool(reasons)).lower()}
        | ({"control": CONTROL} if control else {})
    )
    run_dir = Path(config["run_dir"])
    write_report(table, summary, run_dir / "report", Origin.of_run(run_dir))
    return summary


def number_found(datamodule: CorpusDataModule) -> Counter[str]:
    """How many utterances each kind of finding is about."""
    counted = Counter[str]()
    for finding in datamodule.findings:
        counted[finding.code] += finding.number
    return counted


def _notes(datamodule: CorpusDataModule, reasons: list[str], *, control: bool) -> tuple[str, ...]:
    """Sentences that stand above all numbers: findings about the corpus, and why nothing has been learnt."""
    notes = [finding.text for finding in datamodule.findings]
    notes += [f"{'As a control should, learned nothing' if control else LEARNED_NOTHING}: {why}" for why in reasons]
    if reasons and not control:
        notes.append("Do not use this detector: look at the labels, at optim.lr and at the curves in MLflow.")
    return tuple(notes)
