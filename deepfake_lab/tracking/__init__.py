"""Everything about MLflow: the only package that imports it."""

from deepfake_lab.tracking.outbox import NAME as OUTBOX
from deepfake_lab.tracking.run import Run, flatten, source_tags
from deepfake_lab.tracking.store import Tracking

__all__ = ["OUTBOX", "Run", "Tracking", "flatten", "source_tags"]
