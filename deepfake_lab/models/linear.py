"""No network at all: statistics over time, for embeddings that are good already."""

from __future__ import annotations

from torch import Tensor

from deepfake_lab.models.encoder import SequenceEncoder, Standardise, mean_and_deviation, require_bins


class Linear(SequenceEncoder):
    """Mean, and standard deviation, of each bin over time, standardised; the detector's head makes it a linear model.

    Bins are standardised, and once more what is pooled of them: the deviation of a bin differs little between
    utterances, and would hardly be learnt from as it is.

    It shows what the features of a pretrained network know by themselves, and works on any other features too.

    Args:
        channels: number of channels of the features.
        bins: number of bins of the features.
        deviation: give the standard deviation too.

    Raises:
        LabError: there is but one bin: a waveform.
    """

    local_s = 0.4  # the deviation of less is not that of an utterance

    def __init__(self, channels: int, bins: int, deviation: bool = True) -> None:
        super().__init__()
        require_bins("Linear", bins, 2)
        self.deviation = deviation
        self.embedding_dim = channels * bins * (2 if deviation else 1)
        self.standardise = Standardise(channels, bins)
        self.standardise_pooled = Standardise(1, self.embedding_dim)

    def sequence(self, features: Tensor) -> Tensor:
        """Standardised bins ``(B, C F, L)`` of features ``(B, C, F, L)``."""
        standard: Tensor = self.standardise(features)
        return standard.flatten(1, 2)

    def pool(self, sequence: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of bins ``(B, C F, L')``."""
        pooled = mean_and_deviation(sequence) if self.deviation else sequence.mean(dim=-1)
        standard: Tensor = self.standardise_pooled(pooled[:, None, :, None])
        return standard.flatten(1)
