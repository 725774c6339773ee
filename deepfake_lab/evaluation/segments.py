"""Where in a partial spoof the fake is: errors over segments of equal length, and over where it begins.

A segment is a spoof if any part of it is. Trials are the segments of real utterances and of partial spoofs, without
those of utterances that are fake as a whole, in which there is nothing to find.

Source:
    Zhang et al., "The PartialSpoof database and countermeasures for the detection of short fake speech segments
    embedded in an utterance", IEEE/ACM TASLP 31, 2023 (segment EER).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pandas as pd

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.spans import spans_of
from deepfake_lab.evaluation.bootstrap import Interval, clustered_interval
from deepfake_lab.evaluation.scores import by_class
from deepfake_lab.metrics.functional import eer, eer_threshold
from deepfake_lab.metrics.ranking import FloatArray
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, Span, Split

if TYPE_CHECKING:
    from deepfake_lab.data.module import CorpusDataModule
    from deepfake_lab.models.detector import Detector

SEGMENT_S: Final = 0.16
"""Length of a segment."""
COLUMNS: Final = (
    "key",  # of the utterance
    "split",
    "group",
    "start_s",  # where the segment begins in what was heard of the utterance
    "score",  # the lowest of those over time within the segment
    "label",  # 1 = some of it is fake
    "onset_s",  # where the first fake of the utterance begins; NaN if there is none
)


class SegmentErrors(NamedTuple):
    """What scores over time are worth on one split.

    Attributes:
        eer: EER over segments; NaN where a class is missing.
        interval: its 95 % interval, by a bootstrap over groups of utterances.
        bonafide: number of real segments.
        spoof: number of segments with fake in them.
        onset_error_s: median over partial spoofs of how far the middle of the first segment that is called fake lies
            from where the first fake begins; NaN where there is no threshold or nothing was called fake.
        found: share of partial spoofs in which a segment is called fake.
    """

    eer: float
    interval: Interval
    bonafide: int
    spoof: int
    onset_error_s: float
    found: float


@dataclass(frozen=True)
class SegmentSummary:
    """What a table of segments says.

    Attributes:
        table: segments, in the columns of `COLUMNS`.
        threshold: score below which a segment is called fake.
        errors: of each split that has partial spoofs.
    """

    table: pd.DataFrame
    threshold: float
    errors: dict[Split, SegmentErrors]

    def metrics(self) -> dict[str, float]:
        """All numbers by their MLflow names, such as `test/segment_eer`."""
        flat: dict[str, float] = {}
        for split, found in self.errors.items():
            flat[f"{split}/segment_eer"] = found.eer
            flat[f"{split}/segment_eer_ci_low"], flat[f"{split}/segment_eer_ci_high"] = found.interval
            flat |= {f"{split}/onset_error_s": found.onset_error_s, f"{split}/onset_found": found.found}
        return flat


def segment_table(detector: Detector, data: CorpusDataModule) -> pd.DataFrame:
    """Scores the segments of all partial spoofs and real utterances of dev and test, as far as windows reach.

    Args:
        detector: works on the device that it is on.
        data: gives first windows, as evaluation hears them.

    Returns:
        A table in the columns of `COLUMNS`; without rows for splits in which nothing is known to be partly fake.
    """
    parts = [pd.DataFrame({name: [] for name in COLUMNS})]
    for split in data.evaluated:
        if len(data.split(split).partial_spoofs()):
            parts += _utterances(detector, data, split)
    return pd.concat(parts[1:] or parts, ignore_index=True)


def summarize_segments(table: pd.DataFrame, threshold: float, *, replicates: int = 1000) -> SegmentSummary:
    """Computes what is reported of a table of segments.

    Args:
        table: see `segment_table`.
        threshold: score below which an utterance is called fake; segments of dev, if there are any, give their own.
        replicates: number of bootstrap replicates.
    """
    dev = by_class(table[table["split"] == "dev"])
    if all(map(len, dev)):
        threshold = eer_threshold(*dev)
    errors: dict[Split, SegmentErrors] = {}
    for split in SPLITS:
        segments = table[table["split"] == split]
        if len(segments):
            real, fake = by_class(segments)
            interval = clustered_interval(
                segments["score"].to_numpy(), segments["label"], segments["group"], replicates=replicates
            )
            onset = _onset_errors(segments, threshold)
            heard = onset[~np.isnan(onset)]
            median = float(np.median(heard)) if len(heard) else math.nan
            share = len(heard) / len(onset) if len(onset) else math.nan
            errors[split] = SegmentErrors(eer(real, fake), interval, len(real), len(fake), median, share)
    return SegmentSummary(table, threshold, errors)


def segment_scores(frame_scores: FloatArray, times: FloatArray, count: int) -> FloatArray:
    """Scores of consecutive segments: the lowest of the scores over time in each, or the nearest where there is none.

    Args:
        frame_scores: scores over time ``(B, S)``.
        times: of which moments ``(S,)``, in s.
        count: number K of segments.

    Returns:
        Scores ``(B, K)``.
    """
    starts = SEGMENT_S * np.arange(count)
    inside = (times >= starts[:, None]) & (times < starts[:, None] + SEGMENT_S)
    nearest = np.abs(times - starts[:, None] - SEGMENT_S / 2).argmin(axis=1)
    inside[np.arange(count), nearest] |= ~inside.any(axis=1)
    return np.asarray(np.where(inside, frame_scores[:, None], np.inf).min(axis=2))


def segment_labels(spans: list[Span], count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Labels of consecutive segments ``(count,)``: spoof if any part of one lies in a span."""
    starts = SEGMENT_S * np.arange(count)
    label = np.full(count, BONAFIDE)
    for span in spans:
        label[(starts < span.end_s - 1e-9) & (starts + SEGMENT_S > span.start_s + 1e-9)] = SPOOF
    return label


