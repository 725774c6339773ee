"""`python -m deepfake_lab.robustness`: how far detectors hold under noise, codecs, rooms and the like."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from deepfake_lab.config import build, launch, resolved
from deepfake_lab.types import SPLITS, LabError

if TYPE_CHECKING:
    import pandas as pd

    from deepfake_lab.data.manifest import Manifest
    from deepfake_lab.evaluation.conditions import Condition
    from deepfake_lab.evaluation.pages.html import Page
    from deepfake_lab.evaluation.robustness import Place, Robustness
    from deepfake_lab.models.detector import Detector
    from deepfake_lab.tracking import Tracking

FOLDER = Path("runs", "robustness")
MOST_DETECTORS = 6
"""So many can be told apart in a picture."""
_BELOW = ("checkpoints", "detector.ckpt", "best.ckpt", "last.ckpt")
"""Parts of a path that say nothing of the run."""


def robustness(composed: DictConfig) -> None:
    """Scores detectors under conditions, or goes on with that, reports and records a run.

    Raises:
        LabError: a setting, a checkpoint, the corpus or the tracking store is of no use.
    """
    config = resolved(composed)
    _check(config)
    tracking: Tracking = build(config["tracking"])
    tracking.connect()  # now, not after everything has been scored
    from deepfake_lab.checkpoint import device_called, load_detector
    from deepfake_lab.evaluation.pages.document import print_page
    from deepfake_lab.evaluation.pages.robustness import write_robustness
    from deepfake_lab.evaluation.trials import trials_of

    device, files = device_called(config["device"]), _named(config["checkpoints"])
    detectors = {name: load_detector(file).to(device) for name, file in files.items()}
    conditions: dict[str, Condition] = {name: build(node) for name, node in config["conditions"].items() if node}
    manifest = trials_of(build(config["data"]), config["split"], config["most"], config["seed"])
    contents = {name: _content(file) for name, file in files.items()}
    tables = _tables(config, detectors, contents, conditions, manifest)
    found = _measured(config, detectors, tables)
    folder = FOLDER / f"{config['choices']['data']}-{_digest([*contents.values(), *contents, _decides(config)])}"
    page = write_robustness(found, conditions, folder)
    _write_scores(tables, folder)
    run_id = _record(found, page, config, manifest, folder, tracking)
    print_page(page)
    print(f"{folder / 'robustness.html'}; MLflow run {run_id}: {tracking.ui_hint}")


def _check(config: dict[str, Any]) -> None:
    for key, known in (("split", SPLITS), ("cluster", ("group", "speaker"))):
        if config[key] not in known:
            raise LabError(f"{key}={config[key]}: choose from {', '.join(known)}.")
    for key, least in (("most", 20), ("batch_size", 1), ("replicates", 1)):
        if config[key] < least:
            raise LabError(f"{key}={config[key]}: it must be {least} at least.")
    if not any(config["conditions"].values()):
        raise LabError("conditions is empty: name some, such as conditions=[noise,codecs].")


def _named(checkpoints: object) -> dict[str, str]:
    """Files by name: as given, or after the folders of their runs.

    Raises:
        LabError: there are none or too many, or two would have one name.
    """
    if isinstance(checkpoints, dict):
        named = [(str(name), str(file)) for name, file in checkpoints.items()]
    else:
        files = [str(file) for file in (checkpoints if isinstance(checkpoints, list) else [checkpoints])]
        named = [(_run_name(Path(file)), file) for file in files]
    if not 0 < len(dict(named)) == len(named) <= MOST_DETECTORS:
        raise LabError(
            f"checkpoints={checkpoints}: give one to {MOST_DETECTORS}, of names of their own: "
            "'checkpoints={before: runs/A/detector.ckpt, after: runs/B/detector.ckpt}'."
        )
    return dict(named)


def _run_name(file: Path) -> str:
    """The last part of a path that names a run; that of the file alone where there is none."""
    return next((part for part in reversed(file.parts) if part not in _BELOW), file.stem).removesuffix(".ckpt")


def _tables(
    config: dict[str, Any],
    detectors: dict[str, Detector],
    contents: dict[str, str],
    conditions: dict[str, Condition],
    manifest: Manifest,
) -> dict[Place, pd.DataFrame]:
    """Score tables of all detectors under all conditions; each is written when it is there, and read from then on."""
    from deepfake_lab.data.workers import progress
    from deepfake_lab.evaluation.degraded import score_degraded
    from deepfake_lab.evaluation.robustness import Place
    from deepfake_lab.evaluation.scores import read_table, write_table
    from deepfake_lab.evaluation.trials import CLEAN

    harms = [(CLEAN, ""), *((name, level) for name, one in conditions.items() for level in one.levels)]
    paths = {}
    for detector, content in contents.items():
        scored = FOLDER / "scores" / _digest([content, manifest.digest, config["seed"]])
        for name, level in harms:
            paths[Place(detector, name, level)] = scored / f"{_file_name(config['conditions'], name, level)}.parquet"
    left = [place for place, path in paths.items() if not path.is_file()]
    workers = max((os.cpu_count() or 1) - 1, 0) if config["num_workers"] is None else config["num_workers"]
    with progress("conditions scored", len(paths) - len(left), len(paths)) as advance:
        for place in left:
            harm = conditions[place.condition].at(place.level) if place.level else None
            sizes = {"batch_size": config["batch_size"], "num_workers": workers}
            table = score_degraded(detectors[place.detector], manifest, harm, seed=config["seed"], **sizes)
            write_table(table, paths[place])
            advance(1)
    return {place: read_table(path) for place, path in paths.items()}


def _measured(config: dict[str, Any], detectors: dict[str, Detector], tables: dict[Place, pd.DataFrame]) -> Robustness:
    from deepfake_lab.evaluation.robustness import Place, Robustness, groups_of, measure
    from deepfake_lab.evaluation.scores import by_class
    from deepfake_lab.evaluation.trials import CLEAN, NO_THRESHOLD, threshold_of

    thresholds = {
        name: threshold_of(detector, *by_class(tables[Place(name, CLEAN)])) for name, detector in detectors.items()
    }
    notes = [f"{name} {NO_THRESHOLD}." for name, one in detectors.items() if bool(one.eer_threshold.isnan())]
    clean = next(iter(tables.values()))
    settings = {key: config[key] for key in ("cluster", "replicates", "seed")}
    return Robustness(
        title=f"{' and '.join(detectors)} on {config['choices']['data']} {config['split']}, {len(clean)} trials",
        thresholds=thresholds,
        rates=measure(tables, thresholds, **settings),
        groups=groups_of(clean, config["cluster"]),
        notes=notes,
    )


def _write_scores(tables: dict[Place, pd.DataFrame], folder: Path) -> None:
    """All score tables as one, from which the report can be made again."""
    import pandas as pd

    from deepfake_lab.data.files import whole

    labelled = [table.assign(**place._asdict()) for place, table in tables.items()]
    with whole(folder / "scores.parquet") as partial:
        pd.concat(labelled, ignore_index=True).to_parquet(partial, index=False)


def _record(
    found: Robustness,
    page: Page,
    config: dict[str, Any],
    manifest: Manifest,
    folder: Path,
    tracking: Tracking,
) -> str:
    """Leaves everything in an MLflow run, which a repeated call opens again; gives its id."""
    from deepfake_lab.evaluation.pages.document import to_markdown
    from deepfake_lab.tracking.folder import NOTE, run_of_folder

    command = shlex.join(["python", "-m", "deepfake_lab.robustness", *HydraConfig.get().overrides.task])
    tags = {"kind": "robustness", "corpus": manifest.table["corpus"][0].as_py()} | config["choices"]
    with run_of_folder(tracking, folder, command, tags) as tracked:
        tracked.log_config(config)
        tracked.log_corpus(config["choices"]["data"], manifest)
        tracked.log_results(found.metrics(), step=0, description=to_markdown(page, "robustness"))
        for path in sorted(path for path in folder.iterdir() if path.name != NOTE):
            tracked.log_file(path)
    return tracked.id


def _file_name(conditions: dict[str, Any], name: str, level: str) -> str:
    """A name for the scores of a level, which it keeps whatever other levels there are."""
    from deepfake_lab.evaluation.conditions import CHOOSE_LEVELS

    settings = {key: value for key, value in conditions.get(name, {}).items() if key not in CHOOSE_LEVELS}
    return f"{name}-{_digest([settings, level])}" if level else name


def _decides(config: dict[str, Any]) -> dict[str, Any]:
    """What of a configuration the report depends on, beside the files."""
    return {key: config[key] for key in ("data", "conditions", "split", "most", "cluster", "replicates", "seed")}


def _content(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]


def main() -> None:
    """Entry point."""
    launch("robustness", robustness)


if __name__ == "__main__":
    main()
