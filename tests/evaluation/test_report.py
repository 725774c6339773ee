import base64
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation.pages.origin import Origin
from deepfake_lab.evaluation.report import Notes, read_notes, read_scores, write_report
from deepfake_lab.evaluation.summary import summarize
from deepfake_lab.types import LabError

TABLES = {
    "usual": {},
    "few and parted": {"sentences": 10, "scale": 20.0},
    "all equal": {"sentences": 10, "scale": 0.0, "spread": 0.0},
    "inverted": {"scale": -5.0},
    "many systems": {"attacks": {"test": tuple(f"A{number}" for number in range(17, 33))}},
    "one split": {"attacks": {"dev": ("world",)}},
}
ALWAYS = {"score_distributions", "confusion_matrix"}
RATED = ALWAYS | {"det", "roc", "reliability", "conditions"}


def names(folder):
    return {path.stem for path in folder.glob("*.png")}


@pytest.mark.parametrize("name", TABLES)
def test_every_table_can_be_reported(make_table, tmp_path, name):
    table = make_table(**TABLES[name])
    write_report(table, summarize(table, 0.0, replicates=20), tmp_path)
    assert names(tmp_path) == RATED
    page = (tmp_path / "report.html").read_text()
    for picture in tmp_path.glob("*.png"):
        assert base64.b64encode(picture.read_bytes()).decode() in page
    assert read_scores(tmp_path).sort_values("key")["score"].tolist() == table.sort_values("key")["score"].tolist()


def test_a_single_class_has_no_curves(make_table, tmp_path):
    table = make_table({"test": ("world",)})
    table = table[table["label"] == 0]
    write_report(table, summarize(table, 0.0, replicates=20), tmp_path)
    assert names(tmp_path) == ALWAYS


def test_only_what_is_there_is_drawn(make_table, tmp_path):
    table = make_table({"test": ("world", "piper")}, sentences=30)
    table["codec"] = np.where(table.index % 2, "C01", "-")
    curves = {"epoch": [1], "train/loss": [0.5], "dev/loss": [0.6], "dev/eer": [0.1], "kept": [True]}
    origin = Origin("crnn", curves=pd.DataFrame(curves))
    write_report(table, summarize(table, np.nan, replicates=20), tmp_path, origin)
    assert names(tmp_path) == RATED - {"confusion_matrix"} | {"attack_codec", "learning_curves"}
    assert not (tmp_path / "confusion_matrix.json").exists()


def test_notes_outlive_the_run(make_table, tmp_path):
    table = make_table({"test": ("world",)})
    summary = dataclasses.replace(summarize(table, 0.0, replicates=20), notes=("<small>",), skipped=3, control=True)
    assert read_notes(tmp_path) == Notes()
    write_report(table, summary, tmp_path / "report")
    for folder in (tmp_path, tmp_path / "report"):
        assert read_notes(folder) == Notes(("<small>",), 3, True)
    assert "&lt;small&gt;" in (tmp_path / "report/report.html").read_text()


def test_an_origin_knows_what_the_folder_holds(tmp_path):
    assert Origin.of_run(tmp_path) == Origin(tmp_path.name)
    (tmp_path / "run.json").write_text(json.dumps({"mlflow_run_id": "4eaf", "command": "python -m deepfake_lab.run"}))
    (tmp_path / "config.yaml").write_text("seed: 0")
    (tmp_path / "curves.csv").write_text(
        "epoch,train/loss,dev/loss,dev/eer,kept\n1,0.7,0.7,0.5,False\n2,0.6,0.7,0.4,True\n"
    )
    origin = Origin.of_run(tmp_path)
    assert (origin.run_id, origin.command, origin.config) == ("4eaf", "python -m deepfake_lab.run", "seed: 0")
    assert origin.curves["epoch"][origin.curves["kept"]].tolist() == [2]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "[1, 2]"),
        ("run.json", '{"command": 5}'),
        ("run.json", "[" * 100_000),
        ("run.json", "\x00"),
        ("curves.csv", ""),
        ("curves.csv", "epoch,kept\n1,False\n"),
        ("curves.csv", "epoch,train/loss,dev/loss,dev/eer,kept\n1,a,b,c,d\n"),
    ],
    ids=lambda text: text[:20],
)
def test_a_damaged_file_of_an_origin_is_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(LabError, match=f"/{name}: "):
        Origin.of_run(tmp_path)


def test_a_folder_without_scores_is_refused(tmp_path):
    with pytest.raises(LabError, match="holds no score tables"):
        read_scores(tmp_path)
