"""Training takes features out of the cache only where they are the same in every epoch."""

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict
from torch import nn

from deepfake_lab.checkpoint import build_detector
from deepfake_lab.config import build, compose, resolved
from deepfake_lab.tasks.features import feature_recipe, require_processor
from deepfake_lab.types import LabError


def task_and_data(*overrides):
    composed = compose("run", ["data=toy", "run_dir=unused", *overrides], with_hydra=True)
    HydraConfig.instance().set_config(composed)
    with open_dict(composed):
        del composed["hydra"]
    config = resolved(composed)
    HydraConfig.instance().cfg = None
    task = build(
        config["task"],
        detector=build_detector(config["model"]),
        loss=build(config["loss"]),
        optimizer=build(config["optim"]),
    )
    return task, build(config["loader"], corpus=build(config["data"]))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["augment=noise"], "augment"),
        (["augment=rawboost"], "augment"),
        (["augment=mixup"], "augment"),
        (["augment.views=2"], "augment"),
        (["task=adversarial"], "task"),
        (["frontend=mel", "frontend.trainable=true"], "frontend: it has weights"),
        (["model=aasist"], "frontend: its features are the audio"),
        (["loader.balance=pairs"], "loader.balance"),
    ],
)
def test_what_changes_waveforms_is_refused(overrides, message):
    with pytest.raises(LabError, match=f"loader.feature_cache: does not go with this {message}"):
        feature_recipe(*task_and_data(*overrides))


def test_a_gpu_is_refused():
    require_processor("cpu")
    with pytest.raises(LabError, match=r"trainer\.accelerator=cuda on this machine.* trainer\.accelerator=cpu"):
        require_processor("cuda")


def test_features_take_no_process_to_read_unless_asked_for(tmp_path):
    for settings, workers in (([], 0), (["loader.num_workers=1"], 1)):
        overrides = [f"data.root={tmp_path}", f"loader.feature_cache={tmp_path}/features", *settings]
        task, data = task_and_data(*overrides)
        data.setup()
        data.keep_features(feature_recipe(task, data))
        assert data.train_dataloader().num_workers == workers
        assert data.val_dataloader().num_workers == data.num_workers


def test_augmentation_of_features_goes_together():
    task, data = task_and_data("augment=specaugment")
    recipe = feature_recipe(task, data)
    assert recipe.config["frontend"]["bins"] == 128
    assert not isinstance(task.detector.augment_features, nn.Identity)
