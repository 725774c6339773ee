"""One-class softmax: real speech is alike, and fakes are whatever is not."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from deepfake_lab.losses.angular import AngularLoss, require_positive
from deepfake_lab.types import BONAFIDE, LabError


class OneClassSoftmax(AngularLoss):
    """``ln(1 + exp(scale (margin - cos)))`` for bona fide, ``ln(1 + exp(scale (cos - margin)))`` for spoof.

    Zhang, Jiang and Duan, "One-class learning towards synthetic voice spoofing detection" (IEEE SPL 2021).
    There is one class vector. Bona fide is drawn within an angle of it, spoof pushed out of a wider one.

    Args:
        scale: of the cosines.
        bonafide_margin: cosine beyond which bona fide costs little.
        spoof_margin: cosine below which spoof costs little.

    Raises:
        LabError: the scale is not positive, or the margins are not cosines in that order.
    """

    name = "oc_softmax"
    class_vectors = 1

    def __init__(self, *, scale: float = 20.0, bonafide_margin: float = 0.9, spoof_margin: float = 0.2) -> None:
        super().__init__()
        require_positive("scale", scale)
        if not -1 <= spoof_margin < bonafide_margin <= 1:
            raise LabError(
                f"loss.bonafide_margin={bonafide_margin}, loss.spoof_margin={spoof_margin}: both are cosines, "
                "in [-1, 1], and that of bona fide is the greater."
            )
        self.scale = scale
        self.bonafide_margin = bonafide_margin
        self.spoof_margin = spoof_margin

    def cost(self, cosines: Tensor, label: Tensor) -> Tensor:
        """See `AngularLoss`."""
        cosine = cosines[:, 0]
        missing = torch.where(label == BONAFIDE, self.bonafide_margin - cosine, cosine - self.spoof_margin)
        return functional.softplus(self.scale * missing)

    def constants(self) -> Tensor:
        """Every cosine, in steps too small to matter."""
        return torch.linspace(-1, 1, 20_001, dtype=torch.float64).unsqueeze(1)
