"""`python -m deepfake_lab.report`: what runs have found, what others' scores say, what the lab holds."""

from __future__ import annotations

import dataclasses
import glob
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from deepfake_lab.config import CONF, compose, launch, resolved
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    import pandas as pd

    from deepfake_lab.evaluation.cards import ModelCard
    from deepfake_lab.evaluation.compare import Estimate
    from deepfake_lab.evaluation.summary import Summary


def report(composed: DictConfig) -> None:
    """Prints a report.

    Raises:
        LabError: there is no such report, or what it is to be about cannot be used.
    """
    config = resolved(composed)
    if config["what"] not in WHAT:
        raise LabError(f"what={config['what']}: no such report. Choose from {', '.join(WHAT)}.")
    if config["cluster"] not in ("group", "speaker"):
        raise LabError(f"cluster={config['cluster']}: choose group or speaker.")
    WHAT[config["what"]](config)


def _report_run(config: dict[str, Any]) -> None:
    """Writes the report of a run anew, from its score tables."""
    from deepfake_lab.data.notes import read_note
    from deepfake_lab.evaluation.pages.origin import Origin
    from deepfake_lab.evaluation.report import print_summary, read_notes, read_scores, read_segments, write_report
    from deepfake_lab.evaluation.segments import summarize_segments

    folder = _folder(_needed(config, "run"))
    table = read_scores(folder)
    decided = folder / "report" / "confusion_matrix.json"  # of a detector that another corpus's dev has decided on
    threshold = read_note(decided, {"threshold": float}).get("threshold")
    threshold = _dev_threshold(table) if threshold is None else threshold
    known = read_notes(folder)
    summary = _summary(table, threshold, config, control=known.control)
    summary = dataclasses.replace(summary, notes=known.notes, skipped=known.skipped)
    if (segments := read_segments(folder)) is not None:
        summary = dataclasses.replace(summary, segments=summarize_segments(segments, threshold))
    write_report(table, summary, Path(config["output"] or folder / "report"), Origin.of_run(folder))
    print_summary(summary)


def _report_scores(config: dict[str, Any]) -> None:
    """Reports on scores that any system has left in a file."""
    import pandas as pd

    from deepfake_lab.evaluation.pages.origin import Origin
    from deepfake_lab.evaluation.report import print_summary, write_report

    table = _foreign(config, "scores", "key", "test")
    if config["dev_scores"]:
        from deepfake_lab.evaluation.calibrate import calibrated

        dev = _foreign(config, "dev_scores", "dev_key", "dev")
        table = calibrated(pd.concat([dev, table], ignore_index=True))
    summary = _summary(table, _dev_threshold(table), config)
    print_summary(summary)
    if config["asv"]:
        _print_tandem(table[table["split"] == "test"], Path(config["asv"]))
    if config["output"]:
        write_report(table, summary, Path(config["output"]), Origin(config["scores"]))


def _report_compare(config: dict[str, Any]) -> None:
    """Compares two detectors, or several seeds of each, over the trials that both have scored."""
    from deepfake_lab.evaluation.compare import compare
    from deepfake_lab.evaluation.report import print_comparisons
    from deepfake_lab.evaluation.scores import attack_names, of_attacks
    from deepfake_lab.types import SPOOF

    sides = {name: _tables(config, name) for name in ("first", "second")}
    settings = _settings(config)
    names = (_name(config["first"]), _name(config["second"]))
    split = config["split"] or "test"
    overall = compare(*sides.values(), **settings)
    print_comparisons(overall, names, f"{split}, all trials")
    first = sides["first"][0]
    spoofs = first[first["label"] == SPOOF]
    for attack, title in sorted(set(zip(spoofs["attack"], attack_names(spoofs), strict=True))):
        parts = [[of_attacks(table, [attack]) for table in side] for side in sides.values()]
        print_comparisons(compare(*parts, measures=("eer",), **settings), names, f"{split}, {title} alone")
    if config["output"]:
        estimates = (overall[0].first, overall[0].second)
        _draw_seeds(dict(zip(names, sides.values(), strict=True)), estimates, Path(config["output"]))


def _report_fuse(config: dict[str, Any]) -> None:
    """Fuses the scores of runs and says what that gains over the one that is best on dev."""
    from deepfake_lab.evaluation.compare import compare
    from deepfake_lab.evaluation.fuse import fuse
    from deepfake_lab.evaluation.pages.origin import Origin
    from deepfake_lab.evaluation.report import print_comparisons, read_scores, write_report
    from deepfake_lab.evaluation.scores import by_class
    from deepfake_lab.metrics.functional import eer

    given = _all_folders(_needed(config, "runs"))
    folders = {folder.name: folder for folder in given}
    if len(folders) < max(2, len(given)):
        raise LabError(f"what=fuse needs two runs or more in runs=..., with names of their own, not {len(folders)}.")
    tables = {name: read_scores(folder) for name, folder in folders.items()}
    fused = fuse(tables, config["fusion"])
    for name, weight in zip(tables, fused.weights.weights, strict=True):
        print(f"{weight:+.3f} x {name}")
    of_dev = {name: eer(*by_class(table[table["split"] == "dev"])) for name, table in tables.items()}
    best = min(of_dev, key=of_dev.__getitem__)  # the first, where there is no dev
    alone = fuse({best: tables[best]}).table  # calibrated as the fusion is, lest the gain be that of calibration
    split = config["split"] or "test"
    sides = ([table[table["split"] == split]] for table in (alone, fused.table))
    print_comparisons(compare(*sides, **_settings(config)), (best, "fusion"), f"{split}, all trials")
    if config["output"]:
        summary = _summary(fused.table, _dev_threshold(fused.table), config)
        write_report(fused.table, summary, Path(config["output"]), Origin(f"Fusion of {', '.join(tables)}"))


