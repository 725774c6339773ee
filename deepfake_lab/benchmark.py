"""`python -m deepfake_lab.benchmark`: models x front-ends x recipes x seeds, on a corpus or across corpora."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from deepfake_lab.config import (
    PARENT_RUN_VARIABLE,
    BenchmarkConfig,
    RunConfig,
    build,
    compose,
    launch,
    quoted,
    resolved,
)
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.benchmarking.jobs import Job, Plan
    from deepfake_lab.evaluation.matrix import Side
    from deepfake_lab.tracking import Run, Tracking

_OF_RUNS = {entry.name for entry in dataclasses.fields(RunConfig)}
OWN = [entry.name for entry in dataclasses.fields(BenchmarkConfig) if entry.name not in _OF_RUNS]
"""Keys of a benchmark; all others are settings of its runs."""
INSTEAD = {
    "model": "models=[...]",
    "frontend": "frontends=[...], or models=[MODEL+FRONTEND]",
    "seed": "seeds=[...]",
    "run_dir": "folder=...",
    "resume": "calling the benchmark again, which goes on",
    "checkpoint": "corpora={...}, which tests on the others what was trained on one",
    "stages": "corpora={...}, which tests on the others what was trained on one",
}
"""Settings that a benchmark gives to each run, and what to say instead."""
USUAL = "usual"


def benchmark(composed: DictConfig) -> None:
    """Begins a benchmark or goes on with it, and reports on what is done; exits with status 1 if a job has failed.

    Raises:
        LabError: the configuration is of no use, or another than the one that the benchmark was begun with.
    """
    own: Any = OmegaConf.to_container(OmegaConf.masked_copy(composed, OWN), resolve=True)
    words = _words(own["settings"])
    _check(own, words)
    told = {name: [*words, *more] for name, more in _corpora(own["corpora"], words).items()}
    own["recipes"] = _recipes(own["recipes"])
    own["preset"] = str(HydraConfig.get().runtime.choices["benchmark"])
    folder = Path(own["folder"] or f"runs/benchmark/{own['preset']}-{'-'.join(told)}")
    tracked_as = _composed(next(iter(told.values())))["tracking"]
    tracking: Tracking = build({**tracked_as, "system_metrics": False})  # those are for the runs to record
    tracking.connect()  # now, not after an hour of training

    from deepfake_lab.benchmarking.work import alone

    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder) as lock:
        plan = _plan(own, told, tracking).going_on(folder)
        plan = dataclasses.replace(plan, mlflow_run_id=plan.mlflow_run_id or tracking.open_parent(folder.name))
        plan.write(folder)
        failed = _work(plan, folder, lock, own, told, tracking)
    print(f"{folder}; MLflow run {plan.mlflow_run_id}: {tracking.ui_hint}")
    if failed:
        print(f"{failed} of {len(plan.jobs)} runs failed. retry=true takes them up again.", file=sys.stderr)
        sys.exit(1)


def _work(
    plan: Plan, folder: Path, lock: int, own: Mapping[str, Any], told: Mapping[str, list[str]], tracking: Tracking
) -> int:
    """Does what is left to do inside the parent run, reports, and returns how many jobs have failed."""
    from deepfake_lab.benchmarking.jobs import Outcome
    from deepfake_lab.benchmarking.work import Worker
    from deepfake_lab.tracking import source_tags

    parent = plan.mlflow_run_id
    worker = Worker(
        folder, lock, _command(folder, told, own["recipes"]), {**os.environ, PARENT_RUN_VARIABLE: parent}, tracking
    )
    tags = source_tags() | {"benchmark": own["preset"], "corpus": ", ".join(told)}
    with tracking.run(folder.name, tags=tags, run_id=parent) as tracked:
        tracked.log_config(
            {key: own[key] for key in ("models", "frontends", "recipes", "seeds", "settings", "corpora")}
        )
        try:
            worker.work(plan, minutes=own["minutes"], retry=own["retry"])
        finally:  # however it ended, what was done is worth a look
            _report(plan, folder, own["replicates"], tracked)
    failed = sum(Outcome.read(folder / job.name).state == "failed" for job in plan.jobs)
    if failed:
        tracking.close_parent(parent, finished=False)
    return failed


def _words(settings: Sequence[str]) -> list[str]:
    """What every run is told: the settings of the preset, then those of the command line."""
    words = list(settings)
    for text in HydraConfig.get().overrides.task:
        key = re.split(r"[=@]", text.lstrip("+~"))[0]
        if key in INSTEAD:
            raise LabError(f"{text}: a benchmark gives each run its own. Use {INSTEAD[key]}.")
        if key.split(".")[0] not in ("benchmark", *OWN):
            words.append(str(text))
    return words


def _check(own: Mapping[str, Any], words: Sequence[str]) -> None:
    """Refuses what no benchmark can be about."""
    for key in ("models", "frontends", "seeds"):
        if not own[key] or len(set(own[key])) < len(own[key]):
            raise LabError(f"{key}={own[key]}: give one or more, each of them once.")
    corpora = own["corpora"]
    if corpora is None:
        return
    if not isinstance(corpora, list | dict) or not corpora:
        raise LabError(f"corpora={corpora}: give names and settings, such as {{toy: {{}}, office: {{data: folder}}}}.")
    for name in corpora:
        settings = corpora[name] if isinstance(corpora, dict) else None
        _check_entry("corpora", name, settings, f"settings of data, such as {{root: /disk/{name}}}")
    if said := [text for text in words if re.match(r"[+~]*data[.=@]", text)]:
        raise LabError(f"{said[0]}: there are several corpora. Say it of one of them: corpora={{NAME: {{root: ...}}}}.")


def _check_entry(what: str, name: object, settings: object, wanted: str) -> None:
    """Refuses what is no name, or no settings, of a corpus or a recipe."""
    if not re.fullmatch(r"[\w.-]+", str(name)):
        raise LabError(f"{what}: {name}: a name that can be a folder's is needed.")
    if not isinstance(settings, dict | None):
        raise LabError(f"{what}: {name}: {settings}: give {wanted}.")


def _corpora(given: Sequence[str] | Mapping[str, Any] | None, words: Sequence[str]) -> dict[str, list[str]]:
    """What chooses each corpus, by its name."""
    if given is None:
        return {_composed(words)["choices"]["data"]: []}
    corpora = {}
    for name in given:
        settings = dict((given[name] if isinstance(given, Mapping) else None) or {})
        corpora[str(name)] = [f"data={settings.pop('data', name)}", *_leaves("data", settings)]
    return corpora


def _recipes(given: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """What makes each recipe, by its name.

    Raises:
        LabError: a name or a setting is of no use.
    """
    if not isinstance(given, dict | None):
        raise LabError(f"recipes={given}: give names and settings, such as {{plain: {{}}, focal: {{loss: focal}}}}.")
    recipes = {}
    for name, settings in (given or {}).items():
        _check_entry("recipes", name, settings, "settings, such as {loss: focal, optim.lr: 1e-4}")
        for key in settings or {}:
            if key in INSTEAD:
                raise LabError(f"recipes: {name}: {key}: a benchmark gives each run its own. Use {INSTEAD[key]}.")
        recipes[str(name)] = list(_leaves("", settings or {}))
    return recipes


def _leaves(prefix: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Nested settings as overrides."""
    for key, value in settings.items():
        place = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            yield from _leaves(place, value)
        else:
            yield quoted(f"{place}={value if isinstance(value, str) else json.dumps(value)}")


