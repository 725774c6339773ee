"""Reports on real runs and on score files of others; see tests/evaluation for the numbers."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from make_asvspoof5 import make as make_asvspoof5

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.evaluation.official import write_official
from deepfake_lab.evaluation.report import read_scores
from deepfake_lab.serving.census import Census


@pytest.fixture
def runs(lab, toy_run, tmp_path):
    """A copy of a finished run, and one whose detector is better or worse by so much."""
    shutil.copytree(toy_run, tmp_path / "first")

    def make(name, gain):
        shutil.copytree(toy_run, tmp_path / name)
        for file in (tmp_path / name).glob("report/scores/*/trials.parquet"):
            table = pd.read_parquet(file)
            table["score"] += gain * (1 - 2 * table["label"])
            table.to_parquet(file)
        return tmp_path / name

    return make


def test_a_report_is_written_anew_from_the_score_tables(lab, toy_run, tmp_path):
    before = json.loads((toy_run / "report" / "metrics.json").read_text())
    status, printed = lab("report", f"run={toy_run}", f"output={tmp_path / 'new'}")
    assert status == 0, printed
    after = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert after == pytest.approx({name: value for name, value in before.items() if name in after}, nan_ok=True)
    assert {"test/eer", "test/f1_ci_low", "dev/raw/cllr"} <= set(after)
    assert "no error in" in printed or "EER" in printed


def test_a_comparison_says_who_is_better(lab, runs):
    runs("better", 50.0), runs("worse", -50.0)
    status, printed = lab("report", "what=compare", "first=worse", "second=better", "replicates=200")
    assert status == 0, printed
    assert "EER %: better is better: better - worse = -" in printed
    assert "test, hum alone" in printed
    status, printed = lab("report", "what=compare", "first=first", "second=first", "split=dev", "replicates=50")
    assert "no difference shown" in printed


def test_patterns_stand_for_seeds(lab, runs):
    runs("seed0", 0.0), runs("seed1", 0.3)
    status, printed = lab("report", "what=compare", "first=first", "second=seed*", "replicates=50", "output=drawn")
    assert status == 0, printed
    assert "seed*" in printed
    assert (lab.folder / "drawn" / "comparison.png").is_file()


@pytest.mark.parametrize("fusion", ["mean", "logistic_regression"])
def test_fusion_says_what_it_gains_over_the_best_on_dev(lab, runs, fusion):
    runs("better", 5.0), runs("worse", -5.0)
    status, printed = lab("report", "what=fuse", "runs=[wor*,better]", f"fusion={fusion}", "output=new")
    assert status == 0, printed
    assert "x worse" in printed
    assert "EER %: " in printed
    assert "fusion - better = " in printed
    assert set(read_scores(lab.folder / "new")["key"]) == set(read_scores(lab.folder / "worse")["key"])
    assert (lab.folder / "new" / "report.html").is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["what=fuse", "runs=first"], "what=fuse needs two runs or more in runs=..., with names of their own, not 1"),
        (["what=fuse", "runs=[first,second,other/first]"], "with names of their own, not 2"),
        (["what=runs"], "what=runs: no such report. Choose from run, compare, "),
        (["run=nowhere"], "nowhere: no such folder"),
        ([], "what=run needs run=..."),
        (["what=compare", "first=first"], "what=compare needs second=..."),
        (["what=compare", "first=first", "second=first", "split=train"], "has no scores of split=train"),
        (["run=first", "cluster=corpus"], "cluster=corpus: choose group or speaker"),
    ],
)
def test_what_cannot_be_reported_is_said(lab, runs, overrides, message):
    for name in ("second", "other/first"):
        (lab.folder / name).mkdir(parents=True)
    status, printed = lab("report", *overrides)
    assert status == 2
    assert printed.startswith("error: ")
    assert message in printed


def test_scores_of_others(lab, toy_run, tmp_path):
    """Scores of any system with the key of ASVspoof 5: dev calibrates, test is reported."""
    make_asvspoof5(tmp_path / "asv")
    rng = np.random.default_rng(0)
    for split, name in (("dev", "dev.track_1"), ("test", "eval.track_1")):
        (key,) = (tmp_path / "asv").rglob(f"ASVspoof5.{name}.tsv")
        rows = pd.read_csv(key, sep=" ", header=None)
        score = 4 * (rows[8] == "bonafide") - 2 + rng.normal(size=len(rows))
        pd.DataFrame({"filename": rows[1], "cm-score": score}).to_csv(tmp_path / f"{split}.tsv", sep="\t", index=False)
        shutil.copy(key, tmp_path / f"{split}.key")
    given = ["what=scores", "scores=test.tsv", "key=test.key", "replicates=50"]
    status, printed = lab("report", *given)
    assert status == 0, printed
    assert "C11" in printed
    status, printed = lab("report", *given, "dev_scores=dev.tsv", "dev_key=dev.key", "output=mine")
    assert status == 0, printed
    metrics = json.loads((tmp_path / "mine" / "metrics.json").read_text())
    assert metrics["dev/cllr"] != metrics["dev/raw/cllr"]  # calibrated
    assert {"test/eer/codec/C01", "test/accuracy"} & set(metrics)
    status, printed = lab("report", "what=scores", "scores=test.tsv", "key=dev.key")
    assert status == 2
    assert "are not in dev.key, such as E_" in printed


def test_the_tandem_cost_where_verification_scores_are_given(lab, toy_run, tmp_path):
    (scores,) = write_official(read_scores(toy_run).query("split == 'test'"), tmp_path, "asvspoof2019")
    lines = [f"- target {n}" for n in range(5, 9)] + [f"- nontarget {n}" for n in range(4)] + ["A1 spoof 6"]
    (tmp_path / "asv.txt").write_text("\n".join(lines) + "\n")
    status, printed = lab("report", "what=scores", f"scores={scores}", "asv=asv.txt", "replicates=20")
    assert status == 0, printed
    assert "min t-DCF: " in printed


def test_a_champion_must_be_beaten(lab):
    train = ["experiment=toy", "tracking.registered_model=detectors"]
    assert lab("run", *train, "trainer.max_epochs=1", "optim.lr=1e-6", "seed=3")[0] == 0
    assert lab("run", *train)[0] == 0
    weak, strong = lab.runs
    mlflow.set_tracking_uri(f"sqlite:///{lab.folder}/mlflow.db")

    def champion():
        return mlflow.MlflowClient().get_model_version_by_alias("detectors", "champion").run_id

    mlflow_id = {run: json.loads((run / "run.json").read_text())["mlflow_run_id"] for run in (weak, strong)}
    status, printed = lab("report", "what=promote", f"run={strong}")
    assert status == 0, printed
    assert champion() == mlflow_id[strong]
    assert "is the champion already" in lab("report", "what=promote", f"run={mlflow_id[strong]}")[1]
    mlflow.MlflowClient().set_tag(mlflow_id[weak], "learned_nothing", "false")
    status, printed = lab("report", "what=promote", f"run={weak}")
    assert status == 1, printed
    assert "stays the champion" in printed
    assert champion() == mlflow_id[strong]
    mlflow.MlflowClient().set_registered_model_alias("detectors", "champion", "1")
    status, printed = lab("report", "what=promote", f"run={strong}")
    assert (status, "challenger is better" in printed) in ((0, True), (1, False))
    assert champion() == mlflow_id[strong if status == 0 else weak]


def test_drift_says_what_a_service_hears_otherwise(lab, toy_run):
    trained_on = Census(load_detector(toy_run / "detector.ckpt").trained_on)
    alike = trained_on.plain()
    Path("same.json").write_text(json.dumps(alike))
    quiet = [0] * len(alike["level_db"])
    quiet[1] = sum(alike["level_db"])
    Path("quiet.json").write_text(json.dumps(alike | {"level_db": quiet}))
    settings = ("what=drift", f"checkpoint={toy_run}/detector.ckpt", "tracking.system_metrics=false")
    for file, said in (("same.json", "as in training"), ("quiet.json", "another kind of recordings")):
        status, printed = lab("report", *settings, f"census={file}")
        assert status == 0, printed
        (level,) = [line for line in printed.splitlines() if "level" in line]
        assert said in level
        assert Path(f"runs/drift-{Path(file).stem}/drift.png").stat().st_size > 10_000
    recorded = lab.mlflow_runs().set_index("tags.mlflow.runName")["metrics.drift/psi/level_db"]
    assert recorded["drift-same"] == 0
    assert recorded["drift-quiet"] > 1
    status, printed = lab("report", *settings, "census=nowhere.json")
    assert (status, "census=nowhere.json: no such file" in printed) == (2, True)
