"""What a run records."""

import shutil

import pytest

from deepfake_lab.tracking import Tracking, flatten
from deepfake_lab.tracking.run import shortened


def test_descriptions_that_are_too_long_lose_whole_sections():
    first, second = "# A\n\nwords\n\n## B\n\n| x |\n|---|\n| 1 |", "\n\n## C\n\n" + "| y |\n" * 40
    assert shortened(first + second, 1000) == first + second
    assert shortened(first + second, 120) == f"{first}\n\nThe rest is among the artifacts."
    assert len(shortened("word\n" * 100, 120)) <= 120


@pytest.fixture
def tracking(tmp_path, empty_database):
    database = shutil.copy(empty_database, tmp_path / "mlflow.db")
    return Tracking(f"sqlite:///{database}", artifact_location=str(tmp_path / "artifacts"), system_metrics=False)


def read(run):
    import mlflow

    return mlflow.get_run(run.id).data


def test_flatten_gives_dotted_keys_and_text():
    nested = {"a": {"b": 1, "c": {"d": None}}, "e": [1, {"f": 2}], "g": {}}
    assert flatten(nested) == {"a.b": "1", "a.c.d": "None", "e": '[1, {"f": 2}]', "g": "{}"}


def test_flatten_names_a_node_by_its_class():
    assert flatten({"optim": {"_target_": "torch.optim.Adam", "lr": 0.1}}) == {"optim": "Adam", "optim.lr": "0.1"}


def test_parameters_are_those_that_the_run_began_with(tracking, tmp_path):
    with tracking.run("first") as run:
        run.log_config({"lr": 1, "folder": "/somewhere"}, {"lr": 1})
    with tracking.run("again", run_id=run.id) as run:
        run.log_config({"lr": 2, "folder": "/elsewhere"}, {"lr": 2, "new": 3})
    assert read(run).params == {"lr": "1"}
    assert tracking.fetch(run.id, "config.yaml", tmp_path).read_text() == "folder: /somewhere\nlr: 1\n"
    assert tracking.fetch(run.id, "config_resumed.yaml", tmp_path).read_text() == "folder: /elsewhere\nlr: 2\n"


def test_cells_of_a_described_table_stand_apart(tracking):
    table = "| | dev | test |\n| --- | ---: | ---: |\n| EER | 0.1 | - |\n"
    with tracking.run("described") as run:
        run.log_results({"test/eer": 0.25}, 1, f"Note: a | b\n\n{table}")
    described = read(run).tags["mlflow.note.content"]
    assert "| EER &emsp;| 0.1 &emsp;| - |\n" in described
    assert "| --- | ---: | ---: |\n" in described
