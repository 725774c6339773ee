"""A training's checkpoints survive kills and full disks, and damage in them is named."""

import contextlib
import io
import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.data.files import DiskError
from deepfake_lab.data.tensors import write_checkpoint
from deepfake_lab.tasks.checkpoints import WholeCheckpoints
from deepfake_lab.types import LabError

CONTENT = {
    "epoch": 2,
    "state_dict": {"detector.a": torch.arange(9.0), "detector.b": torch.ones(2, 3, dtype=torch.int64)},
    "callbacks": {"best": {"score": 0.25, "path": "best.ckpt", "rows": [1, None, True]}},
}


def as_bytes(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "last.ckpt"
    WholeCheckpoints().save_checkpoint(CONTENT, path)
    return path, path.read_bytes(), as_bytes(WholeCheckpoints().load_checkpoint(path))


class TestDamage:
    @given(data=st.data())
    def test_any_flipped_bit_is_noticed_or_changes_nothing(self, intact, data):
        path, content, loaded = intact
        bit = data.draw(st.integers(0, 8 * len(content) - 1))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with contextlib.suppress(LabError):
            assert as_bytes(WholeCheckpoints().load_checkpoint(path)) == loaded

    def test_a_tensor_marked_as_a_folder_is_not_made_of_what_lies_in_memory(self, intact):
        path, content, _ = intact
        entry = content.rindex(b"data/0", 0, content.rindex(b"data/1"))  # in the directory at the end of the archive
        attributes = content.rindex(b"PK\x01\x02", 0, entry) + 38
        path.write_bytes(content[:attributes] + b"\x10" + content[attributes + 1 :])
        with pytest.raises(LabError, match="data/0 is marked as a folder"):
            WholeCheckpoints().load_checkpoint(path)

    @given(share=st.floats(0, 1, exclude_max=True))
    def test_any_truncation_is_noticed(self, intact, share):
        path, content, _ = intact
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(LabError, match=r"last\.ckpt: not a readable checkpoint .*No other checkpoint"):
            WholeCheckpoints().load_checkpoint(path)

    def test_the_latest_whole_checkpoint_beside_it_is_named(self, tmp_path):
        for name, epoch in (("last", 7), ("broken", 6), ("later", 4), ("best", 2)):
            write_checkpoint(CONTENT | {"epoch": epoch}, tmp_path / f"{name}.ckpt")
        write_checkpoint({"state_dict": {}}, tmp_path / "detector.ckpt")  # no training goes on from it
        for name in ("last", "broken"):
            content = (tmp_path / f"{name}.ckpt").read_bytes()
            (tmp_path / f"{name}.ckpt").write_bytes(content[:-1])
        with pytest.raises(LabError) as caught:
            WholeCheckpoints().load_checkpoint(tmp_path / "last.ckpt")
        way = f"To go on after epoch 5 instead: cp {tmp_path}/later.ckpt {tmp_path}/last.ckpt, then the same command."
        assert str(caught.value).endswith(way)


def test_a_full_disk_leaves_the_checkpoint_of_before(disk):
    path = disk.folder / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint(CONTENT, path)
    disk.fill(leave=0)
    with pytest.raises(DiskError, match=r"last\.ckpt: cannot be written: no space is left"):
        WholeCheckpoints().save_checkpoint(CONTENT | {"epoch": 3}, path)
    assert WholeCheckpoints().load_checkpoint(path)["epoch"] == 2
    assert list(disk.files()) == ["checkpoints/last.ckpt"]


WRITE_AND_BE_KILLED = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from deepfake_lab.tasks.checkpoints import WholeCheckpoints
torch.set_num_threads(1)
path, rng, files = Path(sys.argv[1]), random.Random(0), WholeCheckpoints()
for kill in range(20):
    writer = os.fork()
    if not writer:
        for epoch in range(10**9):
            files.save_checkpoint({"epoch": epoch, "a": torch.full((500_000,), float(epoch))}, path)
    time.sleep(rng.uniform(0.01, 0.1))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    if path.exists():
        found = files.load_checkpoint(path)
        assert (found["a"] == found["epoch"]).all()
        print(found["epoch"], *path.parent.glob(".*-last.ckpt"))
"""


def test_a_kill_while_it_is_written_leaves_a_whole_one(tmp_path):
    command = [sys.executable, "-c", WRITE_AND_BE_KILLED, tmp_path / "last.ckpt"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert len(printed.splitlines()) > 5
    assert ".ckpt" in printed, "no kill came in the middle of writing"


@pytest.mark.slow
def test_a_run_goes_on_from_the_best_epoch_where_the_last_one_is_damaged(lab):
    common = ("experiment=toy", "callbacks.early_stopping=null")
    status, printed = lab("run", *common, "trainer.max_epochs=4", "tracking.uri=sqlite:///other.db")
    assert status == 0, printed
    assert lab("run", *common, "trainer.max_epochs=2")[0] == 0
    unbroken, run = lab.runs
    last = run / "checkpoints" / "last.ckpt"
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2] + b"damage" + content[len(content) // 2 + 6 :])

    status, printed = lab("run", f"resume={run}", "trainer.max_epochs=4")
    assert status == 2
    assert f"{last}: not a readable checkpoint (wrong checksum of " in printed
    assert "Traceback" not in printed
    assert "epoch   " not in printed
    advice = printed[printed.index("cp ") :].split(", then")[0]
    subprocess.run(advice.split(), check=True)
    status, printed = lab("run", f"resume={run}", "trainer.max_epochs=4")
    assert status == 0, printed
    found, expected = (json.loads((one / "report/metrics.json").read_text()) for one in (run, unbroken))
    assert found == expected
