"""Features out of the cache are those of the windows that training draws, whoever computes them and however often."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from signals import write

from deepfake_lab.data import features as features_module
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.features import FeatureCache, Recipe
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw
from deepfake_lab.frontends.mel import Mel
from deepfake_lab.types import LabError

WINDOW_S, SHORT, LONG = 0.5, 6_000, 14_000


def corpus(root, number=10):
    """Utterances that are in turn shorter and longer than the window."""
    rows = []
    for n in range(number):
        frames = (SHORT, LONG)[n % 2] + 10 * n
        write(root / f"{n}.flac", n, 16_000, frames)
        rows.append(
            {
                **{"key": f"u{n}", "path": f"{n}.flac", "start": 0, "frames": frames, "sample_rate": 16_000},
                **{"channels": 1, "label": 0, "attack": "bonafide", "group": f"g{n}", "split": "train"},
                **{"corpus": "lab", "audio_hash": f"h{n}"},
            }
        )
    return Manifest.from_rows(rows, root, "lab")


def recipe(**settings):
    return Recipe(Mel(bins=32, **settings), {"bins": 32, **settings})


@pytest.fixture
def dataset(tmp_path):
    return UtteranceDataset(corpus(tmp_path), WINDOW_S, crop="random", seed=3)


def test_first_epochs_are_what_the_front_end_makes_of_the_windows(dataset, tmp_path):
    made = recipe()
    cache = FeatureCache.build(dataset, made, tmp_path / "cache", crops=3)
    for epoch in range(3):
        draws = [Draw(row, epoch) for row in (7, 0, 3, 9, 1)]
        expected = made.extract(dataset.waves(draws))
        read = cache.read(draws)
        assert read.dtype == torch.float16
        torch.testing.assert_close(read.float(), expected, rtol=2**-10, atol=1e-6)


def test_later_epochs_and_further_visits_take_the_windows_in_turn(dataset, tmp_path):
    cache = FeatureCache.build(dataset, recipe(), tmp_path / "cache", crops=3)
    (first,), (again,) = cache.read([Draw(1, 1)]), cache.read([Draw(1, 4)])
    assert first.equal(again)
    assert not first.equal(cache.read([Draw(1, 2)])[0])
    assert cache.read([Draw(1, 1, visit=1)])[0].equal(cache.read([Draw(1, 2)])[0])
    assert cache.read([Draw(0, 0)]).equal(cache.read([Draw(0, 1)])), "a short utterance has one window"


def test_batches_hold_features_in_place_of_waveforms(dataset, tmp_path):
    dataset.features = FeatureCache.build(dataset, recipe(), tmp_path / "cache", crops=2)
    batch = dataset.__getitems__([Draw(2, 0), Draw(5, 1)])
    assert batch.wave.shape == (2, 0)
    assert batch.features.shape == (2, 1, 32, 25)
    assert batch.row.tolist() == [2, 5]


def test_only_what_is_missing_is_computed(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(features_module, "_A_SHARD", 4)
    FeatureCache.build(dataset, recipe(), tmp_path / "cache", crops=2)
    shards = sorted((tmp_path / "cache").rglob("*.npy"))
    assert len(shards) == 4  # 5 + 2 * 5 windows
    times = [shard.stat().st_mtime_ns for shard in shards]
    shards[1].unlink()
    FeatureCache.build(dataset, recipe(), tmp_path / "cache", crops=2)
    assert [shard.stat().st_mtime_ns == before for shard, before in zip(shards, times, strict=True)] == [
        *(True, False, True, True)
    ]


def test_what_features_depend_on_parts_the_folders(dataset, tmp_path):
    folder = tmp_path / "cache"
    manifest = corpus(tmp_path)
    FeatureCache.build(dataset, recipe(), folder, crops=2)
    other_audio = manifest.table.set_column(
        manifest.table.schema.get_field_index("audio_hash"), manifest.table.schema.field("audio_hash"), [["x"] * 10]
    )
    others = [
        (UtteranceDataset(manifest, WINDOW_S, crop="random", seed=4), recipe(), 2),
        (UtteranceDataset(manifest, WINDOW_S, crop="first", seed=3), recipe(), 2),
        (UtteranceDataset(manifest, 0.4, crop="random", seed=3), recipe(), 2),
        (UtteranceDataset(Manifest(other_audio, tmp_path, "lab"), WINDOW_S, crop="random", seed=3), recipe(), 2),
        (dataset, recipe(hop_ms=16.0), 2),
        (dataset, recipe(), 3),
    ]
    for number, (windows, made, crops) in enumerate(others, start=2):
        FeatureCache.build(windows, made, folder, crops=crops)
        assert len(list(folder.iterdir())) == number
    FeatureCache.build(UtteranceDataset(manifest, WINDOW_S, crop="random", seed=3), recipe(), folder, crops=2)
    assert len(list(folder.iterdir())) == 1 + len(others)


def test_features_of_other_code_are_refused(dataset, tmp_path):
    FeatureCache.build(dataset, recipe(), tmp_path / "cache", crops=2)
    mel = Mel(bins=32)
    for extract in (lambda wave: mel(wave) + 0.5, Mel(bins=33)):
        with pytest.raises(LabError, match=r"holds other features than the front-end makes by now\. Delete"):
            FeatureCache.build(dataset, Recipe(extract, {"bins": 32}), tmp_path / "cache", crops=2)


@pytest.mark.parametrize(
    ("crops", "extract", "message"),
    [(0, Mel(bins=32), "crops=0"), (1, lambda wave: 1e6 + wave.view(len(wave), 1, 1, -1), "16-bit")],
)
def test_what_cannot_be_kept_is_refused(dataset, tmp_path, crops, extract, message):
    with pytest.raises(LabError, match=message):
        FeatureCache.build(dataset, Recipe(extract, {}), tmp_path / "cache", crops=crops)
    assert not list(tmp_path.rglob("*.npy"))


BUILD = """
import sys
import time
from pathlib import Path
import torch
from deepfake_lab.data import features
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.frontends.mel import Mel
features._A_SHARD = 2
torch.set_num_threads(1)
root = Path(sys.argv[1])
mel = Mel(bins=32)
def slow(wave):
    time.sleep(float(sys.argv[2]))
    return mel(wave)
