"""Configuration: schema, checks before any work, and the way every command starts."""

from deepfake_lab.config.checks import build, check_targets, chosen, resolved, resumed, suggestion
from deepfake_lab.config.launch import USER_ERROR, Terminated, compose, explain, launch, quoted
from deepfake_lab.config.multirun import PARENT_RUN_VARIABLE, MultirunParent
from deepfake_lab.config.schema import CONF, BenchmarkConfig, ModelTraining, RunConfig

__all__ = [
    "CONF",
    "PARENT_RUN_VARIABLE",
    "USER_ERROR",
    "BenchmarkConfig",
    "ModelTraining",
    "MultirunParent",
    "RunConfig",
    "Terminated",
    "build",
    "check_targets",
    "chosen",
    "compose",
    "explain",
    "launch",
    "quoted",
    "resolved",
    "resumed",
    "suggestion",
]
