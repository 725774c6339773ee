"""`python -m deepfake_lab.predict`: say of recordings how probably they are fake."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from deepfake_lab.config import launch, resolved
from deepfake_lab.types import LabError

if TYPE_CHECKING:
    from deepfake_lab.audio import Wave
    from deepfake_lab.models.detector import Detector

MIN_SECONDS = 1.0
"""Recordings shorter than this are scored but not judged."""
MIN_LEVEL_DB = -60.0
"""Recordings with a root mean square below this, in dB of full scale, are scored but not judged."""


@dataclass(frozen=True)
class Prediction:
    """What is said of one recording: the columns of the output.

    Attributes:
        path: of the recording.
        score: mean score of its windows, higher = more bona fide.
        p_fake: probability that it is fake, given the prior.
        verdict: "spoof", "bonafide" or "undecided".
        reason: why it is undecided; empty otherwise.
        duration_s: length in s.
        windows: number of windows that were scored.
    """

    path: str
    score: float
    p_fake: float
    verdict: str
    reason: str
    duration_s: float
    windows: int


def predict(composed: DictConfig) -> None:
    """Scores every recording, prints a table, writes `output`.

    Raises:
        LabError: the checkpoint cannot be used, there is no audio, or files could not be decoded; the others have been
            scored and written by then.
    """
    config = resolved(composed)
    _check(config)
    files = find_audio(Path(config["input"]))
    from rich.console import Console
    from rich.progress import track

    from deepfake_lab.audio import AudioError
    from deepfake_lab.checkpoint import device_called, load_detector

    detector = load_detector(config["checkpoint"]).to(device_called(config["device"]))
    predictions, broken = [], []
    with _rows(config["output"]) as rows:
        for file in track(files, "listening", console=Console(stderr=True), disable=len(files) == 1):
            try:
                predictions.append(predict_file(detector, file, config))
            except AudioError as error:
                broken.append(str(error))
                continue
            if rows is not None:
                rows.writerow(asdict(predictions[-1]))
    _print(predictions)
    if broken:
        raise LabError("\n  ".join([f"{len(broken)} of {len(files)} files could not be scored:", *broken]))


def predict_file(detector: Detector, path: Path, config: dict[str, Any]) -> Prediction:
    """Scores one recording.

    Raises:
        AudioError: it cannot be decoded.
    """
    import torch

    from deepfake_lab import audio

    found = audio.info(path)
    first = config["windows"] == "first"
    start, length = _speech(path) if detector.treatment.trim else (0, found.frames)
    wave = audio.load(path, start, min(length, math.ceil(detector.window_s * found.sample_rate)) if first else length)
    windows = torch.from_numpy(audio.windows(wave, detector.window_samples)[: 1 if first else None])
    with torch.inference_mode():
        batches = torch.split(windows.to(detector.eer_threshold.device), config["batch_size"])
        score = float(torch.cat([detector(batch).score for batch in batches]).double().mean())
    p_fake = 1 / (1 + math.exp(min(score - math.log(config["prior"]["spoof"] / (1 - config["prior"]["spoof"])), 700)))
    duration = found.frames / found.sample_rate
    reason = _doubt(wave, duration)
    verdict = "undecided" if reason else "spoof" if p_fake > config["threshold"] else "bonafide"
    readable = str(path).encode(errors="backslashreplace").decode()  # names of files need not be valid UTF-8
    return Prediction(readable, score, p_fake, verdict, reason, round(duration, 3), len(windows))


def _speech(path: Path) -> tuple[int, int]:
    """First sample and length of what lies between the quiet edges of a recording."""
    from deepfake_lab import audio
    from deepfake_lab.data.inspection import speech

    samples, rate = audio.read(path)
    return speech(samples.mean(axis=1), rate)


def find_audio(source: Path) -> list[Path]:
    """The file itself, or every audio file below a folder, sorted.

    Raises:
        LabError: there is nothing to listen to.
    """
    from deepfake_lab.audio import AUDIO_SUFFIXES

    if source.is_file():
        return [source]
    if not source.is_dir():
        raise LabError(f"input={source}: no such file or folder. Name a recording, or a folder to search.")
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    if not files:
        raise LabError(
            f"input={source}: no audio files in this folder. Known endings: {' '.join(sorted(AUDIO_SUFFIXES))}."
        )
    return files


def _doubt(wave: Wave, duration: float) -> str:
    """Why a recording should not be judged; empty if nothing forbids it."""
    import numpy as np

    if duration < MIN_SECONDS:
        return f"shorter than {MIN_SECONDS:g} s"
    level = 20 * math.log10(float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) + 1e-12)
    return f"silent ({level:.0f} dB of full scale)" if level < MIN_LEVEL_DB else ""


def _check(config: dict[str, Any]) -> None:
    from deepfake_lab.audio import AUDIO_SUFFIXES

    if config["output"] is not None and Path(config["output"]).suffix.lower() in AUDIO_SUFFIXES:
        raise LabError(f"output={config['output']}: is a recording's name. Name a table: output=scores.csv.")
    if config["windows"] not in ("all", "first"):
        raise LabError(f"windows={config['windows']}: choose all or first.")
    if config["batch_size"] < 1:
        raise LabError(f"batch_size={config['batch_size']}: at least one window at a time is needed.")
    for key, value in (("prior.spoof", config["prior"]["spoof"]), ("threshold", config["threshold"])):
        if not 0 < value < 1:
            raise LabError(f"{key}={value}: a probability between 0 and 1 is needed.")


@contextmanager
def _rows(output: str | None) -> Iterator[csv.DictWriter[str] | None]:
    """A CSV file that holds every row as soon as it is written, so that an interruption loses nothing."""
    if output is None:
        yield None
        return
    try:
        file = open(output, "w", newline="", buffering=1, encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise LabError(f"output={output}: cannot be written ({error.strerror}). Name another file.") from error
    with file:
        writer = csv.DictWriter(file, [field.name for field in fields(Prediction)])
        writer.writeheader()
        yield writer


def _print(predictions: list[Prediction]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("file", "p_fake", "verdict", "score", "seconds", "windows", "reason")
    colours = {"spoof": "red", "bonafide": "green", "undecided": "yellow"}
    for one in predictions:
        verdict = f"[{colours[one.verdict]}]{one.verdict}[/]"
        cells = (
            f"{one.p_fake:.3f}",
            verdict,
            f"{one.score:+.2f}",
            f"{one.duration_s:.1f}",
            str(one.windows),
            one.reason,
        )
        table.add_row(escape(one.path), *cells)
    Console().print(table)


def main() -> None:
    """Entry point."""
    launch("predict", predict)


if __name__ == "__main__":
    main()
