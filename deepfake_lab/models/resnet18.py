"""Residual network of the image field on spectrograms."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from deepfake_lab.models.encoder import SequenceEncoder, Standardise, require_bins


class ResNet18(SequenceEncoder):
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
    stride = 32

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        require_bins("ResNet18", bins, 16)
        self.standardise = Standardise(channels, bins)
        self.network = resnet18(weights=None)
        self.network.conv1 = nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
        self.network.fc = nn.Identity()

    def sequence(self, features: Tensor) -> Tensor:
        """Means over frequency ``(B, 512, ceil(L / 32))`` of the last maps of features ``(B, C, F, L)``."""
        net = self.network
        maps = net.maxpool(net.relu(net.bn1(net.conv1(self.standardise(features)))))
        maps = net.layer4(net.layer3(net.layer2(net.layer1(maps))))
        return torch.mean(maps, dim=2)

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, 512)``: means over time of a sequence ``(B, 512, L')``."""
        return sequence.mean(dim=-1)
