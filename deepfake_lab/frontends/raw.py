"""The waveform itself."""

from __future__ import annotations

from torch import Tensor

from deepfake_lab.frontends.frontend import Frontend, Normalise, pre_emphasised
from deepfake_lab.frontends.post import Post


class Raw(Frontend):
    """Samples as frames of one bin, ``(B, T) -> (B, 1, 1, T)``, for encoders that learn their own filters.

    Args:
        pre_emphasis: how much of the previous sample is taken from each; 0 leaves the waveform as it is.
        normalise: see `deepfake_lab.frontends.frontend.Normalise`.
        post: see `deepfake_lab.frontends.post.Post`.
    """

    def __init__(self, pre_emphasis: float = 0.0, normalise: Normalise = "none", post: Post | None = None) -> None:
        super().__init__(normalise, post)
        self.pre_emphasis = pre_emphasis
        self.channels, self.bins, self.hop, self.min_samples = 1, self.post.bins(1), 1, 1

    def features(self, wave: Tensor) -> Tensor:
        """Samples ``(B, 1, 1, T)`` of waveforms ``(B, T)``."""
        return pre_emphasised(wave, self.pre_emphasis)[:, None, None]
