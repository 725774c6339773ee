"""Benchmarks for real, on generated signals and tiny corpora of the real layouts: killed, resumed, retried, ranked."""

import json
import signal
import time
from pathlib import Path

import make_asvspoof5
import make_asvspoof2019_la
import make_asvspoof2021_la
import make_folder
import pandas as pd
import psutil
import pytest
import yaml

from deepfake_lab import benchmark
from deepfake_lab.benchmarking.jobs import Outcome, Plan
from deepfake_lab.config import CONF

SLOW = ("benchmark=toy", "trainer.max_epochs=6", "callbacks.early_stopping=null")
FIRST, SECOND = "crnn_mfcc-mfcc-seed0-toy", "crnn_mfcc-mfcc-seed1-toy"
SHORT = "loader.window_s=0.2"  # twice the clips of the tiny corpora


def wait_for(path, process):
    """Waits until a file is there, which happens long before the process ends."""
    for _ in range(1200):
        if path.is_file():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError(f"{path} never came")


def job_process(lab, name):
    """The process of a job, whoever its parent is now."""
    (found,) = [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if (words := process.info["cmdline"] or [])[2:3] == ["deepfake_lab.run"]
        and process.info["cwd"] == str(lab.folder)
        and name in " ".join(words)
    ]
    return found


def end(process, how):
    process.send_signal(how)
    process.wait(60)


def by_name(lab):
    """MLflow runs, by their names: one a name."""
    runs = lab.mlflow_runs().set_index("tags.mlflow.runName")
    assert runs.index.is_unique
    return runs


def test_what_fails_is_named_and_the_rest_is_ranked_and_recorded(lab):
    settings = ["benchmark=toy", "trainer.max_epochs=1", "models=[crnn_mfcc,crnn_mfcc+raw]", "seeds=[0]"]
    status, printed = lab("benchmark", *settings)
    assert status == 0, printed
    folder = lab.folder / "runs/benchmark/toy-toy"
    (line,) = pd.read_csv(folder / "leaderboard.csv").to_dict("records")
    assert line["eer"] == json.loads((folder / FIRST / "report/metrics.json").read_text())["test/eer"]
    assert "| crnn_mfcc + raw | MfccCRNN needs at least 2 bins" in (folder / "leaderboard.md").read_text()
    assert by_name(lab)["status"].to_dict() == {"toy-toy": "FINISHED", FIRST: "FINISHED"}


@pytest.mark.slow
def test_a_killed_job_is_a_failure_that_can_be_taken_up_again_and_the_rest_goes_on(lab):
    folder = lab.folder / "runs/benchmark/toy-toy"
    settings = [*SLOW, "models=[crnn_mfcc,crnn_mfcc+raw]"]
    process = lab.start("deepfake_lab.benchmark", *settings)
    wait_for(folder / FIRST / "checkpoints/last.ckpt", process)
    end(job_process(lab, FIRST), signal.SIGKILL)
    printed = process.communicate(timeout=240)[0]
    assert process.returncode == 1, printed
    assert f"{FIRST}: FAILED with exit status -9" in printed
    assert "1 of 2 runs failed" in printed
    assert Outcome.read(folder / SECOND).state == "finished"
    board = (folder / "leaderboard.md").read_text()
    assert "| crnn_mfcc + mfcc | 1 of 2 |" in board
    assert f"{FIRST}: exit status -9\n\n" in board
    assert "epoch   1/6" in board, "the last words of the job"
    assert "| crnn_mfcc + raw | MfccCRNN needs at least 2 bins" in board
    before = by_name(lab)
    assert before["status"].to_dict() == {"toy-toy": "FAILED", FIRST: "KILLED", SECOND: "FINISHED"}
    assert set(before.loc[[FIRST, SECOND], "tags.mlflow.parentRunId"]) == {before.loc["toy-toy", "run_id"]}

    kept = (folder / SECOND / "report/metrics.json").stat().st_mtime_ns
    status, printed = lab("benchmark", *settings, "retry=true")
    assert status == 0, printed
    after = by_name(lab)
    assert after["run_id"].to_dict() == before["run_id"].to_dict()
    assert set(after["status"]) == {"FINISHED"}
    assert (folder / SECOND / "report/metrics.json").stat().st_mtime_ns == kept
    assert (folder / FIRST / "output.log").read_text().count("epoch   1/6") == 1, "it began anew"
    assert "crnn_mfcc + mfcc has an EER on test of" in printed, "there is nothing to compare it with"
    assert after.loc["toy-toy", "tags.mlflow.note.content"].startswith("# Benchmark toy-toy")
    check_results(folder, after)
    check_refusals(lab)


