"""Speech codecs beyond what they were made for: they predict, quantise and build speech anew."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from deepfake_lab.audio import Wave
from deepfake_lab.synthesis.system import Vocoder, at_level_of
from deepfake_lab.types import LabError

_RATE = 8000  # what the codecs are told


class _Coder(NamedTuple):
    """A codec: names of encoder and decoder in FFmpeg, bits a second, and samples that it comes late."""

    encoder: str
    decoder: str
    bit_rate: int
    delay: int


_CODERS: Final = {
    "amr_nb": _Coder("libopencore_amrnb", "libopencore_amrnb", 4750, 40),
    "g723_1": _Coder("g723_1", "g723_1", 6300, 60),
    "opus": _Coder("libopus", "libopus", 6000, 52),
    "real_144": _Coder("real_144", "real_144", 8000, 160),
}
_GSM: Final = "gsm"


@dataclass(frozen=True)
class Codec(Vocoder):
    """Sends speech through a telephone codec at its lowest rate, played at half speed.

    The codec takes the samples for 8 kHz ones. So all of the band passes its model of speech: pitch periods, spectral
    envelope and pulses are wrong in ways of their own, and no band limit tells the copy from the original. It also is
    no channel that real speech comes through.

    Args:
        codecs: names of codecs, of which the seed draws one: "gsm" (full rate, RPE-LTP), "amr_nb" (4.75 kbit/s, ACELP),
            "g723_1" (6.3 kbit/s, MP-MLQ), "real_144" (RealAudio 1.0, 8 kbit/s, CELP), "opus" (6 kbit/s, SILK).

    Raises:
        LabError: an unknown codec.
    """

    codecs: Sequence[str] = (_GSM, *_CODERS)
    families: ClassVar[tuple[str, ...]] = ("codec",)

    def __post_init__(self) -> None:
        """Checks the names."""
        for name in self.codecs:
            if name not in (_GSM, *_CODERS):
                raise LabError(f"codecs: no codec '{name}'. Choose from {', '.join((_GSM, *_CODERS))}.")

    def vocode(self, wave: Wave, seed: int) -> Wave:
        """Copies speech ``(T,)``; see `Vocoder.vocode`."""
        name = str(np.random.default_rng(seed).choice(self.codecs))
        loudest = max(float(np.abs(wave).max()), 1e-9)
        samples = np.round(wave * (0.5 / loudest) * 32768).astype(np.int16)
        return at_level_of(wave, _gsm(samples) if name == _GSM else _coded(samples, _CODERS[name]))


def _coded(samples: npt.NDArray[np.int16], coder: _Coder) -> npt.NDArray[np.float64]:
    """Encodes ``(T,)`` and decodes it again."""
    import av

    padded = np.pad(samples, (0, coder.delay + 960))  # whole frames beyond the end, so that nothing is left inside
    frame = av.AudioFrame.from_ndarray(padded[None], format="s16", layout="mono")
    frame.sample_rate = _RATE
    encoder = cast(av.AudioCodecContext, av.CodecContext.create(coder.encoder, "w"))
    decoder = cast(av.AudioCodecContext, av.CodecContext.create(coder.decoder, "r"))
    for codec in (encoder, decoder):
        codec.sample_rate, codec.layout, codec.format = _RATE, "mono", "s16"
    encoder.bit_rate, encoder.time_base = coder.bit_rate, Fraction(1, _RATE)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    to_rate = av.AudioResampler(format="s16", layout="mono", rate=_RATE)  # libopus decodes to 48 kHz in any case
    decoded = [part for packet in packets for part in decoder.decode(packet)]
    parts = [part.to_ndarray()[0] for given in [*decoded, None] for part in to_rate.resample(given)]
    return np.concatenate(parts)[coder.delay : coder.delay + len(samples)].astype(np.float64)


def _gsm(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """Encodes ``(T,)`` with GSM 06.10 by libsndfile and decodes it again."""
    import soundfile

    coded = io.BytesIO()
    soundfile.write(coded, np.pad(samples, (0, 320)), _RATE, format="WAV", subtype="GSM610")
    decoded: npt.NDArray[np.float64] = soundfile.read(io.BytesIO(coded.getvalue()), dtype="float64")[0]
    return decoded[: len(samples)]
