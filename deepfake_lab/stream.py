"""`python -m deepfake_lab.stream`: listen to a stream, flag what sounds fake while it is heard."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from deepfake_lab.config import launch, resolved
from deepfake_lab.types import SAMPLE_RATE, LabError

if TYPE_CHECKING:
    from deepfake_lab.audio import Wave
    from deepfake_lab.serving.streaming import Decision, StreamingDetector

_CHUNK_S = 0.02  # what a microphone gives at once
_BAR = 20


def stream(composed: DictConfig) -> None:
    """Listens until the stream ends or is interrupted, and says what changes.

    Raises:
        LabError: the checkpoint or the source cannot be used.
    """
    config = resolved(composed)
    if config["show"] not in ("changes", "all"):
        raise LabError(f"show={config['show']}: choose changes or all.")
    if config["raw"] is not None and config["raw"] < 1:
        raise LabError(f"raw={config['raw']}: give the rate of the samples in Hz, such as 16000.")
    from deepfake_lab.checkpoint import device_called, load_detector
    from deepfake_lab.serving.judge import Judge
    from deepfake_lab.serving.streaming import StreamingDetector

    detector = load_detector(config["checkpoint"]).to(device_called(config["device"]))
    judge = Judge(
        detector, prior=config["prior"]["spoof"], threshold=config["threshold"], hop_s=_hop_s(config, detector.window_s)
    )
    streaming = StreamingDetector(judge, release=config["release"])
    decisions = 0
    with _logged(config["log"]) as log:
        for decision in _decisions(streaming, _heard(config)):
            decisions += 1
            log(decision)
            _tell(decision, every=config["show"] == "all")
    _clear()
    if not decisions:
        raise LabError(f"input={config['input']}: holds no audio. Name a recording, - for a pipe, or microphone.")
    print(f"{decisions} windows; all together p_fake {streaming.p_fake:.3f}; at the end: {streaming.state}")


def _hop_s(config: dict[str, Any], window_s: float) -> float | None:
    """A detector of shorter windows than the usual distance hears all of them."""
    return None if config["hop_s"] is None else min(config["hop_s"], window_s)


def _decisions(streaming: StreamingDetector, waves: Iterator[Wave]) -> Iterator[Decision]:
    try:
        for wave in waves:
            yield from streaming(wave)
    except KeyboardInterrupt:  # how one ends a microphone
        pass
    yield from streaming.finish()


def _heard(config: dict[str, Any]) -> Iterator[Wave]:
    """What comes in, in chunks of 20 ms, as fast as it is spoken if that is asked for."""
    if config["input"] == "microphone":
        yield from _microphone()
        return
    from deepfake_lab.serving.decoding import RawFormat, Recording

    source = sys.stdin.buffer if config["input"] == "-" else Path(config["input"])
    raw = None if config["raw"] is None else RawFormat(config["raw"])
    size = round(_CHUNK_S * SAMPLE_RATE)
    begun, given = time.monotonic(), 0
    for wave in Recording(source, config["input"], raw=raw).waves():
        for start in range(0, len(wave), size):
            chunk = wave[start : start + size]
            given += len(chunk)
            if config["realtime"]:
                time.sleep(max(begun + given / SAMPLE_RATE - time.monotonic(), 0))
            yield chunk


def _microphone() -> Iterator[Wave]:
    """Chunks of the default microphone, until interrupted."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # the package, or the PortAudio that it needs
        what = "pip install sounddevice, and PortAudio (Debian: libportaudio2)"
        raise LabError(f"input=microphone: cannot be heard ({error}). Install it: {what}.") from error
    size = round(_CHUNK_S * SAMPLE_RATE)
    try:
        with sounddevice.InputStream(samplerate=SAMPLE_RATE, channels=1, dtype="float32", blocksize=size) as device:
            while True:
                yield device.read(size)[0][:, 0]
    except sounddevice.PortAudioError as error:
        raise LabError(f"input=microphone: cannot be heard ({error}). Connect one, or name a file or -.") from error


@contextmanager
def _logged(log: str | None) -> Iterator[Callable[[Decision], None]]:
    """Writes a line for each decision as soon as it is made."""
    if log is None:
        yield lambda _decision: None
        return
    try:
        file = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise LabError(f"log={log}: cannot be written ({error.strerror}). Name another file.") from error
    with file:
        yield lambda decision: print(json.dumps({"time": time.time()} | asdict(decision)), file=file)


def _tell(decision: Decision, *, every: bool) -> None:
    """A line for what changes, or for all; on a terminal, the latest decision below it."""
    filled = round(_BAR * decision.p_fake)
    bar = "#" * filled + "." * (_BAR - filled)
    text = f"{decision.end_s:8.1f} s  [{bar}] {decision.p_fake:.2f}  {decision.state}"
    text += f"  ({decision.reason})" if decision.reason else ""
    if decision.changed or every:
        _clear()
        print(text, flush=True)
    elif sys.stderr.isatty():
        print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print(f"\r{'':<78}\r", end="", file=sys.stderr, flush=True)


def main() -> None:
    """Entry point."""
    launch("stream", stream)


if __name__ == "__main__":
    main()
