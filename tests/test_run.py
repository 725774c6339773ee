"""The main job, end to end, on the toy corpus, through the real command."""

import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from deepfake_lab import run
from deepfake_lab.checkpoint import load_detector
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.metrics.functional import eer

TOY = "experiment=toy"
SIX_EPOCHS = (TOY, "trainer.max_epochs=6", "seed=1")


def metrics(run):
    return json.loads((run / "report" / "metrics.json").read_text())


def registered(lab):
    """Ids of the runs whose detectors are versions of the registered model."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{lab.folder}/mlflow.db")
    return sorted(version.run_id for version in client.search_model_versions("name = 'deepfake-detector-toy'"))


@pytest.fixture(scope="module")
def shuffled_toy(tmp_path_factory):
    """The toy corpus with its labels permuted on disk, where no control flag tells of it."""
    corpus = Toy(tmp_path_factory.mktemp("shuffled"), utterances=40)
    corpus.prepare().with_shuffled_labels(seed=3).write(corpus.manifest_path)
    return corpus.root


@pytest.fixture(scope="module")
def finished(tmp_path_factory, empty_database):
    """Folder of a run, and what it printed. Only to copy."""
    folder = tmp_path_factory.mktemp("finished")
    shutil.copy(empty_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(io.StringIO()) as printed:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["run", *SIX_EPOCHS])
        run.main()
    return folder, printed.getvalue()


class TestOneRun:
    @pytest.fixture(autouse=True)
    def one_run(self, lab, finished):
        """A lab in which that run was done. MLflow's artifacts stay where they were."""
        self.lab = lab
        self.folder, self.printed = finished
        shutil.copytree(self.folder, lab.folder, dirs_exist_ok=True)

    def test_leaves_what_it_promises(self):
        (folder,) = self.lab.runs
        for name in (
            "config.yaml",
            "curves.csv",
            "detector.ckpt",
            "checkpoints/best.ckpt",
            "checkpoints/last.ckpt",
            "report/report.md",
            "report/report.html",
            "report/notes.json",
            "report/cells.csv",
            "report/conditions.png",
            "report/learning_curves.png",
            "report/det.png",
            "report/roc.png",
            "report/score_distributions.png",
            "report/reliability.png",
            "report/confusion_matrix.png",
            "report/confusion_matrix.json",
            "report/scores/test/trials.parquet",
            "report/scores/test/scores.tsv",
            "report/scores/test/keys.tsv",
        ):
            assert (folder / name).stat().st_size > 0, name
        for text in ("EER", "interval", "minDCF", "fewer than 10,000", "mlflow ui", "make ui"):
            assert text in self.printed

        recorded = self.lab.mlflow_runs().iloc[0]
        assert recorded["status"] == "FINISHED"
        values = metrics(folder)
        for split in ("dev", "test"):
            for name in [
                "eer",
                "min_dcf",
                "act_dcf",
                "cllr",
                "accuracy",
                "balanced_accuracy",
                "precision",
                "recall",
                "f1",
                "roc_auc",
                "cm/tp",
                "cm/fp",
                "cm/tn",
                "cm/fn",
                "raw/act_dcf",
                "raw/cllr",
                "eer_ci_low",
                "eer_ci_high",
            ]:
                assert recorded[f"metrics.{split}/{name}"] == pytest.approx(values[f"{split}/{name}"]), name
        assert {"metrics.train/eer", "metrics.train/cm/tp", "metrics.train/loss", "metrics.test/loss"} <= set(
            recorded.index
        )
        assert "metrics.test/eer/attack/hum" in recorded.index
        tags = {"data": "toy", "model": "crnn", "frontend": "mel", "seed": "1", "learned_nothing": "false"}
        for name, value in {**tags, "warning.small_corpus": "true"}.items():
            assert recorded[f"tags.{name}"] == value
        parameters = {name: value for name, value in recorded.items() if name.startswith("params.")}
        choices = {"model": "crnn", "frontend": "mel", "optim": "Adam", "loader.window_s": "0.4"}
        assert {name: parameters[f"params.{name}"] for name in choices} == choices
        assert not [name for name, value in parameters.items() if str(self.folder) in value]
        assert not [name for name in parameters if name.startswith(("params.model.frontend", "params.tracking"))]
        assert registered(self.lab) == [recorded["run_id"]]
        assert "EER" in recorded["tags.mlflow.note.content"]

        import mlflow

        client = mlflow.MlflowClient()
        history = client.get_metric_history(recorded["run_id"], "dev/eer")
        assert [point.step for point in history][:6] == list(range(6))
        (dataset,) = client.get_run(recorded["run_id"]).inputs.dataset_inputs
        assert dataset.dataset.name == "toy"
        assert recorded["tags.corpus.sha256"].startswith(dataset.dataset.digest)
        artifacts = {artifact.path for artifact in client.list_artifacts(recorded["run_id"])}
        assert {"config.yaml", "detector.ckpt", "report"} <= artifacts

    def test_reloaded_detector_gives_the_reported_scores_and_eer(self):
        (folder,) = self.lab.runs
        detector = load_detector(folder / "detector.ckpt")
        module = CorpusDataModule(Toy("corpora/toy-12x0.4s-seed0"), window_s=0.4, num_workers=0)
        module.setup()
        (batch,) = module.test_dataloader()
        with torch.inference_mode():
            scores = detector(batch.wave).score
        table = pq.read_table(folder / "report/scores/test/trials.parquet").to_pandas()
        assert list(table["key"]) == list(batch.key)
        torch.testing.assert_close(
            scores, torch.tensor(table["score"].to_numpy(), dtype=torch.float32), atol=1e-5, rtol=0
        )
        reported = metrics(folder)["test/eer"]
        assert eer(scores[batch.label == 0], scores[batch.label == 1]) == pytest.approx(reported, abs=1e-9)
        assert float(detector.eer_threshold) == pytest.approx(
            json.loads((folder / "report/confusion_matrix.json").read_text())["threshold"]
        )

    def test_same_seed_same_metrics_and_test_stage_alone_agrees(self):
        (folder,) = self.lab.runs
        assert self.lab("run", *SIX_EPOCHS)[0] == 0
        assert metrics(self.lab.runs[1]) == metrics(folder)
        status, printed = self.lab("run", TOY, "stages=[test]", f"checkpoint={folder}/detector.ckpt", "seed=1")
        assert status == 0, printed
        assert metrics(self.lab.runs[2]) == pytest.approx(metrics(folder), abs=1e-6)
        assert registered(self.lab) == sorted(self.lab.mlflow_runs()["run_id"][:2]), "those that have trained"


