"""What a study has found: tables and pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.table import Table

from deepfake_lab.data.files import whole, write_whole
from deepfake_lab.evaluation.plots.style import BLUE, GREY
from deepfake_lab.tuning.space import as_text

_BEST = "#D55E00"
_COLOURS = "viridis_r"


def leaders(study: optuna.Study) -> list[FrozenTrial]:
    """Complete trials, best first."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    sign = 1 if study.direction == StudyDirection.MINIMIZE else -1
    return sorted(complete, key=lambda trial: (sign * _value(trial), trial.number))


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of each parameter in the variation of the objective, largest first; empty where trials do not tell.

    Functional ANOVA (Hutter et al., 2014) over the complete trials.
    """
    complete = leaders(study)
    if len(complete) < 5 or len({trial.value for trial in complete}) < 2:
        return {}
    return optuna.importance.get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))


def table(study: optuna.Study, metric: str, count: int = 10) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the best trials, with the last words of the keys where these tell them apart."""
    best = leaders(study)[:count]
    names = list(best[0].params) if best else []
    last = [name.rpartition(".")[2] for name in names]
    titles = [word if last.count(word) == 1 else name for word, name in zip(last, names, strict=True)]
    rows = [
        [str(trial.number), f"{_value(trial):.4f}", *(_short(trial.params[name]) for name in names)] for trial in best
    ]
    return ["trial", metric, *titles], rows


def to_markdown(study: optuna.Study, metric: str, command: str) -> str:
    """The study as text: best trials, how to repeat the best, importances, how trials ended."""
    header, rows = table(study, metric)
    lines = [f"# Sweep {study.study_name}", "", tally(study), ""]
    if rows:
        lines += [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
        lines += ["", "The best again, evaluated on test too:", "", "```bash", command, "```"]
    if shares := importances(study):
        lines += ["", f"Importance: {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}."]
    return "\n".join([*lines, ""])


def tally(study: optuna.Study) -> str:
    """How many trials ended in which way."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    words = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL", "running": "RUNNING"}
    counts = {word: states.count(TrialState[name]) for word, name in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) + "."


def print_report(study: optuna.Study, metric: str, command: str) -> None:
    """Prints how trials ended, the best of them and how to repeat the very best."""
    print(f"\n{tally(study)}")
    header, rows = table(study, metric)
    if not rows:
        return
    printed = Table(*header, title="Best trials", title_justify="left")
    for row in rows:
        printed.add_row(*row)
    Console(width=max(100, Console().width)).print(printed)
    if shares := importances(study):
        print(f"Importance: {', '.join(f'{name} {share:.0%}' for name, share in shares.items())}.")
    print(f"The best again, evaluated on test too:\n  {command}")


def write_report(study: optuna.Study, metric: str, command: str, folder: Path) -> None:
    """Leaves `report.md`, `trials.csv`, `history.png` and `parameters.png` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.md", to_markdown(study, metric, command))
    columns = ("number", "state", "value", "duration", "params", "user_attrs")
    write_whole(folder / "trials.csv", study.trials_dataframe(attrs=columns).to_csv(index=False))
    if leaders(study):
        for name, draw in (("history", history), ("parameters", parameters)):
            with whole(folder / f"{name}.png") as partial:
                draw(study, metric).savefig(partial, dpi=120)


def history(study: optuna.Study, metric: str) -> Figure:
    """Objective of every trial in turn, and the best so far."""
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    complete = sorted(leaders(study), key=lambda trial: trial.number)
    values = np.array([_value(trial) for trial in complete])
    minimise = study.direction == StudyDirection.MINIMIZE
    best = np.minimum.accumulate(values) if minimise else np.maximum.accumulate(values)
    numbers = [trial.number for trial in complete]
    last = len(study.get_trials(deepcopy=False)) - 1
    axes.step([*numbers, last], [*best, best[-1]], where="post", color=_BEST, label="best so far")
    axes.scatter(numbers, values, s=28, color=BLUE, zorder=3, label="complete")
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    if pruned:
        points = [trial.number for trial in pruned], [_value(trial) for trial in pruned]
        axes.scatter(*points, s=28, color=GREY, marker="x", label="pruned, when last seen")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.set_title(f"{study.study_name}: {tally(study).rstrip('.')}", fontsize=10, loc="left")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def parameters(study: optuna.Study, metric: str) -> Figure:
    """Objective of the complete trials against each parameter, the most important first."""
    shares = importances(study)
    complete = leaders(study)
    names = list(shares) or list(complete[0].params)
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(0.8 + 3.1 * columns, 0.4 + 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    scale = Normalize(0, max(trial.number for trial in complete) or 1)
    for axes, name in zip(panels.flat, names, strict=False):
        _slice(axes, complete, name, scale)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_title(f"{shares[name]:.0%}" if shares else "", fontsize=9, loc="right", color=_BEST)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    figure.supylabel(metric, fontsize=10)
    if shares:
        figure.suptitle("Complete trials by parameter, and its importance", fontsize=10)
    figure.colorbar(
        ScalarMappable(scale, _COLOURS), ax=panels, label="trial", fraction=0.03, ticks=MaxNLocator(integer=True)
    )
    return figure


def _slice(axes: Axes, complete: list[FrozenTrial], name: str, scale: Normalize) -> None:
    distribution = complete[0].distributions[name]
    values = [_value(trial) for trial in complete]
    places: list[float]
    if isinstance(distribution, CategoricalDistribution):
        texts = [as_text(choice) for choice in distribution.choices]
        axes.set_xticks(range(len(texts)), texts)
        axes.set_xlim(-0.5, len(texts) - 0.5)
        places = [texts.index(as_text(trial.params[name])) for trial in complete]
    else:
        assert isinstance(distribution, FloatDistribution | IntDistribution)  # for the type checker: there is no other
        axes.set_xscale("log" if distribution.log else "linear")
        places = [trial.params[name] for trial in complete]
        # invisible, but the axis spans the whole range: a best at its edge asks for another range
        axes.scatter([distribution.low, distribution.high], [values[0]] * 2, alpha=0)
    axes.scatter(places, values, s=28, c=[trial.number for trial in complete], cmap=_COLOURS, norm=scale)
    axes.scatter(places[:1], values[:1], s=140, marker="o", facecolors="none", edgecolors=_BEST, linewidths=1.6)
    axes.grid(alpha=0.3)


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None  # complete and reported trials have one
    return trial.value


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else as_text(value)  # type: ignore[arg-type]  # of a distribution
