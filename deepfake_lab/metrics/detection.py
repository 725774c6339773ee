"""The torchmetrics shell of the detection metrics: gathers trials over batches and processes, each trial once."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from deepfake_lab.metrics.functional import detection_metrics, eer_threshold
from deepfake_lab.types import BONAFIDE, SPOOF, LabError


class DetectionMetrics(Metric):
    """All detection metrics of an epoch, over the trials of every process.

    A distributed sampler repeats some trials to make the shares even; such repetitions count once.

    Args:
        threshold: score from which a trial is accepted as bona fide; None takes the trials' own EER threshold, which
            is right for dev alone. It may be set again at any time before `compute`.

    Attributes:
        calibration: scale and offset that make scores of what was gathered; it may be set at any time before `compute`.
    """

    is_differentiable = False
    full_state_update = False
    index: list[Tensor]
    label: list[Tensor]
    score: list[Tensor]

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__()
        self.threshold = threshold
        self.calibration = (1.0, 0.0)
        for name in ("index", "label", "score"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, label: Tensor, score: Tensor) -> None:
        """Adds a batch.

        Args:
            index: row of each trial in its split's manifest ``(B,)``; it identifies the trial.
            label: labels ``(B,)``, 0 = bona fide, 1 = spoof.
            score: scores ``(B,)``, before calibration, higher = more bona fide; never probabilities.
        """
        self.index.append(index.detach())
        self.label.append(label.detach())
        self.score.append(score.detach().float())

    def trials(self) -> tuple[Tensor, Tensor, Tensor]:
        """Index, label and score before calibration ``(N,)`` of the trials of all processes, by index, each once.

        Where there are several processes, all must call it.
        """
        with self.sync_context(should_sync=not self._is_synced, should_unsync=not self._is_synced):
            if not len(self.index):
                nothing = torch.empty(0, dtype=torch.int64, device=self.device)
                return nothing, nothing, nothing.float()
            index, label, score = dim_zero_cat(self.index), dim_zero_cat(self.label), dim_zero_cat(self.score)
        index, order = torch.sort(index, stable=True)
        first = torch.ones_like(index, dtype=torch.bool)
        first[1:] = index[1:] != index[:-1]
        return index[first], label[order][first], score[order][first]

    def compute(self) -> dict[str, float]:
        """Metrics by name: see `deepfake_lab.metrics.functional.detection_metrics`.

        Raises:
            LabError: a score is NaN; the message gives the indices of the trials.
        """
        bonafide, spoof = self._scores()
        return detection_metrics(bonafide, spoof, self.threshold)

    def eer_threshold(self) -> float:
        """The trials' own EER threshold: what dev hands to train and test.

        Raises:
            LabError: a score is NaN; the message gives the indices of the trials.
        """
        return eer_threshold(*self._scores())

    def _scores(self) -> tuple[Tensor, Tensor]:
        index, label, score = self.trials()
        broken = index[score.isnan()].tolist()
        if broken:
            raise LabError(
                f"{len(broken)} of {len(score)} scores are NaN: rows {', '.join(map(str, broken[:5]))} of the split. "
                "Look at their audio, or train with precision 32 or bf16-mixed: float16 overflows."
            )
        scale, offset = self.calibration
        score = scale * score + offset
        return score[label == BONAFIDE], score[label == SPOOF]
