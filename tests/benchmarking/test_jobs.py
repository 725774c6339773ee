import dataclasses

import pytest

from deepfake_lab.benchmarking.jobs import Job, Outcome, Plan, failures
from deepfake_lab.types import LabError

TRAINING = Job("lcnn", "cqt", 1, "toy", "toy")
TESTING = Job("lcnn", "cqt", 1, "toy", "office")


@pytest.fixture
def plan():
    settings = {"runs": {"trainer.max_epochs": "6"}, "lcnn + cqt": {"frontend": "Cqt"}}
    return Plan([TRAINING, TESTING], {"lcnn + raw": "no"}, {}, ["toy/hum"], settings, "c", "sqlite:///a", "run", "")


def leave_results(place):
    (place / "report/scores/test").mkdir(parents=True)
    (place / "report/metrics.json").write_text("{}")
    (place / "report/scores/test/trials.parquet").touch()


def test_a_job_knows_which_trains_its_detector():
    assert (TRAINING.trains, TESTING.trains) == (True, False)
    assert TESTING.trainer == TRAINING == TRAINING.trainer
    assert TRAINING.name == "lcnn-cqt-seed1-toy"
    assert TESTING.name == "lcnn-cqt-seed1-toy-on-office"
    focal = TESTING._replace(recipe="focal")
    assert (focal.name, focal.detector) == ("lcnn-cqt-focal-seed1-toy-on-office", "lcnn + cqt + focal")
    assert focal.trainer == TRAINING._replace(recipe="focal")


def test_an_outcome_is_read_as_it_was_written(tmp_path):
    assert Outcome.read(tmp_path).state == "new"
    written = Outcome("failed", 2, -9, parameters=3.0, real_time_factor=0.1, wall_s=1.0, processor_s=2.0)
    written.write(tmp_path / "job")
    assert Outcome.read(tmp_path / "job") == written


def test_what_has_finished_but_left_no_scores_goes_on(tmp_path):
    Outcome("finished", 1).write(tmp_path)
    assert Outcome.read(tmp_path).state == "running"
    leave_results(tmp_path)
    assert Outcome.read(tmp_path).state == "finished"


def test_a_plan_is_read_as_it_was_written(tmp_path, plan):
    plan.write(tmp_path)
    assert Plan.read(tmp_path) == plan
    assert plan.corpora == ["toy", "office"]


class TestGoingOn:
    def test_takes_over_settings_and_the_parent_run(self, tmp_path, plan):
        plan.write(tmp_path)
        more = {"runs": plan.settings["runs"], "crnn + mel": {"frontend": "Mel"}}
        after = dataclasses.replace(plan, settings=more, mlflow_run_id="").going_on(tmp_path)
        assert after.mlflow_run_id == "run"
        assert set(after.settings) == {"runs", "lcnn + cqt", "crnn + mel"}

    def test_not_the_parent_run_of_another_store(self, tmp_path, plan):
        plan.write(tmp_path)
        moved = dataclasses.replace(plan, tracking_uri="http://host", mlflow_run_id="")
        assert moved.going_on(tmp_path).mlflow_run_id == ""

    @pytest.mark.parametrize("now", [{"trainer.max_epochs": "7"}, {}, {"trainer.max_epochs": "6", "seed": "1"}])
    def test_refuses_other_settings(self, tmp_path, plan, now):
        plan.write(tmp_path)
        with pytest.raises(LabError, match=r"was begun with .* \(runs\), and it is .* now"):
            dataclasses.replace(plan, settings={"runs": now}).going_on(tmp_path)

    def test_nothing_is_there_yet(self, tmp_path, plan):
        assert plan.going_on(tmp_path) == plan


def test_failures_come_with_their_last_words(tmp_path):
    place = tmp_path / TRAINING.name
    Outcome("failed", 1, 1).write(place)
    (place / "output.log").write_bytes(b"".join(b"line %d\n" % number for number in range(40)) + b"\xff\n")
    (failure,) = failures([TRAINING, TESTING], tmp_path)
    assert failure.title == f"{TRAINING.name}: exit status 1"
    assert failure.output.startswith("line 29\n")
    assert failure.output.endswith("line 39\n\N{REPLACEMENT CHARACTER}")
