"""`python -m deepfake_lab.adversary`, for real."""

import mlflow
import pandas as pd
import pytest
from make_detectors import make_detectors

from deepfake_lab.evaluation.scores import by_class, read_table
from deepfake_lab.metrics.functional import eer

QUICK = (
    "data=toy",
    "adversary.steps=3",
    "snr_db=[20,40]",
    "checked=4",
    "replicates=20",
    "tracking.system_metrics=false",
)


@pytest.fixture
def detectors(lab):
    """Checkpoints of two small detectors with windows as long as the toy corpus's."""
    return make_detectors(lab.folder)


def test_attacks_reports_and_goes_on_where_it_was_stopped(lab, detectors):
    command = ("adversary", f"checkpoint={detectors[0]}", *QUICK)
    status, printed = lab(*command)
    assert status == 0, printed
    assert "SNR 20 dB" in printed
    assert "The detector brings no threshold" in printed
    (folder,) = lab.folder.glob("runs/adversary/pgd-toy-*")
    rows = pd.read_csv(folder / "robustness.csv").set_index("budget")
    assert list(rows.index) == ["clean", "snr_db=40", "snr_db=20"]
    assert rows["eer"].is_monotonic_increasing
    for budget, row in rows.iterrows():
        table = read_table(folder / "scores" / budget / "trials.parquet")
        assert len(table) == 24
        assert row["eer"] == pytest.approx(eer(*by_class(table)))
    parts = {path: path.stat().st_mtime_ns for path in folder.glob("parts/*.npy")}
    assert len(parts) == 6

    first, *others = parts
    first.unlink()
    (folder / "robustness.csv").rename(folder / "before.csv")
    assert lab(*command)[0] == 0
    assert all(path.stat().st_mtime_ns == parts[path] for path in others)
    assert (folder / "robustness.csv").read_bytes() == (folder / "before.csv").read_bytes()
    (run,) = lab.mlflow_runs().to_dict("records")
    assert (run["tags.kind"], run["tags.adversary"], run["tags.source"]) == ("adversary", "pgd", "white box")
    assert run["metrics.adversary/snr_db_20/eer"] == pytest.approx(rows["eer"]["snr_db=20"])
    artifacts = {entry.path for entry in mlflow.MlflowClient().list_artifacts(run["run_id"])}
    assert {"robustness.html", "robustness.csv", "robustness.png", "scores"} <= artifacts


def test_what_another_detector_suggests_misleads_less(lab, detectors):
    settings = ("adversary", f"checkpoint={detectors[0]}", *QUICK[:2], *QUICK[4:], "checked=0")
    changes = ("targets=spoof", "epsilon=[0.01]")
    for more in ((), (f"source={detectors[1]}",)):
        status, printed = lab(*settings, *changes, *more)
        assert status == 0, printed
    assert "spoof alone changed, found with another detector" in (printed + str(lab.mlflow_runs().to_dict()))
    own, foreign = lab.mlflow_runs()["metrics.adversary/epsilon_0.01/eer"]
    assert own > foreign
    for folder in lab.folder.glob("runs/adversary/*"):
        clean, changed = (read_table(folder / "scores" / name / "trials.parquet") for name in ("clean", "epsilon=0.01"))
        moved = changed["score"] != clean["score"]
        assert (moved == (clean["label"] == 1)).all()


def test_settings_that_mean_nothing_are_refused_at_once(lab):
    for override, why in (
        ("targets=all", "choose from both, spoof, bonafide"),
        ("split=eval", "choose from train, dev, test"),
        ("epsilon=[0]", "one or more budgets"),
        ("snr_db=[]", "one or more budgets"),
        ("most=3", "20 at least"),
        ("adversary=pdg", "Did you mean pgd"),
        ("most=100", "no such checkpoint"),
    ):
        status, printed = lab("adversary", "checkpoint=none.ckpt", "data=toy", override)
        assert (status, why in printed) == (2, True), printed
    assert not list(lab.folder.glob("runs/*"))