def check_results(folder, runs):
    """What a finished benchmark leaves, and that it agrees with its runs."""
    (line,) = pd.read_csv(folder / "leaderboard.csv").to_dict("records")
    reported = [json.loads((folder / name / "report/metrics.json").read_text()) for name in (FIRST, SECOND)]
    assert line["eer"] == pytest.approx(sum(one["test/eer"] for one in reported) / 2)
    assert line["dev"] == pytest.approx(sum(one["dev/eer"] for one in reported) / 2)
    assert line["unseen"] == pytest.approx(sum(one["test/eer/attack/hum"] for one in reported) / 2)
    assert line["parameters"] == runs.loc[FIRST, "metrics.model/parameters"]
    assert 0 < line["processor_s"] == Outcome.read(folder / SECOND).processor_s, "the other was cut off"
    page = (folder / "leaderboard.html").read_text()
    assert "data:image/png;base64," in page
    assert runs.loc[SECOND, "run_id"] in page


def check_refusals(lab):
    """Calls that the benchmark, finished after 6 epochs, does not agree with."""
    status, printed = lab("benchmark", *SLOW, "trainer.max_epochs=16")
    assert (status, "was begun with trainer.max_epochs=6 (runs), and it is 16 now" in printed) == (2, True)
    status, printed = lab("benchmark", *SLOW, "unseen=[humm]")
    assert (status, "humm is no attack of test. Choose from buzz, hum" in printed) == (2, True)
    status, printed = lab("benchmark", *SLOW, "models=[crnn_mfcc+raw]")
    assert (status, "nothing can be trained. crnn_mfcc + raw: MfccCRNN needs" in printed) == (2, True)


@pytest.mark.slow
def test_whoever_ends_a_benchmark_it_goes_on_and_never_does_two_things_at_once(lab):
    place = lab.folder / "runs/benchmark/toy-toy" / FIRST
    command = ("deepfake_lab.benchmark", *SLOW, "trainer.max_epochs=150", "seeds=[0]")

    process = lab.start(*command)
    wait_for(place / "checkpoints/last.ckpt", process)
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=120)[0]
    assert process.returncode == 130, printed
    assert "No run is finished" in printed, "it reports all the same"
    assert by_name(lab)["status"].to_dict() == {"toy-toy": "KILLED", FIRST: "KILLED"}
    runs = by_name(lab)["run_id"].to_dict()

    process = lab.start(*command)
    size = (place / "output.log").stat().st_size
    while "epoch" not in (place / "output.log").read_text()[size:]:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    end(process, signal.SIGKILL)
    process.stdout.close()
    orphan = job_process(lab, FIRST)

    process = lab.start(*command)
    assert "is still at work here; waiting for it" in next(line for line in process.stdout if "epoch" not in line)
    assert orphan.is_running()
    end(orphan, signal.SIGKILL)
    printed = process.communicate(timeout=240)[0]
    assert process.returncode == 0, printed
    assert Outcome.read(place).attempts == 3
    assert by_name(lab)["run_id"].to_dict() == runs
    assert set(by_name(lab)["status"]) == {"FINISHED"}
    assert (place / "output.log").read_text().count("epoch   1/150") == 1


@pytest.mark.slow
def test_asvspoof5_runs_unchanged(lab):
    corpus = ["data=asvspoof5", f"data.root={make_asvspoof5.make(lab.folder / 'disk')['root']}"]
    status, printed = lab("benchmark", "benchmark=full", *corpus, "minutes=0")
    assert status == 0, printed
    plan = Plan.read(Path("runs/benchmark/full-asvspoof5"))
    assert len(plan.jobs) == 3 * (2 * 5 + 4)
    assert [job.seed for job in plan.jobs] == [0] * 14 + [1] * 14 + [2] * 14
    assert plan.unseen == ["asvspoof5/A17", "asvspoof5/A26", "asvspoof5/A32"]
    start = "{folder}/{trained}-focal-seed{seed}-asvspoof5/detector.ckpt"
    recipes = f"recipes={{focal: {{loss: focal}}, further: {{model.init: '{start}', optim: {{lr: 1e-4}}}}}}"
    status, printed = lab("benchmark", "benchmark=toy", *corpus, SHORT, "models=[lcnn]", "seeds=[0]", recipes)
    assert status == 0, printed
    board = Path("runs/benchmark/toy-asvspoof5")
    (line, _) = pd.read_csv(board / "leaderboard.csv").sort_values("detector").to_dict("records")[::-1]
    assert line["detector"] == "lcnn + lfcc + further"
    first, further = (
        yaml.safe_load((board / f"lcnn-lfcc-{name}-seed0-asvspoof5/config.yaml").read_text())
        for name in ("focal", "further")
    )
    assert first["loss"]["_target_"].endswith("Focal")
    assert (further["model"]["init"], further["optim"]["lr"]) == (
        f"{board}/lcnn-lfcc-focal-seed0-asvspoof5/detector.ckpt",
        1e-4,
    )
    assert 0 <= line["eer"] <= 1
    assert "unseen" not in line, "all systems are"


