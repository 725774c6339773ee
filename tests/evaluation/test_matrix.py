import re
from pathlib import Path

import numpy as np
import pytest

from deepfake_lab.benchmarking.jobs import Job, Outcome, Plan
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.evaluation.matrix import MARK, Side, in_words, read_matrices, report_matrices, shared_by
from deepfake_lab.evaluation.pages.document import to_markdown
from deepfake_lab.evaluation.scores import by_class, read_table, write_table
from deepfake_lab.metrics.functional import eer
from deepfake_lab.types import LabError

SCALE = {("a", "a"): 2.0, ("a", "b"): 0.0, ("b", "a"): 1.2, ("b", "b"): 1.5}


def side(name, sources, **columns):
    """A corpus of 20 utterances a split and class; `columns` says speaker or group of each split."""
    rows = []
    for split in ("train", "dev", "test"):
        for number in range(40):
            row = {"key": f"{name}-{split}-{number}", "path": f"{split}/{number}.flac", "frames": 9, "sample_rate": 9}
            row |= {"channels": 1, "label": number % 2, "attack": f"{name}/x" if number % 2 else "bonafide"}
            row |= {"group": f"{name}/{split}-{number // 2}", "split": split, "corpus": name}
            rows.append(row | {column: value[split] for column, value in columns.items()})
    return Side(name, Manifest.from_rows(rows, Path(), name), sources)


def speakers(train, dev, test):
    return {"train": f"vctk/{train}", "dev": f"vctk/{dev}", "test": f"vctk/{test}"}


class TestShared:
    def test_a_speaker_of_train_or_dev_in_the_other_test(self):
        here = side("la", ("vctk",), speaker=speakers(1, 2, 3))
        for voice, found in ((1, True), (2, True), (3, False), (4, False)):
            there = side("df", ("other",), speaker=speakers(8, 9, voice))
            assert bool(shared_by(here, there)) == found, voice
        (clause,) = shared_by(here, side("df", (), speaker=speakers(8, 9, 1)))
        assert clause.startswith("1 speakers occur in la train+dev and in df test, where they make 40 of 40 utterances")

    def test_a_collection_behind_both_though_no_name_tells(self):
        (clause,) = shared_by(side("la", ("vctk", "mls")), side("df", ("mls",)))
        assert clause == "la and df are both made from mls"

    def test_not_a_corpus_with_itself_nor_two_collections_of_ones_own(self):
        here = side("la", ("vctk",), speaker=speakers(1, 2, 3))
        assert shared_by(here, here) == []
        assert shared_by(side("office", ("folder",)), side("home", ("folder",))) == []


class TestSide:
    def test_unseen_attacks_and_those_that_are_asked_for(self):
        part = side("la", ())
        assert part.unseen() == []
        assert part.unseen(["x"]) == part.unseen(["la/x"]) == ["la/x"]
        with pytest.raises(LabError, match=r"humm is no attack of test\. Choose from x"):
            part.unseen(["humm"])

    def test_why_nothing_can_be_trained_on_it(self):
        part = side("la", ())
        assert part.why_untrained() == ""
        alone = part._replace(manifest=part.manifest.split("test"))
        assert "holds no bonafide utterance" in alone.why_untrained()
        with pytest.raises(LabError, match="one class"):
            Side("fakes", Manifest.from_rows([], Path(), "fakes"), ()).why_untrained()


@pytest.fixture
def made(tmp_path, make_table):
    """Folder of a benchmark with two corpora and two seeds, whose last job is left to do."""
    jobs = [Job("crnn", "mel", seed, *pair) for seed in (0, 1) for pair in SCALE]
    shared = {"a > b": ["2 speakers occur in a and in b"]}
    Plan(jobs, {"training on c": "for evaluation alone"}, shared, [], {}, "command", "", "", "").write(tmp_path)
    for number, job in enumerate(jobs[:-1]):
        place = tmp_path / job.name
        table = make_table(scale=SCALE[job.train, job.test], sentences=60, seed=number)
        for split, trials in table.groupby("split"):
            write_table(trials.assign(corpus=job.test), place / "report/scores" / split / "trials.parquet")
        (place / "report/metrics.json").write_text("{}")
        Outcome("finished", 1).write(place)
    return tmp_path


def test_cells_are_means_over_seeds_on_the_test_split(made):
    plan = Plan.read(made)
    (matrix,) = read_matrices(plan, made, cluster="group", replicates=200, seed=0)
    assert matrix.rows == matrix.columns == ["a", "b"]
    for (train, test), cell in matrix.cells.items():
        tables = []
        for job in plan.jobs:
            path = made / job.name / "report/scores/test/trials.parquet"
            if (job.train, job.test) == (train, test) and path.is_file():
                tables.append(read_table(path))
        assert cell.seeds == len(tables) == (1 if (train, test) == ("b", "b") else 2)
        assert cell.eer.value == pytest.approx(np.mean([eer(*by_class(table)) for table in tables]))
        assert cell.eer.interval.low < cell.eer.value < cell.eer.interval.high
    assert re.fullmatch(
        r"crnn \+ mel: on the corpus that it was trained on its EER is \d+\.\d to \d+\.\d %; on another its EER is "
        r"\d+\.\d to \d+\.\d %, not shown to be better than chance in 1 of 2 cells\.",
        in_words(matrix),
    )


def test_files_mark_what_is_shared_and_say_what_is_missing(made, tmp_path):
    page = report_matrices(made, tmp_path / "out", replicates=200)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "matrix.md",
        "matrix.html",
        "matrix.csv",
        "matrix.png",
    }
    rows = {line.split(" | ")[0]: line.split(" | ")[1:] for line in to_markdown(page, "matrix").splitlines()}
    assert [MARK in cell for cell in rows["| a"]] == [False, True]
    assert [MARK in cell for cell in rows["| b"]] == [False, False]
    assert "1 of 2 seeds" in rows["| b"][1]
    assert rows["| a > b"] == ["2 speakers occur in a and in b |"]
    assert rows["| training on c"] == ["for evaluation alone |"]
    assert "data:image/png;base64," in (tmp_path / "out/matrix.html").read_text()


def test_a_failed_job_is_told(made):
    place = made / Plan.read(made).jobs[-1].name
    place.mkdir()
    (place / "output.log").write_text("the last words\n")
    Outcome("failed", 1, status=7).write(place)
    printed = to_markdown(report_matrices(made, made, replicates=50), "matrix")
    assert f"{place.name}: exit status 7\n\n```\nthe last words" in printed


def test_no_benchmark(tmp_path):
    with pytest.raises(LabError, match=r"holds no benchmark\.json"):
        report_matrices(tmp_path, tmp_path)
