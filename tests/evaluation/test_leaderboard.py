import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from deepfake_lab.benchmarking.jobs import Failure, Job, Outcome, Plan
from deepfake_lab.evaluation.compare import compare, pooled_estimate
from deepfake_lab.evaluation.leaderboard import Candidate, Trained, holm, in_words, rank, read_candidates, to_frame
from deepfake_lab.evaluation.pages.document import Link, to_markdown
from deepfake_lab.evaluation.pages.html import render
from deepfake_lab.evaluation.pages.leaderboard import figure, leaderboard_page
from deepfake_lab.evaluation.scores import by_class, write_table
from deepfake_lab.metrics.functional import eer

REPLICATES = 200
PIPER = ["openprompts/piper"]


@pytest.fixture
def candidate(make_table):
    """Makes a candidate whose classes lie `scale` as far apart as usual, with so many seeds."""

    def make(name, scale, seeds=(0, 1, 2), **facts):
        tables = {seed: make_table(scale=scale, sentences=60, seed=100 * len(name) + seed) for seed in seeds}
        trained = [
            Trained(f"{name}-seed{seed}", seed, lambda seed=seed: tables[seed], 60.0 + seed, 90.0, Link("x", "u/x"))
            for seed in seeds
        ]
        return Candidate(name, 3, trained, **facts)

    return make


@pytest.fixture
def board(candidate):
    """Two that cannot be told apart, one that is worse, one that never finished."""
    failed = Candidate("broken", 3, [], [Failure("broken-seed0", 1, "Traceback | <boom>")])
    facts = {"parameters": 1234.0, "real_time_factor": 0.01}
    many = [candidate("poor", 0.4), candidate("good", 1.5, **facts), candidate("fine", 1.45, (0, 1)), failed]
    return rank(many, unseen=PIPER, replicates=REPLICATES)


def test_rows_rise_by_the_mean_eer_of_the_seeds_on_test(board):
    names = [row.candidate.name for row in board.rows]
    means = []
    for row in board.rows:
        tables = [one.scores() for one in row.candidate.trained]
        means.append(np.mean([eer(*by_class(table[table["split"] == "test"])) for table in tables]))
        assert row.estimates["eer"].value == pytest.approx(means[-1])
        dev = pooled_estimate([table[table["split"] == "dev"] for table in tables], replicates=REPLICATES)
        assert row.estimates["dev"] == dev
    assert means == sorted(means)
    assert names[2] == "poor"
    assert set(names) == {"good", "fine", "poor"}


def test_unseen_systems_are_measured_against_all_bona_fide_trials(board):
    for row in board.rows:
        values = []
        for one in row.candidate.trained:
            test = (table := one.scores())[table["split"] == "test"]
            real, _ = by_class(test)
            values.append(eer(real, test.loc[test["attack"] == PIPER[0], "score"].to_numpy()))
        assert row.estimates["unseen"].value == pytest.approx(np.mean(values))
    assert board.unseen == PIPER


def test_each_is_compared_with_the_first_over_the_same_trials(board):
    first, second, last = board.rows
    tables = [[one.scores() for one in row.candidate.trained] for row in board.rows]
    test = [[table[table["split"] == "test"] for table in one] for one in tables]
    compared = [compare(test[0], one, measures=("eer",), replicates=REPLICATES)[0] for one in test[1:]]
    assert [row.behind for row in board.rows[1:]] == [one.difference for one in compared]
    assert [row.p_value for row in board.rows[1:]] == holm([one.p_value for one in compared])
    assert (first.worse, second.worse, last.worse) == (False, False, True)
    assert first.behind.value == 0
    assert second.verdict.startswith("not shown to be worse: ")
    assert re.match(r"worse by \d+\.\d \(\d+\.\d to \d+\.\d\), p ", last.verdict)


def test_words_say_who_is_ahead_and_who_is_not_told_apart(board):
    said = " ".join(in_words(board))
    first, second = (row.candidate.name for row in board.rows[:2])
    assert said.startswith(f"{first} has the lowest EER on test: ")
    assert f"Not shown to be worse: {second}." in said
    assert re.search(r"Shown to be worse, by \d+\.\d points: poor\.", said)
    by_dev = min(board.rows, key=lambda row: row.estimates["dev"].value)
    assert f"By dev one would choose {by_dev.candidate.name}: dev {100 * by_dev.estimates['dev'].value:.2f} (" in said
    assert "On what training lacks (openprompts/piper) the lowest EER is" in said
    assert "the highest" in said


