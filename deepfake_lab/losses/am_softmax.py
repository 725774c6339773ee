"""Additive-margin softmax: the own class must be nearer by a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.losses.angular import AngularLoss, require_positive
from deepfake_lab.types import BONAFIDE, SPOOF, LabError


class AdditiveMarginSoftmax(AngularLoss):
    """Cross-entropy of the softmax of scaled cosines, the own class's less a margin.

    Wang et al., "Additive margin softmax for face verification" (IEEE SPL 2018), of two classes. Scale and
    margin are those of Zhang, Jiang and Duan (IEEE SPL 2021), who took it to spoofed speech.

    Args:
        scale: of the cosines.
        margin: what is taken off the cosine to the own class's vector.

    Raises:
        LabError: the scale is not positive or the margin negative.
    """

    name = "am_softmax"
    class_vectors = 2

    def __init__(self, *, scale: float = 20.0, margin: float = 0.9) -> None:
        super().__init__()
        require_positive("scale", scale)
        if margin < 0:
            raise LabError(f"loss.margin={margin}: the wrong class would be helped. Give 0 or more.")
        self.scale = scale
        self.margin = margin

    def cost(self, cosines: Tensor, label: Tensor) -> Tensor:
        """See `AngularLoss`."""
        bonafide = cosines[:, BONAFIDE] - cosines[:, SPOOF]
        lead = torch.where(label == BONAFIDE, bonafide, -bonafide)
        return functional.softplus(-self.scale * (lead - self.margin))

    def constants(self) -> Tensor:
        """Every difference of two cosines, in steps too small to matter."""
        cosine = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
        return torch.stack([cosine, -cosine], dim=1)
