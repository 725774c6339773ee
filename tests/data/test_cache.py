"""Decoded copies give what the files give, whoever builds them and however often he is killed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from signals import write

from deepfake_lab.audio import AudioError
from deepfake_lab.data import cache as cache_module
from deepfake_lab.data.cache import DecodedCache
from deepfake_lab.data.dataset import UtteranceDataset
from deepfake_lab.data.files import DiskError
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.sampling import Draw


def corpus(root, rates=(16_000,), number=12, samples=9_000, start=0):
    rows = []
    for n in range(number):
        rate = rates[n % len(rates)]
        write(root / f"{n}.flac", n, rate, samples + 10 * n)
        rows.append(
            {
                "key": f"u{n}",
                "path": f"{n}.flac",
                "start": start,
                "frames": samples + 10 * n - start,
                "sample_rate": rate,
                "channels": 1,
                "label": 0,
                "attack": "bonafide",
                "group": f"g{n}",
                "split": "train",
                "corpus": "lab",
            }
        )
    return Manifest.from_rows(rows, root, "lab")


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(cache_module, "_A_SHARD", 5)


@pytest.mark.parametrize("crop", ["first", "random", "center"])
@pytest.mark.parametrize("start", [0, 777])
def test_16_bit_audio_at_16_khz_comes_out_to_the_bit(tmp_path, small_shards, crop, start):
    manifest = corpus(tmp_path, start=start)
    cached = DecodedCache.build(manifest, tmp_path / "cache")
    for window_s in (0.1, 0.9):
        from_files = UtteranceDataset(manifest, window_s, crop=crop, seed=3)
        from_cache = UtteranceDataset(manifest, window_s, crop=crop, seed=3, cache=cached)
        for row in range(len(manifest)):
            np.testing.assert_array_equal(from_cache[Draw(row, 1)].wave, from_files[Draw(row, 1)].wave)


def test_other_rates_differ_by_resampling_before_cutting_alone(tmp_path, small_shards):
    manifest = corpus(tmp_path, rates=(8_000, 22_050, 44_100))
    cached = DecodedCache.build(manifest, tmp_path / "cache")
    for row in range(len(manifest)):
        draw = Draw(row, 0)
        a = UtteranceDataset(manifest, 0.2, crop="first")[draw].wave
        b = UtteranceDataset(manifest, 0.2, crop="first", cache=cached)[draw].wave
        assert np.abs(a - b)[:-200].max() < 1e-4  # but for the end, where the cut one lacks what follows
        assert len(a) == len(b)


def test_is_built_once_and_anew_for_other_audio(tmp_path, small_shards):
    manifest = corpus(tmp_path)
    DecodedCache.build(manifest, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    assert len(before) == 6
    DecodedCache.build(manifest, tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")} == before
    table = manifest.table.set_column(
        manifest.table.column_names.index("audio_hash"), "audio_hash", [["other"] * len(manifest)]
    )
    DecodedCache.build(Manifest(table, tmp_path, "lab"), tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 12


def test_a_file_that_cannot_be_decoded_is_named_and_the_rest_is_kept(tmp_path, small_shards):
    manifest = corpus(tmp_path)
    good = (tmp_path / "11.flac").read_bytes()
    (tmp_path / "11.flac").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"11\.flac"):
        DecodedCache.build(manifest, tmp_path / "cache", workers=1)
    kept = sorted(path.name for path in (tmp_path / "cache").rglob("*.ends.npy"))
    assert kept == ["shard-00000.ends.npy", "shard-00001.ends.npy"]
    (tmp_path / "11.flac").write_bytes(good)
    assert len(DecodedCache.build(manifest, tmp_path / "cache", workers=1).read(11, 0, 500)) == 500


@pytest.mark.parametrize("damage", ["truncated", "emptied", "gone", "of another type", "longer", "ends"])
def test_a_damaged_shard_is_named_and_made_anew(tmp_path, small_shards, capfd, damage):
    manifest = corpus(tmp_path)
    DecodedCache.build(manifest, tmp_path / "cache")
    before = {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.npy")}
    (shard,) = (tmp_path / "cache").rglob("shard-00001.npy")
    content = before[shard]
    match damage:
        case "truncated":
            shard.write_bytes(content[:-1])
        case "emptied":
            shard.write_bytes(b"")
        case "gone":
            shard.unlink()
        case "of another type":
            np.save(shard, np.load(shard).astype(np.int32))
        case "longer":
            np.save(shard, np.append(np.load(shard), np.int16(0)))
        case "ends":
            shard.with_suffix(".ends.npy").write_bytes(before[shard.with_suffix(".ends.npy")][:100])
    capfd.readouterr()
    DecodedCache.build(manifest, tmp_path / "cache")
    assert f"{shard}: damaged (" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "cache").rglob("*.npy")} == before
    DecodedCache.build(manifest, tmp_path / "cache")
    assert "damaged" not in capfd.readouterr().err


def test_a_full_disk_is_named_and_what_was_decoded_is_kept(tmp_path, disk, small_shards):
    manifest = corpus(tmp_path)
    disk.resize("200k")
    with pytest.raises(DiskError, match=r"shard-00002\.npy: cannot be written: no space is left on its disk \("):
        DecodedCache.build(manifest, disk.folder, workers=1)
    kept = disk.files()
    assert sorted(path.rpartition("/")[2] for path in kept if path.endswith(".npy")) == [
        f"shard-0000{number}{ending}.npy" for number in range(2) for ending in (".ends", "")
    ]
    disk.resize("1m")
    cached = DecodedCache.build(manifest, disk.folder, workers=1)
    assert kept.items() <= disk.files().items()
    for row in range(len(manifest)):
        from_file = UtteranceDataset(manifest, 0.9)[Draw(row, 0)].wave
        np.testing.assert_array_equal(UtteranceDataset(manifest, 0.9, cache=cached)[Draw(row, 0)].wave, from_file)


BUILD = """
import sys
from pathlib import Path
from deepfake_lab.data import cache
from deepfake_lab.data.manifest import Manifest
if __name__ == "__main__":
    cache._A_SHARD = 4
    root = Path(sys.argv[1])
    manifest = Manifest.read(root / "manifest.parquet", root)
    print("building", flush=True)
    cache.DecodedCache.build(manifest, root / "cache", workers=1)
"""


def test_two_builders_at_once_and_one_killed(tmp_path, monkeypatch):
    manifest = corpus(tmp_path, number=48, samples=60_000)
    manifest.write(tmp_path / "manifest.parquet")
    (tmp_path / "build.py").write_text(BUILD)
    command = [sys.executable, str(tmp_path / "build.py"), str(tmp_path)]
    first, second = (subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2))
    while not list((tmp_path / "cache").rglob("shard-00002.ends.npy")):
        assert first.poll() is None or second.poll() is None
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGKILL)
    assert second.wait(60) == 0
    first.wait()
    first.stdout.close(), second.stdout.close()
    monkeypatch.setattr(cache_module, "_A_SHARD", 4)
    cached = DecodedCache.build(manifest, tmp_path / "cache")
    assert len(list((tmp_path / "cache").rglob("*.ends.npy"))) == 12
    for row in range(len(manifest)):
        expected = UtteranceDataset(manifest, 3.0)[Draw(row, 0)].wave
        np.testing.assert_array_equal(UtteranceDataset(manifest, 3.0, cache=cached)[Draw(row, 0)].wave, expected)
