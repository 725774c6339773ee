"""Augmentation through the real command: in training, and nowhere else."""

import pandas as pd
import pytest
import torch

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.module import CorpusDataModule


def test_all_of_it_at_once_trains_a_detector_and_leaves_evaluation_alone(lab):
    choices = ["augment=[all,mixup]", "augment.utterance.rooms.rooms=3", "augment.wave.noise.p=0.9"]
    status, printed = lab("run", "experiment=toy", "trainer.max_epochs=2", *choices)
    assert status == 0, printed
    recorded = lab.mlflow_runs().iloc[0]
    assert recorded["tags.augment"] == "several"
    told = {"wave.noise.p": "0.9", "wave.noise": "ColouredNoise", "utterance.rooms.p": "0.3", "mixup": "Mixup"}
    assert {name: recorded[f"params.augment.{name}"] for name in told} == told

    (run,) = lab.runs
    detector = load_detector(run / "detector.ckpt")
    module = CorpusDataModule(Toy("corpora/toy-12x0.4s-seed0"), window_s=0.4, num_workers=0)
    module.setup()
    trials = pd.read_parquet(run / "report/scores/test/trials.parquet")
    (batch,) = module.test_dataloader()
    with torch.inference_mode():
        assert detector(batch.wave).score.tolist() == pytest.approx(trials["score"].tolist(), abs=1e-5)
