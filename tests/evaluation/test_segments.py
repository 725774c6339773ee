"""Segments of partial spoofs: their labels and scores, and what is reported of them."""

import csv
import math

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from deepfake_lab.data.corpora.folder import Folder
from deepfake_lab.data.module import CorpusDataModule
from deepfake_lab.evaluation.segments import segment_labels, segment_scores, segment_table, summarize_segments
from deepfake_lab.frontends.frontend import Frontend
from deepfake_lab.metrics.functional import eer
from deepfake_lab.models.detector import Detector
from deepfake_lab.models.encoder import SequenceEncoder
from deepfake_lab.types import Span

RATE = 16_000


class Means(Frontend):
    """Means of 10 ms."""

    def __init__(self):
        super().__init__()
        self.channels, self.bins, self.hop, self.min_samples = 1, 1, 160, 160

    def features(self, wave):
        return wave[:, : wave.shape[-1] // 160 * 160].unflatten(-1, (-1, 160)).mean(-1)[:, None, None]


class Level(SequenceEncoder):
    """Their mean: a detector that knows the truth where fake samples are negative."""

    embedding_dim = 1

    def __init__(self, channels, bins):
        super().__init__()

    def sequence(self, features):
        return features.flatten(1, 2)

    def pool(self, sequence):
        return sequence.mean(-1)


@pytest.fixture
def oracle():
    detector = Detector(Means(), Level, window_s=4.0)
    with torch.no_grad():
        detector.head.weight.fill_(1.0)
        detector.head.bias.fill_(0.0)
    return detector


@pytest.fixture
def corpus(request, tmp_path):
    """Signals that are negative where they are fake; after 0.48 s of silence, if that is to be trimmed."""
    draw, rows = np.random.default_rng(0), []
    kinds = [[(1.0, 1.5)], [(0.72, 1.0), (2.0, 2.9)], [(5.5, 5.8)], "all", *[[(1.0, 1.5)]] * 6, *[[]] * 10]
    for split in ("dev", "test"):
        for number, spans in enumerate(kinds):
            wave = np.full((6 if number == 2 else 3) * RATE, draw.uniform(0.4, 0.6))
            wave[: round(0.48 * RATE)] *= not request.getfixturevalue("trim")
            for start, end in [(0.48, 3)] if spans == "all" else spans:
                wave[round(start * RATE) : round(end * RATE)] = -0.5
            soundfile.write(tmp_path / f"{split}{number}.flac", wave, RATE)
            told = "" if spans == "all" else " ".join(f"{start}-{end}" for start, end in spans)
            label = "spoof" if spans else "bonafide"
            rows.append([f"{split}{number}.flac", label, split, f"{split}{number}", told])
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "split", "group", "spoof_spans"], *rows])
    return Folder(None, tmp_path / "work", manifest=tmp_path / "mine.csv")


@pytest.mark.parametrize("trim", [False, True])
def test_times_of_scores_labels_and_spans_agree(oracle, corpus, trim):
    data = CorpusDataModule(corpus, stages=["test"], trim=trim, batch_size=3, num_workers=0)
    data.setup()
    table = segment_table(oracle, data)
    scored = set(range(20)) - {3}
    assert set(table["key"]) == {f"folder-{split}{number}.flac" for split in ("dev", "test") for number in scored}
    heard_s = 3 - 0.48 * trim
    assert (table["key"] == "folder-dev0.flac").sum() == math.floor(heard_s / 0.16 + 1e-9)
    assert (table["key"] == "folder-dev2.flac").sum() == 25  # what is fake comes after the first window
    assert not table[table["key"] == "folder-dev2.flac"]["label"].any()
    onsets = table.groupby("key")["onset_s"].first()
    assert onsets["folder-test5.flac"] == pytest.approx(1.0 - 0.48 * trim, abs=0.011)
    assert onsets[["folder-test2.flac", "folder-test15.flac"]].isna().all()

    summary = summarize_segments(table, math.nan, replicates=50)
    for errors in summary.errors.values():
        assert errors.eer < 0.1  # at the edges of a stretch, a segment holds both
        assert errors.found == 1
        assert errors.onset_error_s <= 0.16
    shifted = table.assign(score=table.groupby("key")["score"].shift(4, fill_value=0.5))
    late = summarize_segments(shifted, math.nan, replicates=50).errors["test"]
    assert late.eer > 0.3
    assert late.onset_error_s > 0.4


def test_a_segment_is_a_spoof_if_any_part_of_it_is():
    spans = [Span(0.16, 0.32), Span(0.5, 0.5001), Span(1.0, 9.0)]
    assert segment_labels(spans, 8).tolist() == [0, 1, 0, 1, 0, 0, 1, 1]
    assert segment_labels([], 2).tolist() == [0, 0]


def test_a_segment_scores_as_its_lowest_moment_or_as_the_nearest():
    scores = np.array([[3.0, 1.0, 2.0, 5.0, 4.0]])
    dense = segment_scores(scores, np.array([0.0, 0.08, 0.16, 0.24, 0.32]), 3)
    assert dense.tolist() == [[1.0, 2.0, 4.0]]
    sparse = segment_scores(scores[:, :2], np.array([0.1, 0.6]), 5)
    assert sparse.tolist() == [[3.0, 3.0, 1.0, 1.0, 1.0]]


def test_summary_of_a_table():
    rng = np.random.default_rng(0)
    label = np.tile([0, 0, 0, 1, 1, 0], 20)
    table = pd.DataFrame(
        {
            "key": np.repeat([f"u{n}" for n in range(20)], 6),
            "split": "test",
            "group": np.repeat(np.arange(20), 6),
            "start_s": np.tile(0.16 * np.arange(6), 20),
            "score": rng.normal(size=120) + 2 * (1 - label),
            "label": label,
            "onset_s": 0.5,
        }
    )
    found = summarize_segments(table, -9.0, replicates=200)
    values = found.metrics()
    expected = eer(table["score"][label == 0].to_numpy(), table["score"][label == 1].to_numpy())
    assert values["test/segment_eer"] == expected
    assert values["test/segment_eer_ci_low"] < expected < values["test/segment_eer_ci_high"]
    assert (found.threshold, values["test/onset_found"]) == (-9.0, 0)  # there is no dev
    assert math.isnan(values["test/onset_error_s"])
    # a threshold between the classes, by hand: the first segment below it of each utterance
    errors = summarize_segments(table, 1.0, replicates=10).errors["test"]
    first = [group["start_s"][group["score"] < 1.0].min() for _, group in table.groupby("key")]
    assert errors.found == np.mean(np.isfinite(first))
    assert errors.onset_error_s == pytest.approx(np.nanmedian(np.abs(np.array(first) + 0.08 - 0.5)))