def _composed(words: Sequence[str]) -> dict[str, Any]:
    """Configuration of a run that is told these words."""
    whole = compose("run", ["run_dir=.", *words], with_hydra=True)
    run = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    run.choices = {name: whole.hydra.runtime.choices[name] for name in ("data", "model", "frontend")}
    return resolved(run)


def _plan(own: Mapping[str, Any], told: Mapping[str, list[str]], tracking: Tracking) -> Plan:
    """What is to be done, as far as it makes sense.

    Raises:
        LabError: a configuration or corpus is of no use.
    """
    from deepfake_lab.benchmarking.jobs import Job, Plan
    from deepfake_lab.evaluation.matrix import shared_by
    from deepfake_lab.tracking import flatten

    configs = {name: _composed(words) for name, words in told.items()}
    detectors, left_out = _detectors(own["models"], own["frontends"], next(iter(told.values())))
    for recipe in own["recipes"].values():  # composed once, so that what is wrong is told now
        _composed([*next(iter(told.values())), *_filled(recipe, "folder", "model-frontend", 0)])
    sides = {name: _side(name, config) for name, config in configs.items()}
    untrained = {name: why for name, side in sides.items() if (why := side.why_untrained())}
    left_out |= {f"training on {name}": why for name, why in untrained.items()}
    trained = [name for name in sides if name not in untrained]
    if not detectors or not trained:
        raise LabError(f"nothing can be trained. {'; '.join(f'{what}: {why}' for what, why in left_out.items())}")
    pairs = [(train, test) for train in trained for test in (train, *(name for name in sides if name != train))]
    parts = ("treatment", "loss", "task", "optim", "trainer", "callbacks", "loader", "metric", "mode")
    settings = {"runs": {part: configs[trained[0]][part] for part in parts}}
    settings |= {f"recipe {name}": {"said": shlex.join(recipe)} for name, recipe in own["recipes"].items()}
    settings |= {f"data of {name}": config["data"] for name, config in configs.items()}
    settings |= {" + ".join(pair): config for pair, config in detectors.items()}
    return Plan(
        jobs=[
            Job(*detector, seed, *pair, recipe)
            for seed in own["seeds"]
            for detector in detectors
            for recipe in own["recipes"] or [""]
            for pair in pairs
        ],
        left_out=left_out,
        shared={" > ".join(pair): found for pair in pairs if (found := shared_by(*(sides[name] for name in pair)))},
        unseen=sides[trained[0]].unseen(own["unseen"]),
        settings={name: flatten(config) for name, config in settings.items()},
        command=shlex.join(["python", "-m", "deepfake_lab.benchmark", *HydraConfig.get().overrides.task]),
        tracking_uri=tracking.uri,
        mlflow_run_id="",
        runs_page=f"{tracking.uri.rstrip('/')}/#/experiments/{tracking.connect()}/runs/" if tracking.remote else "",
    )


