"""Probability-to-similarity gradient: cosines that are to be one-hot."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from deepfake_lab.losses.angular import AngularLoss


class P2SGrad(AngularLoss):
    """Squared error of the cosines to both class vectors, which should be 1 for the own class and 0 for the other.

    The mean-squared-error form of P2SGrad: Wang and Yamagishi, "A comparative study on recent neural spoofing
    countermeasures for synthetic speech detection" (Interspeech 2021); the sum over both classes, without scale or
    margin. They score by the cosine to bona fide alone. Our score, the difference of both cosines, is proportional to
    the log-likelihood ratio under the Gaussian errors that a squared error stands for.
    """

    name = "p2sgrad"
    class_vectors = 2

    def cost(self, cosines: Tensor, label: Tensor) -> Tensor:
        """See `AngularLoss`."""
        target = functional.one_hot(label, self.class_vectors)
        return (cosines - target).square().sum(1)

    def constants(self) -> Tensor:
        """The mean target."""
        return self.share.double().cpu().unsqueeze(0)