def test_killed_run_resumes_in_the_same_mlflow_run_with_the_metrics_of_an_unbroken_one(lab):
    assert (
        lab("run", TOY, "trainer.max_epochs=15", "callbacks.early_stopping=null", "tracking.uri=sqlite:///other.db")[0]
        == 0
    )
    unbroken = metrics(lab.runs[0])

    process = lab.start("deepfake_lab.run", TOY, "trainer.max_epochs=15", "callbacks.early_stopping=null")
    for line in process.stdout:
        if "epoch   3/" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    killed = lab.runs[1]
    assert not (killed / "detector.ckpt").exists(), "the run was over before it could be killed"
    (before,) = lab.mlflow_runs()["run_id"]

    status, printed = lab("run", f"resume={killed}")
    assert status == 0, printed
    assert "epoch   1/" not in printed
    runs = lab.mlflow_runs()
    assert list(runs["run_id"]) == [before]
    assert runs["status"][0] == "FINISHED"
    assert metrics(killed) == unbroken
    curves, resumed = (pd.read_csv(run / "curves.csv") for run in (lab.runs[0], killed))
    pd.testing.assert_frame_equal(curves, resumed)
    page = (killed / "report/report.html").read_text()
    assert f"python -m deepfake_lab.run {TOY} trainer.max_epochs=15" in page  # not resume=
    assert registered(lab) == [before]


def test_resume_refuses_what_is_no_run_or_would_be_another(lab, tmp_path):
    status, printed = lab("run", f"resume={tmp_path}")
    assert status == 2
    assert "no run began there" in printed
    (tmp_path / "config.yaml").write_text("seed: 0")
    status, printed = lab("run", f"resume={tmp_path}", "model=crnn_mfcc")
    assert status == 2
    assert "keeps its groups" in printed


