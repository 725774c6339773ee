import dataclasses

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation.bootstrap import chance_eer_interval, clustered_interval
from deepfake_lab.evaluation.summary import summarize
from deepfake_lab.metrics import functional


def classes(table, column="score"):
    return [table[column][table["label"] == label].to_numpy() for label in (0, 1)]


def by_title(rows):
    return {row[0]: row[1:] for row in rows}


@pytest.fixture
def table(make_table):
    return make_table()


@pytest.fixture
def summary(table):
    return summarize(table, threshold=0.25, replicates=100, seed=7)


def test_metrics_of_each_split(table, summary):
    metrics = summary.metrics()
    for split in ("train", "dev", "test"):
        trials = table[table["split"] == split]
        for name, value in functional.detection_metrics(*classes(trials), 0.25).items():
            assert metrics[f"{split}/{name}"] == pytest.approx(value, abs=1e-12)
        raw = classes(trials, "raw_score")
        assert metrics[f"{split}/raw/act_dcf"] == functional.act_dcf(*raw)
        assert metrics[f"{split}/raw/cllr"] == functional.cllr(*raw)
        expected = clustered_interval(
            *(trials[name].to_numpy() for name in ("score", "label", "group")), replicates=100, seed=7
        )
        assert (metrics[f"{split}/eer_ci_low"], metrics[f"{split}/eer_ci_high"]) == pytest.approx(expected)


def test_an_attack_meets_all_bona_fide_trials_of_its_split(table, summary):
    metrics = summary.metrics()
    trials = table[(table["split"] == "test") & table["attack"].isin(["bonafide", "openprompts/piper"])]
    assert metrics["test/eer/attack/piper"] == functional.eer(*classes(trials))
    assert (
        metrics["test/eer_ci_low/attack/piper"]
        <= metrics["test/eer/attack/piper"]
        <= metrics["test/eer_ci_high/attack/piper"]
    )
    assert metrics["test/eer/attack/piper"] > metrics["test/eer/attack/world"]
    assert {name for name in metrics if name.startswith("dev/eer/attack")} == {"dev/eer/attack/world"}
    assert metrics["test/worst_eer/attack"] == metrics["test/eer/attack/piper"]
    assert summary.whole("test")["spoof"] == 40


def test_pooled_corpora_keep_their_names(table):
    other = table.assign(corpus="other", attack=table["attack"].str.replace("openprompts", "other"))
    metrics = summarize(pd.concat([table, other]), 0.0, replicates=5).metrics()
    assert {name for name in metrics if name.startswith("dev/eer/attack")} == {
        "dev/eer/attack/openprompts/world",
        "dev/eer/attack/other/world",
    }


def test_a_control_is_shown_beside_chance(table, summary):
    control = summarize(table, 0.25, control=True, replicates=1000, seed=7)
    chance = chance_eer_interval(20, 40, seed=7)
    assert control.chance["test"] == chance
    metrics = control.metrics()
    assert (metrics["test/chance_eer_ci_low"], metrics["test/chance_eer_ci_high"]) == chance
    assert "labels were permuted on purpose" in control.to_markdown()
    assert f"{100 * chance.low:.1f} to {100 * chance.high:.1f}" in control.to_markdown()
    assert not any("chance" in name for name in summary.metrics())
    assert "chance" not in summary.to_markdown()


def test_tables_for_people(summary):
    header, rows, attacks = summary.header(), by_title(summary.rows()), by_title(summary.condition_rows("attack"))
    assert header == ("", "train", "dev", "test")
    assert rows["bona fide trials"] == ("20", "20", "20")
    assert rows["spoofed trials"] == ("20", "20", "40")
    metrics = summary.metrics()
    assert rows["EER % (95 % interval)"][2].startswith(f"{100 * metrics['test/eer']:.2f} (")
    low, high = metrics["test/f1_ci_low"], metrics["test/f1_ci_high"]
    assert rows["F1 (fake)"][2] == f"{metrics['test/f1']:.4f} ({low:.3f} to {high:.3f})"
    assert rows["Cllr before calibration"][2] == f"{metrics['test/raw/cllr']:.4f}"
    assert rows["fake called real (fn)"][2] == f"{metrics['test/cm/fn']:.0f}"
    assert attacks["piper"][:2] == ("-", "-")
    markdown = dataclasses.replace(summary, notes=("few trials",)).to_markdown()
    assert "> **Note:** few trials\n" in markdown
    for title, cells in (rows | attacks).items():
        assert "| " + " | ".join((title, *cells)) + " |\n" in markdown
    assert "0.2500" in markdown


def test_a_split_of_one_class_has_no_eer(make_table):
    table = make_table({"test": ("world",)})
    summary = summarize(table[table["label"] == 0], 0.0, replicates=5)
    assert np.isnan(summary.metrics()["test/eer"])
    assert summary.conditions() == []
    assert "nan" not in summary.to_markdown()
