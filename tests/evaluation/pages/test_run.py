import dataclasses

import numpy as np
import pytest

from deepfake_lab.evaluation.pages.html import Picture
from deepfake_lab.evaluation.pages.origin import Origin
from deepfake_lab.evaluation.pages.run import run_page
from deepfake_lab.evaluation.summary import summarize


@pytest.fixture
def page(make_table):
    """Makes the page of a table, with some things changed in its summary."""

    def make(table=None, threshold=0.0, pictures=None, origin=None, **changes):
        summary = summarize(make_table() if table is None else table, threshold, replicates=50)
        changed = dataclasses.replace(summary, **changes)
        return run_page(changed, pictures or {}, origin or Origin("crnn")), changed

    return make


def section(page, title):
    return next(one for one in page.sections if one.title == title)


def test_the_verdict_is_about_test(page, make_table):
    made, summary = page(make_table(sentences=60))
    low, high = summary.eer_interval("test")
    rate = summary.whole("test")["eer"]
    assert made.verdict == f"EER {100 * rate:.1f} % on test (95 % interval {100 * low:.1f} to {100 * high:.1f})."
    assert made.alarm == "fine"
    assert "Better than chance: yes." in made.reasons
    assert "Warnings: none." in made.reasons
    called = summary.counts["test"]["cm/fp"] / 60
    passed = summary.counts["test"]["cm/fn"] / 120
    assert any(f"{called:.1%} of real recordings are called fake, and {passed:.1%}" in one for one in made.reasons)
    assert any(one.startswith("Hardest attack in test: piper, EER") for one in made.reasons)


def test_warnings_are_counted_and_shown(page):
    made, _ = page(notes=("12 files were skipped", "small corpus"))
    assert made.alarm == "doubt"
    assert made.warnings == ("12 files were skipped", "small corpus")
    assert "Warnings: 2, below." in made.reasons


def test_few_groups_ask_for_doubt(page):
    made, _ = page()
    assert made.alarm == "doubt"
    assert any(reason.startswith("Fewer than 50 groups") for reason in made.reasons)


def test_no_error_is_no_interval(page, make_table):
    made, _ = page(make_table(scale=20.0))
    assert made.verdict == "EER 0.0 % on test (no error in 20 groups)."
    assert any(reason.startswith("No error in test: of 20 groups that says EER <") for reason in made.reasons)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_chance_or_worse_forbids_use(page, make_table, scale):
    made, _ = page(make_table(scale=scale))
    assert made.alarm == "bad"
    assert made.verdict.startswith("Do not use this detector.")
    assert "Better than chance: not shown." in made.reasons


def test_having_learned_nothing_forbids_use_whatever_the_eer(page):
    made, _ = page(notes=("LEARNED NOTHING: the training loss never fell",))
    assert made.alarm == "bad"
    assert "Better than chance: yes. Learned nothing: yes." in made.reasons


def test_a_control_is_named_as_one(page, make_table):
    made, _ = page(make_table(scale=0.0), control=True)
    assert made.alarm == "doubt"
    assert made.verdict.startswith("A control, its labels permuted on purpose: EER")


def test_one_class_is_no_verdict(page, make_table):
    table = make_table({"test": ("world",)})
    made, _ = page(table[table["label"] == 0])
    assert made.verdict == "No EER: test has recordings of one class only."


def test_breakdown_tables_are_complete_and_long_ones_folded(page, make_table):
    table = make_table({"dev": ("world",), "test": ("world", "piper")}, sentences=60)
    table["codec"] = np.where(table.index % 2, "C01", "-")
    table["speaker"] = table["group"]
    made, summary = page(table)
    tables = {one.title: one for one in section(made, "Where it fails").parts}
    attacks = tables["By attack"]
    assert [row[:2] for row in attacks.rows] == [("piper", "test"), ("world", "test"), ("world", "dev")]
    assert attacks.rows[0][2:5] == ("60", "60", "60")
    row = summary.cells.query("split == 'test' and condition == 'attack' and cell == 'piper'").iloc[0]
    expected = f"{100 * row['eer']:.1f} ({100 * row['eer_low']:.1f} to {100 * row['eer_high']:.1f})"
    assert attacks.rows[0][attacks.header.index("EER %")] == expected
    assert not attacks.folded
    assert tables["By speaker (120 rows)"].folded
    assert {"By codec", "By attack x codec", "By duration"} <= set(tables)
    assert all(len(row) == len(one.header) for one in tables.values() for row in one.rows)
    assert "-0.0" not in str(tables)


def test_without_a_threshold_nothing_is_said_of_decisions(page):
    made, _ = page(threshold=np.nan)
    assert "No decisions" in section(made, "Results").text
    assert not any("As it decides" in reason for reason in made.reasons)
    attacks = section(made, "Where it fails").parts[0]
    assert "recall (fake)" not in attacks.header


def test_pictures_stand_where_they_belong(page):
    pictures = {name: Picture(name.encode(), 100, "", "") for name in ("det", "learning_curves")}
    made, _ = page(pictures=pictures)
    assert section(made, "Scores and errors").parts == [pictures["det"]]
    assert section(made, "How it was trained").parts == [pictures["learning_curves"]]


def test_the_page_says_how_to_do_it_again(page):
    made, _ = page(origin=Origin("crnn", "python -m deepfake_lab.run seed=3", "seed: 3", "4eaf"))
    texts = [part.text for part in section(made, "Do it again").parts]
    assert texts == ["python -m deepfake_lab.run seed=3", "seed: 3", "4eaf"]
    assert not section(page()[0], "Do it again").parts