def _draw_seeds(runs: dict[str, list[pd.DataFrame]], estimates: tuple[Estimate, Estimate], folder: Path) -> None:
    from deepfake_lab.evaluation.plots.curves import seeds

    folder.mkdir(parents=True, exist_ok=True)
    seeds(runs, dict(zip(runs, estimates, strict=True))).savefig(folder / "comparison.png", dpi=120)
    print(f"Picture: {folder / 'comparison.png'}")


def _report_promote(config: dict[str, Any]) -> None:
    """Makes a run's detector the champion of its registered model if it is shown to be better; if not, status 1."""
    from deepfake_lab.config import build
    from deepfake_lab.evaluation.compare import compare, in_words
    from deepfake_lab.tracking.registry import Registry

    tracking = build(config["tracking"])
    registry = Registry(tracking)
    run_id = _run_id(_needed(config, "run"))
    name = registry.name_of(run_id)
    champion = registry.champion(name)
    if champion is None:
        print(f"{registry.promote(run_id, 'The first champion: there was none to beat.').uri} is the champion.")
        return
    if champion.run_id == run_id:
        print(f"{champion.uri} is the champion already.")
        return
    split = config["split"] or "dev"  # test is for reporting: it chooses nothing
    tables = [[tracking.score_table(one, split)] for one in (champion.run_id, run_id)]
    (found,) = compare(*tables, measures=("eer",), **_settings(config))
    words = in_words(found, "champion", "challenger", f"EER on {split}")
    print(words)
    if found.better != "second":
        print(f"{champion.uri} stays the champion.")
        sys.exit(1)
    print(f"{registry.promote(run_id, words).uri} is the champion.")


def _run_id(name: str) -> str:
    """MLflow id of a run, given that or its folder."""
    from deepfake_lab.data.notes import RUN_NOTE, read_note

    return str(read_note(Path(name) / "run.json", RUN_NOTE).get("mlflow_run_id", name))


def _print_tandem(table: pd.DataFrame, path: Path) -> None:
    from deepfake_lab.evaluation.official import read_asv
    from deepfake_lab.evaluation.scores import by_class
    from deepfake_lab.metrics.functional import min_tdcf_2019, min_tdcf_2021

    classes, asv = by_class(table), read_asv(path)
    print(f"min t-DCF: {min_tdcf_2019(*classes, asv):.4f} (2019), {min_tdcf_2021(*classes, asv):.4f} (2021)")


def _summary(table: pd.DataFrame, threshold: float, config: dict[str, Any], *, control: bool = False) -> Summary:
    from deepfake_lab.evaluation.summary import summarize

    return summarize(table, threshold, control, **_settings(config))


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: config[name] for name in ("cluster", "replicates", "seed")}


def _dev_threshold(table: pd.DataFrame) -> float:
    """Score at which errors on dev are equal; NaN without dev, or a dev of one class."""
    from deepfake_lab.evaluation.scores import by_class
    from deepfake_lab.metrics.functional import eer_threshold

    return eer_threshold(*by_class(table[table["split"] == "dev"]))


def _foreign(config: dict[str, Any], scores: str, key: str, split: Any) -> pd.DataFrame:  # noqa: ANN401
    from deepfake_lab.evaluation.official import read_official
    from deepfake_lab.evaluation.scores import read_table

    path = Path(_needed(config, scores))
    if path.suffix == ".parquet":
        return read_table(path).assign(split=split)
    return read_official(path, Path(config[key]) if config[key] else None, subset=config["subset"], split=split)


def _tables(config: dict[str, Any], side: str) -> list[pd.DataFrame]:
    """Score tables of a side of the comparison, one a seed."""
    from deepfake_lab.evaluation.report import read_scores

    folders = _all_folders(_needed(config, side))
    tables = [read_scores(folder) for folder in folders]
    split = config["split"] or "test"
    chosen = [table[table["split"] == split] for table in tables]
    for folder, table in zip(folders, chosen, strict=True):
        if table.empty:
            raise LabError(f"{folder}: has no scores of split={split}. Choose another split.")
    return chosen


