"""Everything about MLflow: the only package that imports it."""

from deepfake_lab.tracking.run import Run, flatten, source_tags
from deepfake_lab.tracking.store import Tracking

__all__ = ["Run", "Tracking", "flatten", "source_tags"]