dataset = UtteranceDataset(Manifest.read(root / "manifest.parquet", root), 0.5, crop="random", seed=3)
recipe = features.Recipe(slow, {"bins": 32})
features.FeatureCache.build(dataset, recipe, root / "cache", crops=2, workers=1)
"""


def build(root, wait_s):
    return subprocess.Popen([sys.executable, "-c", BUILD, str(root), str(wait_s)])


@pytest.mark.slow
def test_a_killed_build_goes_on_and_two_build_at_once(dataset, tmp_path, monkeypatch):
    corpus(tmp_path).write(tmp_path / "manifest.parquet")
    process = build(tmp_path, 0.3)
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "cache").rglob("shard-*.npy"))) < 2:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "cache").rglob("shard-*.npy"))) < 8
    (home,) = (tmp_path / "cache").iterdir()
    (home / ".1-shard-00003.npy").write_bytes(b"half of")  # what a builder leaves that is killed while it writes
    both = [build(tmp_path, 0.0) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    monkeypatch.setattr(features_module, "_A_SHARD", 2)
    made = recipe()
    cache = FeatureCache.build(dataset, made, tmp_path / "cache", crops=2)
    draws = [Draw(row, 1) for row in range(10)]
    expected = made.extract(dataset.waves(draws)).half().numpy()
    np.testing.assert_allclose(cache.read(draws).numpy(), expected, rtol=2**-9)
    assert len(list((tmp_path / "cache").rglob("*shard-*.npy"))) == 8
