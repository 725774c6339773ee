"""Whether training may take features out of a cache, and what makes them."""

from __future__ import annotations

import json

import torch

from deepfake_lab.data.features import Recipe
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.frontends.raw import Raw
from deepfake_lab.tasks.detection import DetectionTask
from deepfake_lab.types import LabError


def require_processor(accelerator: str) -> None:
    """Refuses a feature cache where front-ends work on a GPU, which takes less time than reading what they make.

    Args:
        accelerator: as Lightning's Trainer takes it.

    Raises:
        LabError: it is a GPU, or there is one to be taken by itself.
    """
    if accelerator not in ("cpu", "auto") or (accelerator == "auto" and torch.accelerator.is_available()):
        raise LabError(
            f"loader.feature_cache: is for training on a processor, not for trainer.accelerator={accelerator} on this "
            "machine: a front-end on a GPU takes less time than reading. Set loader.feature_cache=null, or "
            "trainer.accelerator=cpu."
        )


def feature_recipe(task: DetectionTask, data: CorpusDataModule) -> Recipe:
    """What makes the features that a task trains on, the same in every epoch.

    Raises:
        LabError: they would not be the same, or would be as large as the audio.
    """
    reasons = {
        "task": type(task) is not DetectionTask and "it trains on waveforms that it changes",
        "augment": (bool(data.augment or len(task.augment) or task.mixup) or task.views > 1)
        and "waveforms are another thing in every epoch (augment=specaugment, of features, goes together)",
        "frontend": (isinstance(task.detector.frontend, Raw) and "its features are the audio; take loader.cache")
        or (any(True for _ in task.detector.frontend.parameters()) and "it has weights; see embedding_cache"),
        "loader.balance": data.balance == "pairs" and "copies are cropped as their originals are",
    }
    for setting, reason in reasons.items():
        if reason:
            raise LabError(f"loader.feature_cache: does not go with this {setting}: {reason}. Set it to null.")
    detector = task.detector
    assert detector.config is not None  # `build_detector` has made it
    made_from = {key: detector.config[key] for key in ("frontend", "treatment")}
    return Recipe(detector.features, json.loads(json.dumps(made_from)))