def test_p_values_after_holm():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # Holm's own procedure by hand
    assert holm([0.5, math.nan]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_corrects_upwards_keeps_the_order_and_no_more_than_bonferroni(p_values):
    corrected = holm(p_values)
    for one, other in zip(p_values, corrected, strict=True):
        assert one <= other <= min(1, len(p_values) * one) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_numbers_for_machines(board):
    frame = to_frame(board)
    assert list(frame["detector"]) == [row.candidate.name for row in board.rows]
    good = frame.set_index("detector").loc["good"]
    assert (good["seeds"], good["parameters"], good["wall_s"]) == (3, 1234, 61)
    assert good["eer_low"] < good["eer"] < good["eer_high"]
    assert frame.set_index("detector").loc["fine", "seeds"] == 2
    assert not pd.isna(frame["unseen"]).any()


def test_pages_hold_the_same_numbers_and_everything_that_went_wrong(board):
    made = leaderboard_page(board, "A <title>", {"lcnn + raw": "too few bins"}, "python -m lab")
    markdown, page = to_markdown(made, "leaderboard"), render(made)
    value = f"{100 * board.rows[0].estimates['eer'].value:.2f}"
    for text in (value, "2 of 3", "1,234", "too few bins", "python -m lab", "no run finished", "Nothing may be chosen"):
        assert text in markdown
        assert text in page
    assert "broken-seed0: exit status 1\n\n```\nTraceback | <boom>" in markdown
    assert "Traceback | &lt;boom&gt;" in page
    assert "A &lt;title&gt;" in page
    assert "<boom>" not in page
    assert "[x](u/x)" in markdown
    assert '<a href="u/x">x</a>' in page
    assert "![EER of each detector with its interval](leaderboard.png)" in markdown
    assert "Not done yet, with the number of runs: fine (1), broken (2)." in markdown
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    assert len(tables) == 4
    assert all(len({line.count(" | ") for line in table.splitlines()}) == 1 for table in tables)


def test_picture_has_a_row_for_each_detector(board):
    drawn = figure(board)
    assert isinstance(drawn, Figure)
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == [f"{row.candidate.name} ({len(row.candidate.trained)})" for row in board.rows]


def test_where_all_systems_are_new_they_are_not_reported_twice(candidate):
    attacks = ["openprompts/world", "openprompts/piper"]
    found = rank([candidate("good", 1.5)], unseen=attacks, replicates=REPLICATES)
    assert found.unseen == []
    assert "unseen" not in found.rows[0].estimates
    assert in_words(found)[0].startswith("good has an EER on test of ")


def test_without_any_trained_detector_there_are_words_all_the_same():
    found = rank([Candidate("late", 2)])
    assert in_words(found) == ["No run is finished."]
    assert to_frame(found).empty
    assert "number of runs: late (2)." in to_markdown(leaderboard_page(found, "t", {}, "c"), "leaderboard")


def test_candidates_are_read_from_the_folder_of_a_benchmark(tmp_path, make_table):
    jobs = [Job("lcnn", "cqt", seed, "a", "a") for seed in (0, 1, 2, 3)]
    Plan(jobs, {}, {}, [], {}, "", "http://host", "", "http://host/#/experiments/7/runs/").write(tmp_path)
    done = tmp_path / jobs[0].name
    table = make_table()
    for split, trials in table.groupby("split"):
        write_table(trials, done / "report/scores" / split / "trials.parquet")
    (done / "report/metrics.json").write_text("{}")
    (done / "run.json").write_text('{"mlflow_run_id": "0123456789"}')
    Outcome("finished", 1, 0, 60.0, 90.0, parameters=5, real_time_factor=0.5).write(done)
    Outcome("failed", 1, 3).write(tmp_path / jobs[1].name)
    Outcome("running", 1).write(tmp_path / jobs[2].name)
    (found,) = read_candidates(tmp_path)
    (trained,) = found.trained
    assert (found.name, found.planned, found.parameters, found.real_time_factor) == ("lcnn + cqt", 4, 5, 0.5)
    assert (trained.seed, trained.wall_s, trained.processor_s) == (0, 60, 90)
    assert trained.link == "01234567"
    assert trained.link.address == "http://host/#/experiments/7/runs/0123456789"
    assert len(trained.scores()) == len(table)
    assert [failure.status for failure in found.failures] == [3]