def _utterances(detector: Detector, data: CorpusDataModule, split: Split) -> Iterator[pd.DataFrame]:
    """Segments of each utterance of a split that counts."""
    import torch

    manifest = data.split(split)
    offset, heard = _heard(manifest, data)
    names = ("key", "group", "label", "spoof_spans")
    key, group, label, told = (manifest.table[name].to_pylist() for name in names)
    spans = [spans_of(text) for text in told]
    rows = np.array([row for row, known in enumerate(spans) if known or label[row] != SPOOF])
    detector.eval()
    for batch in data.loader(split, rows):
        with torch.inference_mode():
            scores = detector(batch.wave.to(detector.eer_threshold.device), frames=True).frame_scores.double().cpu()
        times = detector.frame_times(scores.shape[1]).double().numpy()
        segments = segment_scores(scores.numpy(), times, int(data.window_s / SEGMENT_S + 1e-9))
        for row, score in zip(batch.row.tolist(), segments, strict=True):
            shifted = [Span(*(at - offset[row] for at in span)) for span in spans[row]]
            count = int(heard[row] / SEGMENT_S + 1e-9)
            audible = [span for span in shifted if span.end_s > 0 and span.start_s < count * SEGMENT_S]
            yield pd.DataFrame(
                {
                    "key": key[row],
                    "split": split,
                    "group": group[row],
                    "start_s": SEGMENT_S * np.arange(count),
                    "score": score[:count],
                    "label": segment_labels(audible, count),
                    "onset_s": max(audible[0].start_s, 0.0) if audible else math.nan,
                }
            )


def _heard(manifest: Manifest, data: CorpusDataModule) -> tuple[FloatArray, FloatArray]:
    """Where in each utterance its window begins, and how much of the window is not repetition, in s ``(N,)``."""
    begin, length = ("speech_start", "speech_frames") if data.trim else ("start", "frames")
    start, rate = (manifest.table[name].to_numpy() for name in ("start", "sample_rate"))
    seconds = manifest.table[length].to_numpy() / rate
    offset = (manifest.table[begin].to_numpy() - start) / rate
    if data.crops[False] == "center":
        offset += np.maximum(seconds - data.window_s, 0) / 2
    return offset, np.minimum(seconds, data.window_s)


def _onset_errors(segments: pd.DataFrame, threshold: float) -> FloatArray:
    """Error in s of each partial spoof's onset ``(N,)``; NaN where nothing is called fake."""
    partial = segments[segments["onset_s"].notna()]
    truth = partial.groupby("key", sort=False)["onset_s"].first()
    called = partial[partial["score"] < threshold].groupby("key", sort=False)["start_s"].min() + SEGMENT_S / 2
    return (called.reindex(truth.index) - truth).abs().to_numpy(dtype=float)