@pytest.mark.slow
def test_every_recipe_that_comes_along_composes():
    preset = yaml.safe_load((CONF / "benchmark/recipes.yaml").read_text())
    found = benchmark._recipes(preset["recipes"])
    assert len(found) == len(preset["recipes"]) > 20
    for words in found.values():
        benchmark._composed([*preset["settings"], "model=crnn", *benchmark._filled(words, "folder", "crnn-mel", 0)])


def corpora(**settings):
    return "corpora={" + ", ".join(f"{name}: {one}" for name, one in settings.items()) + "}"


@pytest.mark.slow
def test_across_corpora_what_is_shared_is_marked_and_the_report_repeats_it(lab):
    disk = lab.folder / "disk"
    roots = [made.make(disk)["root"] for made in (make_asvspoof2019_la, make_asvspoof2021_la)]
    given = corpora(asvspoof2019_la=f"{{root: {roots[0]}}}", la21=f"{{data: asvspoof2021_la, root: {roots[1]}}}")
    status, printed = lab("benchmark", "benchmark=toy", given, SHORT, "seeds=[0]", "folder=made")
    assert status == 0, printed
    table = pd.read_csv("made/matrix.csv").set_index(["train", "test"])
    assert list(table.index) == [("asvspoof2019_la", "asvspoof2019_la"), ("asvspoof2019_la", "la21")]
    assert "asvspoof2019_la and la21 are both made from vctk" in table["shared"]["asvspoof2019_la", "la21"]
    run = Path("made/crnn_mfcc-mfcc-seed0-asvspoof2019_la-on-la21")
    reported = json.loads((run / "report/metrics.json").read_text())["test/eer"]
    assert table["eer"]["asvspoof2019_la", "la21"] == pytest.approx(reported)
    assert "training on la21" in Path("made/matrix.md").read_text()
    assert by_name(lab).loc[run.name, "tags.corpus"] == "asvspoof2021_la"
    Path("made/matrix.png").unlink()

    status, again = lab("report", "what=matrix", "run=made")
    assert status == 0, again
    assert Path("made/matrix.png").is_file()
    for text in ("†", "on another its EER is", "both made from vctk"):
        assert text in printed
        assert text in again
    status, printed = lab("report", "what=matrix", "run=disk")
    assert (status, "holds no benchmark.json" in printed) == (2, True)


@pytest.mark.slow
def test_three_corpora_two_of_which_can_be_trained_on(lab):
    disk = lab.folder / "disk"
    given = corpora(
        asvspoof2019_la=f"{{root: {make_asvspoof2019_la.make(disk)['root']}}}",
        office=f"{{data: folder, root: {make_folder.make(disk, sentences=80)['root']}}}",
        asvspoof2021_la=f"{{root: {make_asvspoof2021_la.make(disk)['root']}}}",
    )
    status, printed = lab("benchmark", "benchmark=toy", given, SHORT, "seeds=[0]", "folder=made")
    assert status == 0, printed
    table = pd.read_csv("made/matrix.csv").set_index(["train", "test"])
    assert len(table) == 6
    assert table["eer"].between(0, 1).all()
    marked = table["shared"].fillna("")
    assert "vctk" in marked["asvspoof2019_la", "asvspoof2021_la"]
    assert not marked["office", "asvspoof2021_la"]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["models=[crn]"], "Did you mean crnn?"),
        (["models=[]"], "models=[]: give one or more"),
        (["seeds=[0,0]"], "each of them once"),
        (["frontends=[mell]"], "Did you mean mel?"),
        (["benchmark=quik"], "Did you mean quick?"),
        (["model=crnn"], "Use models=[...]"),
        (["seed=3"], "Use seeds=[...]"),
        (["resume=x"], "calling the benchmark again"),
        (["trainer.max_epoch=3"], "Did you mean trainer.max_epochs"),
        (["data=asvspoof5"], "data.root is needed"),
        (["recipes={a: {seed: 1}}"], "Use seeds=[...]"),
        (["recipes={a: {optim.lrr: 1}}"], "optim.lrr"),
        (["recipes=[a]"], "give names and settings"),
        (["corpora=toy"], "give names and settings"),
        (["corpora={a/b: {}}"], "a name that can be a folder's"),
        (["corpora={toy: 3}"], "give settings of data"),
        (["corpora=[toy,openprompts]", "data.seed=1"], "say it of one"),
        (["corpora=[toi]"], "Did you mean toy?"),
    ],
)
def test_mistakes_are_explained_before_any_work(lab, overrides, complaint):
    status, printed = lab("benchmark", "benchmark=toy", *overrides)
    assert status == 2, printed
    assert complaint.lower() in printed.lower()
    assert "Traceback" not in printed
    assert not Path("runs").exists() or not list(Path("runs").rglob("job.json"))
