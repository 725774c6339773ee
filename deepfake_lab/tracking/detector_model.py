"""The detector as MLflow's users know a model: a script that MLflow copies beside the checkpoint and runs to load it.

Nothing is unpickled: the checkpoint is read by `load_detector`, which takes tensors and plain containers alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from scipy.special import expit, logit

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.types import LabError

_BATCH_SIZE = 32


class DetectorModel(PythonModel):
    """Waveforms to scores and probabilities.

    It computes on the CPU; `mlflow.pyfunc.load_model(uri).unwrap_python_model().detector.cuda()` moves it to a GPU.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """Loads the checkpoint."""
        self.detector = load_detector(context.artifacts["detector"])

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # bare: MLflow knows no other hint
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Scores waveforms.

        Args:
            context: what MLflow gave to `load_context`.
            model_input: waveforms ``(B, T)``, float32, mono, 16 kHz, of any length.
            params: `prior_spoof`, the probability of a fake before listening.

        Returns:
            One row a waveform: `score`, higher = more bona fide, and `p_fake`, the probability that it is fake.

        Raises:
            LabError: the prior is not between 0 and 1, or the waveforms are empty.
        """
        prior = (params or {}).get("prior_spoof", 0.5)
        if not 0 < prior < 1:
            raise LabError(f"prior_spoof={prior}: a probability between 0 and 1 is needed.")
        waves = torch.from_numpy(np.ascontiguousarray(model_input)).to(self.detector.eer_threshold.device)
        with torch.inference_mode():
            scores = torch.cat([self.detector(batch).score for batch in torch.split(waves, _BATCH_SIZE)])
        score = scores.double().cpu().numpy()
        return pd.DataFrame({"score": score, "p_fake": expit(logit(prior) - score)})


set_model(DetectorModel())
