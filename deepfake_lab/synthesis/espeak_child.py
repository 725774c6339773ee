"""The process behind one eSpeak NG utterance: text from standard input, 16-bit samples to standard output.

Run as a script, by the standard library alone, so that it starts in some hundredths of a second. The function names
and numbers are those of eSpeak NG's `speak_lib.h`.
"""

from __future__ import annotations

import ctypes
import sys

_SYNCHRONOUS, _UTF8 = 2, 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


def main(library: str, data: str, rate: str, voice: str, pitch: str, pitch_range: str) -> None:
    """Speaks standard input.

    Raises:
        SystemExit: the library refused, with what it refused.
    """
    espeak, spoken = ctypes.CDLL(library), bytearray()

    def collect(samples: int | None, count: int, _events: int | None) -> int:
        spoken.extend(ctypes.string_at(samples, 2 * count) if samples else b"")
        return 0

    callback = _CALLBACK(collect)
    sample_rate = espeak.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), 0)
    if sample_rate <= 0:
        raise SystemExit(f"cannot start from {data}")
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_SetVoiceByName(voice.encode()):
        raise SystemExit(f"no voice {voice}")
    for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
        espeak.espeak_SetParameter(parameter, int(value), 0)
    text = sys.stdin.buffer.read()
    if espeak.espeak_Synth(text, ctypes.c_size_t(len(text) + 1), 0, 0, 0, _UTF8, None, None):
        raise SystemExit("cannot speak the text")
    espeak.espeak_Synchronize()
    sys.stdout.buffer.write(sample_rate.to_bytes(4, "little") + spoken)


if __name__ == "__main__":
    main(*sys.argv[1:])