def _all_folders(given: object) -> list[Path]:
    """Folders that a name, a pattern or a list of these stands for."""
    patterns = [str(one) for one in (given if isinstance(given, list) else [given])]
    return [Path(path) for one in patterns for path in sorted(glob.glob(one)) or [str(_folder(one))]]


def _folder(name: str) -> Path:
    if not Path(name).is_dir():
        raise LabError(f"{name}: no such folder. Name the folder of a run: runs/NAME.")
    return Path(name)


def _name(given: object) -> str:
    return ", ".join(Path(str(one)).name for one in given) if isinstance(given, list) else Path(str(given)).name


def _needed(config: dict[str, Any], key: str) -> Any:  # noqa: ANN401  # a name, or a list of names
    if not config[key]:
        raise LabError(f"what={config['what']} needs {key}=... (--help says what).")
    return config[key]


def _report_drift(config: dict[str, Any]) -> None:
    """Compares what a service has judged with what its detector was trained on."""
    from deepfake_lab.checkpoint import load_detector
    from deepfake_lab.config import build
    from deepfake_lab.evaluation.drift import report_drift
    from deepfake_lab.serving.census import Census, KeptCensus

    checkpoint, file = (Path(_needed(config, key)) for key in ("checkpoint", "census"))
    if not file.is_file():
        raise LabError(f"census={file}: no such file. A service keeps one: serve census=FILE.")
    trained_on = load_detector(checkpoint).trained_on
    if trained_on is None:
        raise LabError(f"checkpoint={checkpoint}: does not say what it was trained on. Train it again.")
    folder = Path(config["output"] or f"runs/drift-{file.stem}")
    shift = report_drift(Census(trained_on), KeptCensus(file).now(), folder)
    with build(config["tracking"]).run(folder.name, tags={"report": "drift"}) as tracked:
        tracked.log_metrics({f"drift/psi/{name}": value for name, value in shift.items()})
        tracked.log_folder(folder, "drift")
    print(f"{folder / 'drift.png'}, in MLflow as {folder.name}")


def _report_matrix(config: dict[str, Any]) -> None:
    """Writes the cross-corpus matrix of a benchmark anew, from the score tables of its runs."""
    from deepfake_lab.evaluation.matrix import report_matrices
    from deepfake_lab.evaluation.pages.document import print_page

    folder = _folder(_needed(config, "run"))
    print_page(report_matrices(folder, Path(config["output"] or folder), **_settings(config)))


def _report_models(config: dict[str, Any]) -> None:
    """Model cards: every model with its usual front-end, unless some are named."""
    from deepfake_lab.evaluation.cards import print_cards

    files = sorted((CONF / "model").glob("*.yaml"))
    complete = [path.stem for path in files if "???" not in path.read_text()]  # an ensemble is what its checkpoints are
    print_cards(list(_cards(config["models"] or complete)))


def _cards(models: list[str]) -> Iterator[tuple[str, str, ModelCard]]:
    from rich.console import Console
    from rich.progress import track

    from deepfake_lab.checkpoint import build_detector
    from deepfake_lab.evaluation.cards import card_of

    for model in track(models, "measuring", console=Console(stderr=True), transient=True):
        composed = compose("run", [f"model={model}"])
        if missing := sorted(OmegaConf.missing_keys(composed.model)):
            raise LabError(f"models={model}: has no card by itself, it needs {missing[0]}. A run of it logs one.")
        config: Any = OmegaConf.to_container(composed.model, resolve=True)
        frontend = str(config["frontend"]["_target_"]).rpartition(".")[2]
        yield model, frontend, card_of(build_detector(config))


def _report_outbox(config: dict[str, Any]) -> None:
    """Sends what a run has to record, and could not while MLflow was away."""
    from deepfake_lab.data.notes import RUN_NOTE, read_note
    from deepfake_lab.tracking import OUTBOX, Tracking

    folder = _folder(_needed(config, "run"))
    note, outbox = folder / "run.json", folder / OUTBOX
    if not outbox.is_file():
        print(f"{outbox}: does not exist, so MLflow has it all")
        return
    about = read_note(note, RUN_NOTE)
    if not about.keys() >= {"tracking_uri", "mlflow_run_id"}:
        raise LabError(f"{note}: does not tell the run's place in MLflow. Name the folder of a run: runs/NAME.")
    if waiting := Tracking(about["tracking_uri"]).deliver(about["mlflow_run_id"], outbox):
        raise LabError(f"{outbox}: {waiting} records wait still: {about['tracking_uri']} is away. Try again later.")
    print(f"{outbox}: sent to {about['tracking_uri']}, run {about['mlflow_run_id']}")


WHAT: dict[str, Callable[[dict[str, Any]], None]] = {
    "run": _report_run,
    "compare": _report_compare,
    "fuse": _report_fuse,
    "matrix": _report_matrix,
    "drift": _report_drift,
    "promote": _report_promote,
    "scores": _report_scores,
    "models": _report_models,
    "outbox": _report_outbox,
}
"""The reports that there are."""


def main() -> None:
    """Entry point."""
    launch("report", report)


if __name__ == "__main__":
    main()
