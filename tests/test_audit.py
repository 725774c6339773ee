"""`python -m deepfake_lab.audit`, for real."""

import make_fakeavceleb
import make_wavefake
import mlflow
import pandas as pd
import pytest


def test_audits_toy_with_a_treatment_and_against_another_corpus(lab):
    overrides = ["data=toy", "treatment=all", "data@against=toy", "against.seed=1", "tracking.system_metrics=false"]
    status, printed = lab("audit", *overrides)
    assert status == 0, printed
    assert "Fit for training: no. Because even after the treatment" in printed
    assert "test treated" in printed
    assert "toy train+dev and toy test" in printed
    assert len(list(lab.folder.glob("corpora/toy-*"))) == 2
    (folder,) = lab.folder.glob("audits/toy-*")
    cues = pd.read_parquet(folder / "cues.parquet")
    assert cues.groupby("treatment").size().to_dict() == {"as it is": 72, "treated": 72}
    assert (cues["level_db"][cues["treatment"] == "treated"] + 26).abs().max() < 0.1
    assert "data:image/png" in (folder / "audit.html").read_text()
    runs = lab.mlflow_runs()
    (run,) = runs.to_dict("records")
    assert (run["status"], run["tags.kind"], run["tags.fit.training"]) == ("FINISHED", "audit", "false")
    assert run["params.treatment.trim"] == "True"
    assert 0 <= run["metrics.audit/dev/eer"] < 0.4
    assert run["metrics.audit/container/test/eer"] == 0.5
    assert {"metrics.audit/treated/test/eer", "metrics.audit/overlap/train-test/group"} <= set(runs.columns)
    assert "Fit for training" in run["tags.mlflow.note.content"]
    artifacts = {entry.path for entry in mlflow.MlflowClient().list_artifacts(run["run_id"])}
    assert {"audit.html", "cues.parquet", "config.yaml"} <= artifacts


def test_leaves_the_audio_alone_by_default(lab):
    status, printed = lab("audit", "data=toy", "data.utterances=10", "limit=10", "tracking.system_metrics=false")
    assert status == 0, printed
    assert "treated" not in printed
    (folder,) = lab.folder.glob("audits/toy-*")
    assert set(pd.read_parquet(folder / "cues.parquet")["treatment"]) == {"as it is"}


def test_settings_that_mean_nothing_are_refused_at_once(lab):
    for override, why in (
        ("threshold=0.7", "chance is 0.5"),
        ("limit=0", "listen to one"),
        ("data@against=tou", "Did you mean toy"),
    ):
        status, printed = lab("audit", "data=toy", override)
        assert status == 2
        assert why in printed
    assert not list(lab.folder.glob("corpora/*"))


def eers(lab):
    """Logged EER of each cue, by name and split, of the last run."""
    metrics = lab.mlflow_runs().iloc[-1].filter(regex=r"^metrics\.audit/.*/eer$")
    return {name.removeprefix("metrics.audit/").removesuffix("/eer"): value for name, value in metrics.items()}


def test_finds_the_silence_before_cloned_voices_and_that_trimming_takes_it_away(lab):
    found = make_fakeavceleb.make(lab.folder / "disk", identities=40)
    settings = ["data=fakeavceleb", f"data.root={found['root']}", "tracking.system_metrics=false"]
    status, printed = lab("audit", *settings, "treatment.trim=true")
    assert status == 0, printed
    measured = eers(lab)
    for split in ("train", "dev", "test"):
        assert measured[f"edge_silence/{split}"] < 0.1
        assert measured[f"treated/edge_silence/{split}"] > 0.4
    assert "Fit for training: no. Because" in printed


@pytest.mark.slow
def test_finds_the_lengths_of_vocoders(lab):
    found = make_wavefake.make(lab.folder / "disk", chapters=8, clips=12)
    settings = ["data=wavefake", f"data.root={found['root']}", f"data.ljspeech_root={found['ljspeech_root']}"]
    status, printed = lab("audit", *settings, "data.held_out=[]", "tracking.system_metrics=false")
    assert status == 0, printed
    assert eers(lab)["samples_mod_256/train"] < 0.2
    assert "samples mod 256" in printed.partition("Fit for training: no. Because")[2]
