"""`python -m deepfake_lab.robustness`, for real."""

import mlflow
import pandas as pd
import pytest
from make_detectors import make_detectors

from deepfake_lab.metrics.functional import eer

WHITE = ("data=toy", "conditions=noise", "conditions.pink=null", "conditions.brown=null")
QUICK = (
    *WHITE,
    "conditions.white.values=[20,0]",
    "num_workers=0",
    "replicates=20",
    "tracking.system_metrics=false",
)


def test_compares_goes_on_and_scores_only_what_is_new(lab):
    one, two = make_detectors(lab.folder)
    command = ("robustness", f"checkpoints={{before: {one}, after: {two}}}", *QUICK)
    status, printed = lab(*command)
    assert status == 0, printed
    assert "before brings no threshold" in printed
    (folder,) = lab.folder.glob("runs/robustness/toy-*")
    rows = pd.read_csv(folder / "robustness.csv", keep_default_na=False, dtype={"level": str})
    assert rows[["detector", "condition", "level"]].to_numpy().tolist() == [
        [name, *place]
        for name in ("before", "after")
        for place in (["clean", ""], ["white", "20"], ["white", "0"], ["mean", ""])
    ]
    scores = pd.read_parquet(folder / "scores.parquet")
    worst = scores[(scores["detector"] == "after") & (scores["level"] == "0")]
    classes = (worst["score"][worst["label"] == label].to_numpy() for label in (0, 1))
    assert float(rows["eer"].iloc[6]) == pytest.approx(eer(*classes))
    (run,) = lab.mlflow_runs().to_dict("records")
    assert run["metrics.robustness/after/white/0/eer"] == pytest.approx(float(rows["eer"].iloc[6]))
    artifacts = {entry.path for entry in mlflow.MlflowClient().list_artifacts(run["run_id"])}
    assert {"robustness.html", "robustness.csv", "robustness.png", "scores.parquet"} <= artifacts

    scored = {path: path.stat().st_mtime_ns for path in lab.folder.glob("runs/robustness/scores/*/*.parquet")}
    assert len(scored) == 6
    gone = next(path for path in scored if path.stem != "clean")
    gone.unlink()
    before = (folder / "robustness.csv").read_bytes()
    assert lab(*command)[0] == 0
    assert (folder / "robustness.csv").read_bytes() == before
    assert {path for path in scored if path.stat().st_mtime_ns != scored[path]} == {gone}
    assert len(lab.mlflow_runs()) == 1
    status, printed = lab("robustness", f"checkpoints={two}", *QUICK, "conditions.white.values=[20,10,0]")
    assert status == 0, printed
    assert len([*lab.folder.glob("runs/robustness/scores/*/*.parquet")]) == 7


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("split=eval", "choose from train, dev, test"),
        ("cluster=attack", "choose from group, speaker"),
        ("most=3", "20 at least"),
        ("conditions.white=null", "conditions is empty"),
        ("checkpoints=[runs/A/detector.ckpt,other/A/checkpoints/best.ckpt]", "names of their own"),
        ("checkpoints=[]", "one to 6"),
        ("seed=1", "no such checkpoint"),
    ],
)
def test_settings_that_mean_nothing_are_refused_at_once(lab, override, why):
    status, printed = lab("robustness", "checkpoints=none.ckpt", *WHITE, override)
    assert (status, why in printed) == (2, True), printed
    assert not list(lab.folder.glob("runs/*"))
