"""Where somebody speaks: Silero's voice activity detection (MIT), whose weights come with its package."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from onnxruntime import InferenceSession, SessionOptions

from deepfake_lab.audio import Wave
from deepfake_lab.types import SAMPLE_RATE, LabError

STEP: Final = 512
"""Samples that one probability of speech is of."""
STEP_S: Final = STEP / SAMPLE_RATE
SPEECH: Final = 0.5
"""Probability above which it is speech."""
_CONTEXT = 64  # samples before them that the network hears too
_STATE = (1, 1, 128)


class VoiceActivity:
    """Tells how probably each 32 ms hold speech, in audio that comes in chunks of any length."""

    def __init__(self) -> None:
        self._network = _network()
        self.reset()

    def reset(self) -> None:
        """Forgets what it heard."""
        self._left: Wave = np.zeros(_CONTEXT, np.float32)
        self._state = [np.zeros(_STATE, np.float32)] * 2

    def __call__(self, chunk: Wave) -> npt.NDArray[np.float32]:
        """Probabilities ``(N,)`` of the steps of 32 ms that a chunk ``(T,)`` at 16 kHz completes."""
        held = np.concatenate([self._left, chunk])
        count = (len(held) - _CONTEXT) // STEP
        self._left = held[count * STEP :]
        if not count:
            return np.empty(0, np.float32)
        steps = np.lib.stride_tricks.sliding_window_view(held, _CONTEXT + STEP)[: count * STEP : STEP]
        inputs = {"input": np.ascontiguousarray(steps, np.float32), "h": self._state[0], "c": self._state[1]}
        probabilities, *self._state = self._network.run(None, inputs)
        return np.asarray(probabilities, np.float32)


@functools.cache
def _network() -> InferenceSession:
    # its package is not imported: that sets the number of torch's threads to one
    spec = importlib.util.find_spec("silero_vad")
    file = Path(*(spec.submodule_search_locations or ()) if spec else (), "data", "silero_vad_16k_sequence.onnx")
    if spec is None or not file.is_file():
        raise LabError("silero-vad 6.2 or later is not installed: pip install --upgrade silero-vad")
    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