@pytest.mark.parametrize(
    "launcher",
    [(), pytest.param(("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), marks=pytest.mark.slow)],
    ids=["one_by_one", "side_by_side"],
)
def test_multirun_nests_its_jobs(lab, launcher):
    process = lab.start("deepfake_lab.run", "--multirun", TOY, "trainer.max_epochs=1", "seed=0,1", *launcher)
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    runs = lab.mlflow_runs().set_index("tags.mlflow.runName")
    (parent,) = [name for name in runs.index if name.startswith("multirun")]
    children = runs.drop(parent)
    assert sorted(children["tags.seed"]) == ["0", "1"]
    assert set(children["tags.mlflow.parentRunId"]) == {runs.loc[parent, "run_id"]}
    assert set(runs["status"]) == {"FINISHED"}
    assert registered(lab) == sorted(children["run_id"])


def test_control_is_tagged_and_shown_beside_chance(lab):
    status, printed = lab("run", TOY, "data.shuffle_labels=true", "data.utterances=40", "trainer.max_epochs=3")
    assert status == 0, printed
    assert "of chance" in printed
    recorded = lab.mlflow_runs().iloc[0]
    assert recorded["tags.control"] == "shuffled_labels"
    assert registered(lab) == []
    assert recorded["metrics.test/chance_eer_ci_low"] < 0.5 < recorded["metrics.test/chance_eer_ci_high"]


def test_learning_nothing_is_flagged_though_no_flag_was_set(lab, shuffled_toy):
    status, printed = lab("run", TOY, f"data.root={shuffled_toy}", "trainer.max_epochs=3")
    assert status == 0, printed
    assert "LEARNED NOTHING" in printed
    assert "Do not use this detector" in printed
    recorded = lab.mlflow_runs().iloc[0]
    assert recorded["tags.learned_nothing"] == "true"
    assert "LEARNED NOTHING" in (lab.runs[0] / "report/report.md").read_text()


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["model=crn"], "Did you mean crnn?"),
        (["dta=toy"], "Did you mean data?"),
        (["trainer.max_epoch=3"], "Did you mean trainer.max_epochs"),
        (["+model.encoder.dropuot=0.1"], "Did you mean dropout?"),
        (["trainer.max_epochs=many"], "trainer.max_epochs=many: input should be a valid integer"),
        (["seed=x"], "Value 'x'"),
        (["+sede=3"], "Did you mean seed?"),
        (["stages=[fitt]"], "choose from fit and test"),
        (["stages=[test]"], "name it with checkpoint="),
        (["checkpoint=a.ckpt"], "checkpoint= is for stages=[test]"),
        (["stages=[test]", "checkpoint=nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
        (["tracking.uri=http://127.0.0.1:9"], "no MLflow server answers"),
        (["tracking.uri=sqlite:///nowhere/mlflow.db"], "folder does not exist"),
        (["data.utterances=5"], "fewer than 10"),
    ],
)
def test_mistakes_are_explained_before_any_training(lab, overrides, complaint):
    status, printed = lab("run", TOY, *overrides)
    assert status == 2
    assert complaint in printed
    assert "Traceback" not in printed
    assert "epoch" not in printed.replace("max_epoch", "")


def test_missing_audio_is_counted_and_named(lab):
    assert lab("prepare", "data=toy")[0] == 0
    (lab.folder / "corpora/toy-12x0.4s-seed0/dev-000-buzz.flac").unlink()
    status, printed = lab("run", TOY)
    assert status == 2
    assert "1 of 72 audio files are missing" in printed
    assert "dev-000-buzz.flac" in printed


def test_damaged_audio_ends_the_run_with_its_name_and_a_failed_mlflow_run(lab):
    assert lab("prepare", "data=toy")[0] == 0
    (lab.folder / "corpora/toy-12x0.4s-seed0/train-003-buzz.flac").write_bytes(b"fLaC but not really")
    status, printed = lab("run", TOY, "loader.num_workers=1")
    assert status == 2
    assert "train-003-buzz.flac: cannot be decoded" in printed
    assert "Traceback" not in printed
    assert lab.mlflow_runs()["status"][0] == "FAILED"


def test_interruption_ends_as_killed_and_leaves_a_run_to_resume(lab):
    process = lab.start("deepfake_lab.run", TOY, "trainer.max_epochs=400", "callbacks.early_stopping=null")
    for line in process.stdout:
        if "epoch   2/" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert lab.mlflow_runs()["status"][0] == "KILLED"
    assert (lab.runs[0] / "checkpoints/last.ckpt").is_file()


def test_a_run_that_only_trains_registers_its_detector(lab):
    status, printed = lab("run", TOY, "stages=[fit]", "trainer.max_epochs=1")
    assert status == 0, printed
    assert registered(lab) == list(lab.mlflow_runs()["run_id"])


def test_bf16_trains(lab):
    status, printed = lab("run", TOY, "trainer.precision=bf16-mixed", "trainer.max_epochs=1")
    assert status == 0, printed
    assert pd.notna(lab.mlflow_runs().iloc[0]["metrics.test/eer"])


@pytest.mark.parametrize("command", ["run", "sweep", "benchmark"])
def test_help_stays_clear_of_heavy_libraries(command):
    heavy = {"torch", "mlflow", "optuna", "pandas", "matplotlib", "scipy"}
    listing = (
        f"import sys, runpy; sys.argv = ['{command}', '--help']\n"
        f"try: runpy.run_module('deepfake_lab.{command}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('loaded:', sorted({heavy} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout
    assert "model: " in printed
    assert "loaded: []" in printed
