"""Files appear whole, and a disk that does not take them is named, whichever library writes."""

import io
import subprocess

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from matplotlib.figure import Figure

from deepfake_lab.data.files import DiskError, whole, write_whole
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.data.tensors import read_checkpoint, write_checkpoint

NUMBERS = np.random.default_rng(0).standard_normal(400_000)


def save_array(path):
    with whole(path) as partial:
        np.save(partial, NUMBERS)


def save_table(path):
    with whole(path) as partial:
        pd.DataFrame({"a": NUMBERS}).to_csv(partial)


def save_parquet(path):
    with whole(path) as partial:
        pd.DataFrame({"a": NUMBERS}).to_parquet(partial)


def save_figure(path):
    figure = Figure()
    figure.figimage(NUMBERS.reshape(500, 800), resize=True)
    with whole(path) as partial:
        figure.savefig(partial)


def save_sound(path):
    encoded = io.BytesIO()
    soundfile.write(encoded, 0.1 * NUMBERS, 16_000, format="FLAC")
    write_whole(path, encoded.getvalue())


WRITERS = {
    "array.npy": save_array,
    "table.csv": save_table,
    "table.parquet": save_parquet,
    "figure.png": save_figure,
    "sound.flac": save_sound,
    "text.txt": lambda path: write_whole(path, "text" * 500_000),
    "large.ckpt": lambda path: write_checkpoint({"state_dict": {"a": torch.tensor(NUMBERS)}}, path),
    "many.ckpt": lambda path: write_checkpoint({str(n): torch.ones(50) for n in range(4_000)}, path),
    "manifest.parquet": lambda path: Manifest.from_rows(
        [{"key": f"{n}{NUMBERS[n]}", "path": f"{NUMBERS[n]}", "frames": n} for n in range(20_000)], path.parent, "rows"
    ).write(path),
}


class TestAFullDisk:
    @pytest.mark.parametrize("name", WRITERS)
    def test_is_named_and_leaves_the_old_file_and_no_other(self, disk, name):
        disk.resize("200k")
        path = disk.folder / name
        path.write_bytes(b"of before")
        with pytest.raises(DiskError) as caught:
            WRITERS[name](path)
        message = str(caught.value)
        assert message.startswith(f"{path}: cannot be written: no space is left on its disk (")
        assert " kB free). " in message
        assert "Make room, " in message
        assert disk.files() == {name: b"of before"}
        disk.resize("20m")
        WRITERS[name](path)
        assert path.stat().st_size > 200_000
        assert set(disk.files()) == {name}

    def test_takes_a_small_checkpoint_whole_or_not_at_all(self, disk):
        content, sizes = {"state_dict": {"a": torch.arange(7_000)}}, set()
        for pages in range(20):
            disk.fill(leave=4096 * pages)
            path = disk.folder / "a.ckpt"
            try:
                write_checkpoint(content, path)
            except DiskError:
                assert not path.exists()
            else:
                assert torch.equal(read_checkpoint(path)["state_dict"]["a"], torch.arange(7_000))
            sizes.add(path.exists())
            path.unlink(missing_ok=True)
        assert sizes == {True, False}


def test_a_disk_that_is_only_read_is_named_too(disk):
    (disk.folder / "a.txt").write_text("of before")
    subprocess.run(["mount", "-o", "remount,ro", disk.folder], check=True)
    with pytest.raises(DiskError, match=r"a\.txt: cannot be written: its disk lets itself only be read.*other folder"):
        write_whole(disk.folder / "a.txt", "new")
    assert disk.files() == {"a.txt": b"of before"}


@pytest.mark.parametrize("error", [ValueError("bad"), RuntimeError("bad"), OSError("bad"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(tmp_path, error):
    (tmp_path / "a.txt").write_text("of before")

    def fail():
        with whole(tmp_path / "a.txt") as partial:
            partial.write_text("begun")
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "of before"


def test_a_folder_that_is_not_there_is_no_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "a.txt", "text")
