"""The main job on a corpus of partial spoofs: where the fake is becomes a part of the results."""

import csv
import json

import numpy as np
import pytest
import soundfile

TOY = "experiment=toy"


@pytest.fixture
def partial_spoofs(tmp_path):
    """A table of hiss, in half of which some is replaced by a tone."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(60):
        wave = 0.1 * draw.standard_normal(19_200)
        if number % 2:
            wave[6_400:11_200] = 0.2 * np.sin(0.2 * np.arange(4_800))
        soundfile.write(tmp_path / f"{number}.flac", wave, 16_000)
        split = ("train", "dev", "test")[number // 20]
        rows.append([f"{number}.flac", number % 2, split, "0.4-0.7" if number % 2 else ""])
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "spoof_spans"], *rows])
    return tmp_path / "mine.csv"


def test_segments_are_evaluated_recorded_and_reported(lab, partial_spoofs):
    status, printed = lab(
        "run", TOY, "data=folder", f"data.manifest={partial_spoofs}", "loader.window_s=1.2", "trainer.max_epochs=1"
    )
    assert status == 0, printed
    assert "segment EER %" in printed
    (run,) = lab.runs
    values = json.loads((run / "report/metrics.json").read_text())
    assert 0 <= values["test/segment_eer"] <= values["test/segment_eer_ci_high"] <= 1
    recorded = lab.mlflow_runs().iloc[0]
    assert recorded["metrics.test/segment_eer"] == pytest.approx(values["test/segment_eer"])
    assert (run / "report/score_over_time.png").stat().st_size > 0
    assert "onset, median error" in (run / "report/report.md").read_text()
    assert "Where in a recording the fake is" in (run / "report/report.html").read_text()

    status, printed = lab("report", "what=run", f"run={run}", f"output={lab.folder / 'again'}")
    assert status == 0, printed
    assert json.loads((lab.folder / "again/metrics.json").read_text()) == values
