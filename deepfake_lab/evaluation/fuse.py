"""Fusion: one score out of those of several detectors on the same trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deepfake_lab.evaluation.calibrate import EFFECTIVE_SPOOF_PRIOR, Affine, fit_affine, fit_logistic
from deepfake_lab.evaluation.scores import same_trials
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

if TYPE_CHECKING:
    from deepfake_lab.models.ensemble import Ensemble, Fusion
    from deepfake_lab.types import Batch


class Weights(NamedTuple):
    """The fused score is ``scores @ weights + offset``.

    Attributes:
        weights: one for each detector, in the order given.
        offset: what is added.
    """

    weights: tuple[float, ...]
    offset: float

    def __call__(self, scores: FloatArray) -> FloatArray:
        """Fused scores ``(N,)`` of the scores ``(N, D)`` of the detectors."""
        return np.asarray(scores @ np.array(self.weights) + self.offset)


class Fused(NamedTuple):
    """Several score tables made one.

    Attributes:
        table: score table of the same trials, in the order of the first: ``raw_score`` is fused, ``score`` is that
            calibrated.
        weights: what made ``raw_score`` out of the tables' ``score``, in the order of the tables.
        calibration: what made ``score`` out of ``raw_score``; the identity where there are no dev trials.
    """

    table: pd.DataFrame
    weights: Weights
    calibration: Affine


def fuse(
    tables: Mapping[str, pd.DataFrame], fusion: Fusion = "mean", spoof_prior: float = EFFECTIVE_SPOOF_PRIOR
) -> Fused:
    """Fuses score tables of the same trials; whatever is fitted is fitted on their dev rows.

    Args:
        tables: score tables by name, for messages: see `deepfake_lab.evaluation.scores`.
        fusion: see `fit_weights`. The mean of tables without dev rows is that of the scores as they are.
        spoof_prior: effective prior of spoofs: see `deepfake_lab.evaluation.calibrate.fit_affine`.

    Raises:
        LabError: there are no tables or no such fusion, their trials are not the same, or dev has a single class.
    """
    if not tables:
        raise LabError("There are no score tables to fuse: name some.")
    aligned = same_trials(tables)
    first = aligned[0]
    scores = np.column_stack([table["score"].to_numpy(dtype=float) for table in aligned])
    label, dev = first["label"].to_numpy(), (first["split"] == "dev").to_numpy()
    if fusion == "mean" and not dev.any():
        weights, calibration = Weights((1 / len(aligned),) * len(aligned), 0.0), Affine(1.0, 0.0)
        raw = weights(scores)
    else:
        weights = fit_weights(scores[dev], label[dev], fusion, spoof_prior)
        raw = weights(scores)
        calibration = fit_affine(*_by_class(raw[dev], label[dev]), spoof_prior)
    return Fused(first.assign(score=calibration(raw), raw_score=raw), weights, calibration)


def fit_weights(
    scores: FloatArray,
    labels: NDArray[np.integer],
    fusion: Fusion = "mean",
    spoof_prior: float = EFFECTIVE_SPOOF_PRIOR,
) -> Weights:
    """Weights of detectors from their scores on dev.

    "mean" is that of scores that are calibrated here, which leaves those of calibrated detectors as they are.
    "logistic_regression" is trained on all detectors together, so it knows which repeat each other; weights may then be
    negative (Brümmer et al., "Fusion of heterogeneous speaker recognition systems", 2007).

    Args:
        scores: ``(N, D)``, one column a detector.
        labels: labels ``(N,)``, 0 = bona fide, 1 = spoof.
        fusion: "mean" or "logistic_regression".
        spoof_prior: effective prior of spoofs: see `deepfake_lab.evaluation.calibrate.fit_affine`.

    Raises:
        LabError: there is no such fusion, a class is empty, or a score is not finite.
    """
    if fusion == "mean":
        maps = [fit_affine(*_by_class(column, labels), spoof_prior) for column in scores.T]
        return Weights(tuple(one.scale / len(maps) for one in maps), sum(one.offset for one in maps) / len(maps))
    if fusion == "logistic_regression":
        *weights, offset = map(float, fit_logistic(*_by_class(scores, labels), spoof_prior))
        return Weights(tuple(weights), offset)
    raise LabError(f"fusion={fusion}: no such fusion. Choose mean or logistic_regression.")


def fit_ensemble(ensemble: Ensemble, batches: Iterable[Batch], spoof_prior: float = EFFECTIVE_SPOOF_PRIOR) -> Weights:
    """Weighs the members of an ensemble by what they say of dev, in the way that the ensemble names.

    Args:
        ensemble: gets the weights; it is then not calibrated. It works on the device that it is on.
        batches: of dev, each trial once.
        spoof_prior: effective prior of spoofs: see `fit_weights`.

    Raises:
        LabError: see `fit_weights`.
    """
    import torch

    ensemble.eval()
    scores, labels = [], []
    with torch.inference_mode():
        for batch in batches:
            scores.append(ensemble(batch.wave.to(ensemble.eer_threshold.device)).embedding.double().cpu())
            labels.append(batch.label.cpu())
    fitted = fit_weights(torch.cat(scores).numpy(), torch.cat(labels).numpy(), ensemble.fusion, spoof_prior)
    ensemble.set_weights(fitted.weights, fitted.offset)
    return fitted


def _by_class(values: FloatArray, labels: NDArray[np.integer]) -> tuple[FloatArray, FloatArray]:
    return values[labels == BONAFIDE], values[labels == SPOOF]
