"""Residual network of the image field on spectrograms."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import resnet18

from deepfake_lab.models.encoder import Encoder, Standardise, require_bins


class ResNet18(Encoder):
    """torchvision's ResNet-18, untrained, with a stem for the channels of the features and no classifier.

    Maps are averaged over frequency and time, so that any number of bins and any length give 512 components.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.

    Raises:
        LabError: there are fewer than 16 bins.

    Source:
        He et al., "Deep residual learning for image recognition", CVPR 2016, table 1.
    """

    embedding_dim = 512

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        require_bins("ResNet18", bins, 16)
        self.standardise = Standardise(channels, bins)
        self.network = resnet18(weights=None)
        self.network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
        self.network.fc = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Embeddings ``(B, 512)`` of features ``(B, C, F, L)``."""
        embedding: Tensor = self.network(self.standardise(features))
        return embedding