def _detectors(
    models: Sequence[str], frontends: Sequence[str], words: Sequence[str]
) -> tuple[dict[tuple[str, str], Any], dict[str, str]]:
    """Configurations of the pairs of models and front-ends, and why some pairs are left out."""
    from deepfake_lab.checkpoint import build_detector

    detectors: dict[tuple[str, str], Any] = {}
    left_out: dict[str, str] = {}
    for entry in models:
        model, plus, only = (part.strip() for part in entry.partition("+"))
        for frontend in [only] if plus else frontends:
            config = _composed([*words, f"model={model}", *([] if frontend == USUAL else [f"frontend={frontend}"])])
            pair = model, config["choices"]["frontend"]
            try:
                build_detector(config["model"])
            except (LabError, InstantiationException) as error:
                reason = error.__cause__ if isinstance(error, InstantiationException) else error
                if not isinstance(reason, LabError):
                    raise
                left_out[" + ".join(pair)] = str(reason)
            else:
                detectors[pair] = config["model"]
    return detectors, left_out


def _side(name: str, config: Mapping[str, Any]) -> Side:
    """A corpus, prepared."""
    from deepfake_lab.data.noise import with_trials
    from deepfake_lab.evaluation.matrix import Side

    corpus = with_trials(build(config["data"]))
    return Side(name, corpus.prepare(), corpus.sources)


def _filled(recipe: Sequence[str], folder: Path | str, trained: str, seed: int) -> list[str]:
    """Settings of a recipe, with places of other recipes' detectors filled in."""
    places = {"{folder}": str(folder), "{trained}": trained, "{seed}": str(seed)}
    return [re.sub(r"\{(folder|trained|seed)\}", lambda found: places[found[0]], text) for text in recipe]


def _command(
    folder: Path, told: Mapping[str, Sequence[str]], recipes: Mapping[str, Sequence[str]]
) -> Callable[[Job], list[str]]:
    """What calls the process of a job, given what runs on each corpus and by each recipe are told."""

    def command(job: Job) -> list[str]:
        place = folder / job.name
        call = [sys.executable, "-m", "deepfake_lab.run"]
        if (place / "checkpoints" / "last.ckpt").is_file() and (place / "config.yaml").is_file():
            return [*call, f"resume={place}"]
        chosen = [f"model={job.model}", f"frontend={job.frontend}", f"seed={job.seed}", f"hydra.run.dir={place}"]
        if job.trains and job.recipe:
            chosen += _filled(recipes[job.recipe], folder, f"{job.model}-{job.frontend}", job.seed)
        if not job.trains:
            chosen += ["stages=[test]", f"checkpoint={folder / job.trainer.name / 'detector.ckpt'}"]
        return [*call, *told[job.test], *chosen]

    return command


def _report(plan: Plan, folder: Path, replicates: int, tracked: Run) -> None:
    """Writes, prints and records what has been found so far."""
    from deepfake_lab.evaluation.leaderboard import rank, read_candidates
    from deepfake_lab.evaluation.matrix import report_matrices
    from deepfake_lab.evaluation.pages.document import print_page, to_markdown
    from deepfake_lab.evaluation.pages.leaderboard import leaderboard_page, write_leaderboard

    if len(plan.corpora) > 1:
        name, page = "matrix", report_matrices(folder, folder, replicates=replicates)
    else:
        _measure(plan, folder)
        board = rank(read_candidates(folder), unseen=plan.unseen, replicates=replicates)
        name, page = "leaderboard", leaderboard_page(board, f"Benchmark {folder.name}", plan.left_out, plan.command)
        write_leaderboard(board, page, folder)
    print_page(page)
    for path in sorted(folder.glob(f"{name}*.*")):
        tracked.log_file(path)
    tracked.log_results({}, step=0, description=to_markdown(page, name))


def _measure(plan: Plan, folder: Path) -> None:
    """Records size and speed of a detector of each kind."""
    from deepfake_lab.benchmarking.jobs import Outcome
    from deepfake_lab.checkpoint import load_detector
    from deepfake_lab.evaluation.cards import card_of

    done = {job: Outcome.read(folder / job.name) for job in plan.jobs}
    measured = {job.detector for job, outcome in done.items() if not math.isnan(outcome.parameters)}
    for job, outcome in done.items():
        if outcome.state == "finished" and job.detector not in measured:
            card = card_of(load_detector(folder / job.name / "detector.ckpt"))
            factor = card.real_time_factor[1]
            outcome = dataclasses.replace(outcome, parameters=card.parameters, real_time_factor=factor)
            outcome.write(folder / job.name)
            measured.add(job.detector)


def main() -> None:
    """Entry point."""
    launch("benchmark", benchmark)


if __name__ == "__main__":
    main()
