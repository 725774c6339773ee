import csv

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from deepfake_lab.tuning import report
from deepfake_lab.tuning.space import read_space

SPACE = read_space(
    {"optim.lr": {"low": 1e-4, "high": 1e-2, "log": True}, "a.size": {"low": 1, "high": 9}, "b.kind": ["u", "v"]}
)


@pytest.fixture
def study():
    """Twelve complete trials whose value is lr, in falling order; one pruned, one failed."""
    study = optuna.create_study(study_name="s")
    for number in range(12):
        params = {"optim.lr": 10 ** (-2 - number / 6), "a.size": 1 + number % 3, "b.kind": "uv"[number % 2]}
        study.add_trial(create_trial(value=params["optim.lr"], params=params, distributions=SPACE))
    study.add_trial(
        create_trial(
            state=TrialState.PRUNED, value=0.5, intermediate_values={0: 0.5}, params=params, distributions=SPACE
        )
    )
    study.add_trial(create_trial(state=TrialState.FAIL, params=params, distributions=SPACE))
    return study


def test_best_first_whichever_way_is_better(study):
    assert [trial.number for trial in report.leaders(study)] == list(range(11, -1, -1))
    rising = optuna.create_study(direction="maximize")
    rising.add_trials(study.trials)
    assert [trial.number for trial in report.leaders(rising)] == list(range(12))


def test_importance_finds_what_matters(study):
    shares = report.importances(study)
    assert next(iter(shares)) == "optim.lr"
    assert shares["optim.lr"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    few = optuna.create_study()
    few.add_trials(study.trials[:4])
    assert report.importances(few) == {}


def test_table_has_short_names_where_they_are_clear(study):
    header, rows = report.table(study, "dev/eer", count=2)
    assert header == ["trial", "dev/eer", "lr", "size", "kind"]
    assert rows[0] == ["11", "0.0001", "0.0001468", "3", "v"]
    assert len(rows) == 2


def test_files(study, tmp_path):
    report.write_report(study, "dev/eer", "python -m deepfake_lab.run a.size=3", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "12 complete, 1 pruned, 1 failed." in text
    assert "| 11 | 0.0001 | 0.0001468 | 3 | v |" in text
    assert "python -m deepfake_lab.run a.size=3" in text
    rows = list(csv.DictReader((tmp_path / "trials.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["COMPLETE"] * 12 + ["PRUNED", "FAIL"]
    assert float(rows[3]["params_optim.lr"]) == study.trials[3].params["optim.lr"]
    for picture in ("history.png", "parameters.png"):
        assert (tmp_path / picture).stat().st_size > 10_000


def test_pictures_show_every_trial_once(study):
    (axes,) = report.history(study, "dev/eer").axes
    complete, pruned = (points.get_offsets() for points in axes.collections)
    assert [tuple(point) for point in complete] == [(trial.number, trial.value) for trial in study.trials[:12]]
    assert [tuple(point) for point in pruned] == [(12, 0.5)]
    best = axes.lines[0].get_ydata()
    assert list(best) == sorted(best, reverse=True)

    panels = [axes for axes in report.parameters(study, "dev/eer").axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == list(report.importances(study))
    assert panels[0].get_xscale() == "log"
    assert panels[0].get_xlim()[0] <= 1e-4, "the whole range is shown"


def test_nothing_complete_is_nothing_to_draw(tmp_path):
    empty = optuna.create_study(study_name="s")
    report.write_report(empty, "dev/eer", "python -m deepfake_lab.run", tmp_path)
    assert not list(tmp_path.glob("*.png"))
    assert "python" not in (tmp_path / "report.md").read_text()
