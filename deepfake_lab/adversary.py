"""`python -m deepfake_lab.adversary`: how far a detector holds against waveforms that are changed to mislead it."""

from __future__ import annotations

import hashlib
import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from deepfake_lab.config import build, launch, resolved
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, LabError

if TYPE_CHECKING:
    from deepfake_lab.adversaries.budget import Budget
    from deepfake_lab.evaluation.attack_report import AttackReport
    from deepfake_lab.evaluation.attacked import Attack, Trials
    from deepfake_lab.evaluation.pages.html import Page
    from deepfake_lab.tracking import Tracking

TARGETS = {"both": (BONAFIDE, SPOOF), "spoof": (SPOOF,), "bonafide": (BONAFIDE,)}
"""Labels of the trials that are changed."""
_DECIDES = ("adversary", "snr_db", "epsilon", "targets", "split", "most", "checked", "batch_size", "seed")
"""Keys on which scores depend."""


def adversary(composed: DictConfig) -> None:
    """Attacks a detector, or goes on with that, reports and records a run.

    Raises:
        LabError: a setting, a checkpoint, the corpus or the tracking store is of no use.
    """
    config = resolved(composed)
    _check(config)
    tracking: Tracking = build(config["tracking"])
    tracking.connect()  # now, not after everything has been attacked
    from deepfake_lab.evaluation.attack_report import write_attack
    from deepfake_lab.evaluation.attacked import Trials
    from deepfake_lab.evaluation.pages.document import print_page
    from deepfake_lab.evaluation.trials import trials_of

    attack = _attack(config)
    manifest = trials_of(build(config["data"]), config["split"], config["most"], config["seed"])
    trials = Trials(manifest, attack.detector)
    folder = _folder(config, trials)
    found = _attacked(config, attack, trials, folder)
    page = write_attack(found, folder)
    run_id = _record(found, page, config, trials, folder, tracking)
    print_page(page)
    print(f"{folder / 'robustness.html'}; MLflow run {run_id}: {tracking.ui_hint}")


def _check(config: dict[str, Any]) -> None:
    for key, known in (("targets", list(TARGETS)), ("split", list(SPLITS))):
        if config[key] not in known:
            raise LabError(f"{key}={config[key]}: choose from {', '.join(known)}.")
    for key, least in (("most", 20), ("batch_size", 1), ("checked", 0), ("replicates", 1)):
        if config[key] < least:
            raise LabError(f"{key}={config[key]}: it must be {least} at least.")
    bound = _bound(config)
    sizes = config[bound]
    if not sizes or not all(map(math.isfinite, sizes)) or (bound == "epsilon" and min(sizes) <= 0):
        raise LabError(f"{bound}={sizes}: give one or more budgets, such as snr_db=[40,30] or epsilon=[0.001].")


def _bound(config: dict[str, Any]) -> str:
    return "snr_db" if config["epsilon"] is None else "epsilon"


def _budgets(config: dict[str, Any]) -> dict[str, Budget]:
    """Budgets by name, the smallest first."""
    from deepfake_lab.adversaries.budget import MaxBudget, SnrBudget

    bound = _bound(config)
    kind = {"snr_db": SnrBudget, "epsilon": MaxBudget}[bound]
    return {f"{bound}={size:g}": kind(size) for size in sorted(set(config[bound]), reverse=bound == "snr_db")}


def _attack(config: dict[str, Any]) -> Attack:
    from deepfake_lab.checkpoint import device_called, load_detector
    from deepfake_lab.evaluation.attacked import Attack

    device = device_called(config["device"])
    detector = load_detector(config["checkpoint"]).to(device)
    source = load_detector(config["source"]).to(device) if config["source"] else detector
    return Attack(detector, source, build(config["adversary"]), TARGETS[config["targets"]], config["seed"])


