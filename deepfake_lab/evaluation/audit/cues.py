"""Cues of an utterance that are not about synthesis: a detector that lives on them has learnt the corpus, not the task.

Edge silence told the classes of ASVspoof 2019 apart (Mueller et al., "Speech is silver, silence is golden", 2021),
leading silence those of FakeAVCeleb, multiples of the vocoder's hop those of WaveFake.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray
from scipy.signal import welch

from deepfake_lab import audio
from deepfake_lab.audio import Wave
from deepfake_lab.data.inspection import speech
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.workers import pool, progress
from deepfake_lab.types import LABEL_NAMES, SAMPLE_RATE, SPLITS, LabError

Treat: TypeAlias = Callable[[Wave], Wave]
"""Something done to a waveform ``(T,)`` at 16 kHz before a detector hears it."""

CUE_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "edge silence": ("leading_silence_s", "trailing_silence_s"),
    "duration": ("duration_s",),
    "samples mod 256": ("samples_mod_256",),
    "samples mod 300": ("samples_mod_300",),
    "peak": ("peak_db",),
    "crest factor": ("crest_db",),
    "level": ("level_db",),
    "DC offset": ("dc_offset",),
    "bandwidth": ("bandwidth_hz",),
    "below 80 Hz": ("below_80_hz_db",),
    "noise floor": ("noise_floor_db",),
    "digital zeros": ("zero_share", "zero_run_s"),
    "bit depth": ("bit_depth",),
    "container": ("container",),
    "sample rate": ("sample_rate",),
    "channels": ("channels",),
}
"""Columns of `Cues` that are probed together, under the name that the report gives them."""
DESCRIPTION: Final = ("key", "split", "label", "attack", "codec", "speaker", "group")
"""Columns of the manifest that stand before the cues."""
PARALLEL_FROM: Final = 500
"""Utterances above which starting worker processes pays."""

_DB_FLOOR: Final = -120.0  # below the noise of 16 bits, so that silence is a number too
_NOISE_FRAME: Final = SAMPLE_RATE // 50
_SPECTRUM_FRAME: Final = 4096  # 4 Hz a bin: a low voice must not leak below 80 Hz
_SMOOTH_HZ: Final = 100.0
_BAND_RANGE: Final = 1e-6  # 60 dB: what a codec's or resampler's low-pass leaves lies deeper
_FULL_SCALE: Final = 2**23  # float32 holds 24 bits
_A_TASK: Final = 16  # utterances; a worker is asked for so many at once


class Cues(NamedTuple):
    """Cues of one utterance: levels in dB of full scale, at least -120; none is NaN.

    Attributes:
        leading_silence_s: 10 ms frames before the first within 40 dB of the loudest.
        trailing_silence_s: likewise at the end.
        duration_s: length.
        samples_mod_256: length at the file's own rate modulo 256, a usual hop of vocoders.
        samples_mod_300: likewise modulo 300.
        peak_db: largest magnitude.
        crest_db: peak above the root mean square.
        level_db: root mean square.
        dc_offset: mean sample, of full scale, to the sixth digit.
        bandwidth_hz: highest frequency at which the long-term spectrum lies within 60 dB of its maximum.
        below_80_hz_db: share of the energy below 80 Hz.
        noise_floor_db: level of the quietest 5 % of 20 ms frames.
        zero_share: share of samples that are exactly zero.
        zero_run_s: longest run of such samples.
        bit_depth: bits down to the lowest one used, 24 at most; 0 for digital silence.
        container: format and encoding of the file, such as "FLAC PCM_16"; the ending where only PyAV reads it.
        sample_rate: of the file, in Hz.
        channels: of the file.
    """

    leading_silence_s: float
    trailing_silence_s: float
    duration_s: float
    samples_mod_256: float
    samples_mod_300: float
    peak_db: float
    crest_db: float
    level_db: float
    dc_offset: float
    bandwidth_hz: float
    below_80_hz_db: float
    noise_floor_db: float
    zero_share: float
    zero_run_s: float
    bit_depth: float
    container: str
    sample_rate: float
    channels: float


class Extract(NamedTuple):
    """Where an utterance lies: samples at the file's own rate, which is `sample_rate` Hz."""

    path: str
    start: int
    frames: int
    sample_rate: int
    channels: int


