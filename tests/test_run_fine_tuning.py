"""Fine-tuning, hidden domains and averaged weights, through the real command."""

import json

import pandas as pd
import pytest
import torch

from deepfake_lab.checkpoint import load_detector

TOY = "experiment=toy"


def test_a_run_that_starts_from_a_checkpoint_freezes_and_hides(lab, toy_run):
    start = toy_run / "detector.ckpt"
    status, printed = lab(
        *("run", TOY, f"model.init={start}", "model.freeze=[encoder.convolutions.*,encoder.recurrent.*]"),
        *("model.learning_rates={head.*: 1e-8}", "model.domain=speaker", "callbacks=ema", "trainer.max_epochs=1"),
    )
    assert status == 0, printed
    assert f"model.init={start}: " in printed
    assert "weights taken; new: none; left behind: none" in printed
    (run,) = lab.runs
    before, after = load_detector(start), load_detector(run / "detector.ckpt")
    moved = {
        name: float((now - then).abs().max())
        for (name, now), then in zip(after.state_dict().items(), before.state_dict().values(), strict=True)
    }
    frozen = {name for name in moved if name.startswith(("encoder.convolutions.", "encoder.recurrent."))}
    assert {moved[name] for name in frozen} == {0.0}
    assert moved["encoder.embed.1.weight"] > 1e-4
    assert 0 < moved["head.weight"] < 1e-6
    assert moved["calibration_scale"] > 0
    assert after.config == before.config

    trained = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert [name for name in trained["state_dict"] if name.startswith("domain_classifier.")]
    assert not [name for name in torch.load(run / "detector.ckpt", weights_only=True)["state_dict"] if "domain" in name]
    assert not torch.equal(
        trained["trained_weights"]["weights"]["encoder.embed.1.weight"], after.state_dict()["encoder.embed.1.weight"]
    )
    recorded = lab.mlflow_runs().iloc[0]
    assert {"metrics.train/loss/domain", "metrics.train/domain_accuracy"} <= set(recorded.index)
    asked = {"init": str(start), "learning_rates": '{"head.*": 1e-08}', "domain": "speaker"}
    assert {name: recorded[f"params.model.{name}"] for name in asked} == asked
    assert json.loads(recorded["params.model.freeze"]) == ["encoder.convolutions.*", "encoder.recurrent.*"]


@pytest.mark.slow
def test_a_run_with_stochastic_weight_averaging_keeps_the_average_and_resumes(lab):
    status, printed = lab("run", TOY, "callbacks=swa", "trainer.max_epochs=2", "callbacks.averaging.start=0.5")
    assert status == 0, printed
    (run,) = lab.runs
    curves = pd.read_csv(run / "curves.csv")
    assert curves["epoch"][curves["kept"]].tolist() == [2]
    values = json.loads((run / "report/metrics.json").read_text())
    assert values["dev/eer"] == pytest.approx(curves["dev/eer"].iloc[-1])
    kept, last = (load_detector(run / name).state_dict() for name in ("detector.ckpt", "checkpoints/last.ckpt"))
    assert all(torch.equal(tensor, last[name]) for name, tensor in kept.items())
    trained = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["trained_weights"]
    assert trained["updates"] == 1

    status, printed = lab("run", f"resume={run}", "trainer.max_epochs=3")
    assert status == 0, printed
    assert "epoch   2/" not in printed
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["trained_weights"]["updates"] == 2


def test_evaluation_does_not_start_from_anything(lab, toy_run):
    start = toy_run / "detector.ckpt"
    status, printed = lab("run", TOY, "stages=[test]", f"checkpoint={start}", f"model.init={start}")
    assert status == 2
    assert "model.init= is where training starts" in printed