def _folder(config: dict[str, Any], trials: Trials) -> Path:
    """A place for each set of all that scores depend on, so that the same command finds what it has left there."""
    files = [Path(config[key]).read_bytes() for key in ("checkpoint", "source") if config[key]]
    decides = {key: config[key] for key in _DECIDES} | {"trials": trials.manifest.digest}
    content = json.dumps([decides, [hashlib.sha256(file).hexdigest() for file in files]])
    name = hashlib.sha256(content.encode()).hexdigest()[:8]
    return Path("runs", "adversary", f"{config['choices']['adversary']}-{config['choices']['data']}-{name}")


def _attacked(config: dict[str, Any], attack: Attack, trials: Trials, folder: Path) -> AttackReport:
    """Scores everything, and measures what is left of the detector."""
    from deepfake_lab.evaluation.attack_report import AttackReport, measure
    from deepfake_lab.evaluation.attacked import score_attacked
    from deepfake_lab.evaluation.scores import by_class, write_table
    from deepfake_lab.evaluation.trials import CLEAN, NO_THRESHOLD, threshold_of

    tables = score_attacked(attack, trials, _budgets(config), folder / "parts", config["batch_size"])
    for name, table in tables.items():
        write_table(table, folder / "scores" / name / "trials.parquet")
    threshold = threshold_of(attack.detector, *by_class(tables[CLEAN]))
    notes = []
    if threshold != float(attack.detector.eer_threshold):
        notes.append(f"The detector {NO_THRESHOLD}.")
    choices, transfer = config["choices"], ", found with another detector" if config["source"] else ""
    changed = "" if config["targets"] == "both" else f", {config['targets']} alone changed"
    return AttackReport(
        title=f"{choices['adversary']} on {choices['data']} {config['split']}{changed}{transfer}",
        threshold=threshold,
        levels=measure(tables, threshold, targets=attack.targets, replicates=config["replicates"], seed=config["seed"]),
        notes=notes,
        checked=min(config["checked"], len(trials)),
        suspicions=_suspicions(config, attack, trials, folder),
    )


def _suspicions(config: dict[str, Any], attack: Attack, trials: Trials, folder: Path) -> list[str]:
    """Signs that the detector whose gradients are used hides them; looked for once."""
    from deepfake_lab.data.files import write_whole
    from deepfake_lab.evaluation.attacked import Trials
    from deepfake_lab.evaluation.masking import suspicions
    from deepfake_lab.evaluation.trials import sampled

    if not config["checked"]:
        return []
    kept = folder / "suspicions.json"
    if not kept.is_file():
        checked = Trials(sampled(trials.manifest, config["checked"], config["seed"]), attack.detector)
        batch = checked.batch(0, len(checked))
        found = suspicions(attack.source, batch, attack.adversary, _budgets(config), config["seed"])
        write_whole(kept, json.dumps(found))
    known: list[str] = json.loads(kept.read_text())
    return known


def _record(
    found: AttackReport, page: Page, config: dict[str, Any], trials: Trials, folder: Path, tracking: Tracking
) -> str:
    """Leaves everything in an MLflow run, which a repeated call opens again; gives its id."""
    from deepfake_lab.evaluation.pages.document import to_markdown
    from deepfake_lab.tracking.folder import run_of_folder

    command = shlex.join(["python", "-m", "deepfake_lab.adversary", *HydraConfig.get().overrides.task])
    tags = {"kind": "adversary", "corpus": trials.manifest.table["corpus"][0].as_py()} | config["choices"]
    tags |= {"checkpoint": config["checkpoint"], "source": config["source"] or "white box"}
    tags |= {"masked_gradients": str(bool(found.suspicions)).lower()}
    with run_of_folder(tracking, folder, command, tags) as tracked:
        tracked.log_config(config)
        tracked.log_corpus(config["choices"]["data"], trials.manifest)
        tracked.log_results(found.metrics(), step=0, description=to_markdown(page, "robustness"))
        for path in sorted(folder.glob("robustness.*")):
            tracked.log_file(path)
        tracked.log_folder(folder / "scores", "scores")
    return tracked.id


def main() -> None:
    """Entry point."""
    launch("adversary", adversary)


if __name__ == "__main__":
    main()