def measure(
    manifest: Manifest,
    *,
    limit: int = 1000,
    trim: bool = False,
    treat: Treat | None = None,
    workers: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """Measures a sample of a corpus.

    Args:
        manifest: the utterances.
        limit: most utterances of each class of each split; drawn at random where there are more.
        trim: measure only what lies between the quiet edges that the manifest knows.
        treat: what is done to each waveform before it is measured. Container, sample rate and channels are the file's
            in any case.
        workers: processes, where there are more than `PARALLEL_FROM` utterances.
        seed: of the sample; the same seed measures the same utterances.

    Returns:
        A row an utterance that can be read: the columns `DESCRIPTION`, then the fields of `Cues`.
    """
    table = manifest.table.take(_sample(manifest, limit, seed))
    begin, length = ("speech_start", "speech_frames") if trim else ("start", "frames")
    rows = table.select(["path", begin, length, "sample_rate", "channels"]).to_pydict().values()
    extracts = [Extract(f"{manifest.root}/{path}", *rest) for path, *rest in zip(*rows, strict=True)]
    found = list(_measured(extracts, treat, workers))
    frame = table.select(list(DESCRIPTION)).to_pandas()
    read = [cues is not None for cues in found]
    cues = pd.DataFrame([cues for cues in found if cues is not None], columns=list(Cues._fields))
    joined: pd.DataFrame = pd.concat([frame[read].reset_index(drop=True), cues], axis=1)
    return joined


def cues_of(extract: Extract, treat: Treat | None = None) -> Cues:
    """Cues of one utterance.

    Args:
        extract: where it lies.
        treat: what is done to the waveform before it is measured.

    Raises:
        LabError: the file cannot be read.
    """
    wave = audio.load(extract.path, extract.start, extract.frames)
    stored, rate = wave, SAMPLE_RATE
    if treat is not None:
        wave = stored = treat(wave)
    elif (extract.sample_rate, extract.channels) != (SAMPLE_RATE, 1):  # zeros and bits do not outlive resampling
        stored, rate = audio.read(extract.path, extract.start, extract.frames)
    begin, length = speech(wave, SAMPLE_RATE)
    peak_db = _decibel(float(np.abs(wave).max()) ** 2)
    level_db = _decibel(float(np.mean(np.square(wave, dtype=np.float64))))
    bandwidth, below_80 = _spectral_cues(wave)
    zero_share, zero_run = _zeros(stored)
    return Cues(
        leading_silence_s=begin / SAMPLE_RATE,
        trailing_silence_s=(len(wave) - begin - length) / SAMPLE_RATE,
        duration_s=extract.frames / extract.sample_rate,
        samples_mod_256=float(extract.frames % 256),
        samples_mod_300=float(extract.frames % 300),
        peak_db=peak_db,
        crest_db=peak_db - level_db,
        level_db=level_db,
        dc_offset=round(float(wave.mean(dtype=np.float64)), 6),
        bandwidth_hz=bandwidth,
        below_80_hz_db=below_80,
        noise_floor_db=_noise_floor(wave),
        zero_share=zero_share,
        zero_run_s=zero_run / rate,
        bit_depth=_bit_depth(stored),
        container=_container(extract.path),
        sample_rate=float(extract.sample_rate),
        channels=float(extract.channels),
    )


def _sample(manifest: Manifest, limit: int, seed: int) -> NDArray[np.intp]:
    """Rows in manifest order, at most `limit` of each class of each split."""
    split, label = manifest.table["split"].to_numpy(), manifest.table["label"].to_numpy()
    rng = np.random.default_rng(seed)
    drawn = []
    for name in SPLITS:
        for number in range(len(LABEL_NAMES)):
            rows = np.flatnonzero((split == name) & (label == number))
            drawn.append(rows if len(rows) <= limit else rng.choice(rows, limit, replace=False))
    return np.sort(np.concatenate(drawn))


def _measured(extracts: Sequence[Extract], treat: Treat | None, workers: int) -> Iterator[Cues | None]:
    """Cues of each extract, in order, behind a progress bar; None where it cannot be read."""
    attempt = functools.partial(_attempt, treat=treat)
    with contextlib.ExitStack() as stack:
        if len(extracts) > PARALLEL_FROM and workers != 1:
            found = stack.enter_context(pool(workers)).map(attempt, extracts, chunksize=_A_TASK)
        else:
            found = map(attempt, extracts)
        advance = stack.enter_context(progress("audit: listening", 0, len(extracts)))
        for cues in found:
            yield cues
            advance(1)


def _attempt(extract: Extract, treat: Treat | None) -> Cues | None:
    try:
        return cues_of(extract, treat)
    except LabError:  # preparing a corpus names its broken files; here they are only counted
        return None


def _container(path: str) -> str:
    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, TypeError, UnicodeEncodeError):
        return path.rpartition(".")[2].lower()
    return f"{header.format} {header.subtype}"


def _decibel(power: float) -> float:
    return max(10 * float(np.log10(max(power, 1e-30))), _DB_FLOOR)


def _frame_power(wave: Wave, length: int) -> NDArray[np.float64]:
    """Mean power of consecutive frames; what does not fill the last one is left out."""
    length = min(length, len(wave))
    frames = wave[: len(wave) // length * length].reshape(-1, length)
    return np.asarray(np.square(frames, dtype=np.float64).mean(axis=1))


def _noise_floor(wave: Wave) -> float:
    power = np.sort(_frame_power(wave, _NOISE_FRAME))
    return _decibel(float(power[: max(1, len(power) // 20)].mean()))


def _spectral_cues(wave: Wave) -> tuple[float, float]:
    """Bandwidth in Hz and share of the energy below 80 Hz in dB."""
    frequency, density = welch(wave.astype(np.float64), SAMPLE_RATE, nperseg=min(_SPECTRUM_FRAME, len(wave)))
    total = density.sum()
    if total <= 0:
        return 0.0, _DB_FLOOR
    width = max(1, round(_SMOOTH_HZ / frequency[1]))
    smooth = np.convolve(density, np.ones(width) / width, mode="same")  # a single line is no band
    bandwidth = frequency[np.flatnonzero(smooth >= _BAND_RANGE * smooth.max())[-1]]
    return float(bandwidth), _decibel(float(density[frequency < 80].sum() / total))


def _zeros(samples: Wave) -> tuple[float, int]:
    """Share of digital zeros, and the longest run of them in samples."""
    zero = ~samples.any(axis=1) if samples.ndim == 2 else samples == 0
    edges = np.flatnonzero(np.diff(zero, prepend=False, append=False))
    return float(zero.mean()), int((edges[1::2] - edges[::2]).max(initial=0))


def _bit_depth(samples: Wave) -> float:
    """Bits from full scale down to the lowest one that any sample uses."""
    bits = int(np.bitwise_or.reduce(np.rint(samples.ravel() * np.float64(_FULL_SCALE)).astype(np.int64)))
    return float(24 - ((bits & -bits).bit_length() - 1)) if bits else 0.0
