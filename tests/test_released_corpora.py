"""Commands on downloads: prepared, evaluated, refused, and what is skipped is said everywhere."""

import math
import re
import shutil

import make_demand
import make_in_the_wild
import make_mlaad
import pandas as pd
import pytest

from deepfake_lab.checkpoint import load_detector, save_detector


@pytest.fixture
def wild(lab):
    """Setting that finds a tiny In-the-Wild."""
    found = make_in_the_wild.make(lab.folder / "disk")
    return ["data=in_the_wild", f"data.root={found['root']}"]


def evaluate(lab, toy_run, *settings):
    checkpoint = f"checkpoint={toy_run / 'detector.ckpt'}"
    return lab("run", "experiment=toy", "stages=[test]", checkpoint, *settings)


def test_prepare_says_what_there_is_and_what_it_is_good_for(lab, wild):
    status, printed = lab("prepare", *wild)
    assert status == 0, printed
    assert "in_the_wild/unknown" in printed
    assert re.search(r"test\s*│ bona fide\s*│ 30\s*│ 19,963", printed)
    assert "! test: 30 bonafide utterances, 19,963 published" in printed
    assert "stages=[test] checkpoint=" in printed
    assert not list((lab.folder / "disk").rglob("*.parquet"))


def test_a_corpus_for_evaluation_alone_is_evaluated(lab, wild, toy_run):
    status, printed = evaluate(lab, toy_run, *wild)
    assert status == 0, printed
    logged = lab.mlflow_runs().iloc[-1]
    assert 0 <= logged["metrics.test/eer"] <= 1
    assert "metrics.dev/eer" not in logged
    trials = pd.read_parquet(next(lab.folder.glob("runs/*/report/scores/test/trials.parquet")))
    assert len(trials) == 60


def test_a_detector_without_a_threshold_ranks_and_does_not_decide(lab, wild, toy_run, tmp_path):
    detector = load_detector(toy_run / "detector.ckpt")
    detector.eer_threshold.fill_(math.nan)
    save_detector(detector, tmp_path / "foreign.ckpt")
    status, printed = evaluate(lab, toy_run, *wild, f"checkpoint={tmp_path / 'foreign.ckpt'}")
    assert status == 0, printed
    assert re.search(r"accuracy\s*│ -  ", printed)
    logged = lab.mlflow_runs().iloc[-1]
    assert 0 <= logged["metrics.test/eer"] <= 1
    assert math.isnan(logged.get("metrics.test/accuracy", math.nan))
    assert "No decisions" in logged["tags.mlflow.note.content"]
    made = {path.name for path in next(lab.folder.glob("runs/*/report")).iterdir()}
    assert {"det.png", "score_distributions.png"} <= made
    assert not made & {"confusion_matrix.png", "confusion_matrix.json"}


def test_and_not_trained_on(lab, wild):
    status, printed = lab("run", "experiment=toy", *wild)
    assert status == 2
    assert "the train split holds no bonafide utterance. This corpus is for evaluation alone" in printed
    assert "stages=[test]" in printed


def test_what_is_skipped_is_counted_in_mlflow_and_in_the_results(lab, wild, toy_run):
    root = lab.folder / "disk/release_in_the_wild"
    (root / "3.wav").unlink()
    (root / "4.wav").write_bytes(b"RIFF")
    status, printed = evaluate(lab, toy_run, *wild)
    assert status == 2
    assert "2 files cannot be used (1 missing, 1 unreadable)" in printed
    assert "data.on_error=skip" in printed
    status, printed = evaluate(lab, toy_run, *wild, "data.on_error=skip")
    assert status == 0, printed
    assert "2 rows were skipped: corpora/in_the_wild/problems.tsv" in printed
    assert re.search(r"skipped in the corpus\s*│ 2 ", printed)
    logged = lab.mlflow_runs().iloc[-1]
    assert logged["metrics.data/skipped"] == 2
    assert logged["tags.warning.skipped"] == "true"
    assert "2 rows were skipped" in logged["tags.mlflow.note.content"]
    listed = (lab.folder / "corpora/in_the_wild/problems.tsv").read_text()
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["3.wav", "4.wav"]


def test_a_corpus_without_its_folder_asks_for_it(lab):
    status, printed = lab("prepare", "data=in_the_wild")
    assert (status, "data.root is needed" in printed) == (2, True)


def test_another_place_is_another_manifest(lab, wild):
    assert lab("prepare", *wild)[0] == 0
    shutil.copytree(lab.folder / "disk", lab.folder / "elsewhere")
    meta = lab.folder / "elsewhere/release_in_the_wild/meta.csv"
    meta.write_text("\n".join(meta.read_text().splitlines()[:41]) + "\n")
    status, printed = lab("prepare", "data=in_the_wild", "data.root=elsewhere/release_in_the_wild")
    assert status == 0, printed
    assert "40 utterances in corpora/in_the_wild/manifest-" in printed
    assert "60 utterances in corpora/in_the_wild/manifest-" in lab("prepare", *wild)[1]


def test_edges_are_cut_where_the_detector_wants_it(lab, toy_run):
    """The detector decides, not the command line, since a checkpoint is evaluated as it was trained."""
    status, printed = lab("run", "experiment=toy", "treatment=all", "trainer.max_epochs=1")
    assert status == 0, printed
    (checkpoint,) = lab.folder.glob("runs/*/detector.ckpt")
    before = lab.mlflow_runs().iloc[-1]["metrics.test/cllr"]
    status, printed = lab("run", "experiment=toy", "stages=[test]", f"checkpoint={checkpoint}")
    assert status == 0, printed
    assert lab.mlflow_runs().iloc[-1]["metrics.test/cllr"] == pytest.approx(before)


def test_noise_is_prepared_and_not_trained_on(lab):
    found = make_demand.make(lab.folder / "disk")
    status, printed = lab("prepare", "data=demand", f"data.root={found['root']}")
    assert status == 0, printed
    assert re.search(r"noise\s*│ test\s*│ \d+\s*│", printed)
    assert "recordings in corpora/demand/manifest-" in printed
    for command in ("run", "audit"):
        status, printed = lab(command, "data=demand", f"data.root={found['root']}")
        assert status == 2
        assert "data=demand: holds noise, no trials" in printed


def test_fakes_alone_are_prepared_and_flagged(lab):
    found = make_mlaad.make(lab.folder / "disk")
    status, printed = lab("prepare", "data=mlaad", f"data.root={found['root']}")
    assert status == 0, printed
    assert "! NOT FOR A RUN OF ITS OWN." in printed
    assert "data=mix joins corpora" in printed
