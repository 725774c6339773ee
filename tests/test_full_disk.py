"""Commands on a disk that is really full: what they say, what they leave, and that they go on once there is room."""

import csv
import json
import signal
import subprocess

import numpy as np
import pytest
import soundfile

from deepfake_lab.checkpoint import load_detector
from deepfake_lab.data.manifest import Manifest
from deepfake_lab.tasks.checkpoints import WholeCheckpoints

TOY = ("experiment=toy", "trainer.max_epochs=3", "callbacks.early_stopping=null")
FULL = "cannot be written: no space is left on its disk ("


def refused(status, printed):
    """The message of a command that has met a full disk."""
    assert status == 2, printed
    assert "Traceback" not in printed
    message = printed[printed.index("error: ") :]
    assert FULL in message
    assert "Make room, then go on" in message
    return message


def hidden(disk):
    return [path for path in disk.files() if path.rpartition("/")[2].startswith(".") and not path.endswith(".lock")]


@pytest.fixture
def recordings(tmp_path):
    """A folder of short recordings of two classes."""
    rng = np.random.default_rng(0)
    for label in ("bonafide", "spoof"):
        (tmp_path / "in" / label).mkdir(parents=True)
        for number in range(30):
            soundfile.write(tmp_path / "in" / label / f"{number}.wav", rng.uniform(-0.3, 0.3, 9_000), 16_000)
    return tmp_path / "in"


def test_prepare_keeps_what_it_has_seen_and_goes_on(lab, disk, recordings):
    command = ("prepare", "data=folder", f"data.root={recordings}", f"data.work={disk.folder}/work")
    refusals, before = [], {}
    for pages in range(20):
        disk.fill(leave=4096 * pages)
        status, printed = lab(*command)
        assert before.items() <= disk.files().items()
        assert not hidden(disk)
        if status == 0:
            break
        refusals.append(refused(status, printed))
        before = disk.files()
    assert status == 0, printed
    assert any("/part-" in refusal for refusal in refusals)  # what has been seen of the files
    assert "/manifest-" in refusals[-1]


def test_predict_leaves_whole_rows_and_the_table_of_before(lab, disk, recordings, toy_run):
    output = disk.folder / "scores.csv"
    command = ("predict", f"checkpoint={toy_run}/detector.ckpt", f"input={recordings}")
    assert lab(*command, f"output={lab.folder}/expected.csv")[0] == 0
    expected = (lab.folder / "expected.csv").read_bytes()
    output.write_bytes(b"of before")
    disk.fill(leave=4096)
    message = refused(*lab(*command, f"output={output}"))
    assert f"{output}: {FULL}" in message
    assert "scores.csv.before is the file of before." in message
    assert (disk.folder / "scores.csv.before").read_bytes() == b"of before"
    assert output.read_bytes().endswith(b"\r\n")
    assert expected.startswith(output.read_bytes())
    assert 1 < len(list(csv.reader(output.read_text().splitlines()))) < 61
    disk.fill(leave=100_000)
    status, printed = lab(*command, f"output={output}")
    assert status == 0, printed
    assert disk.files() == {"scores.csv": expected}


@pytest.mark.slow
def test_run_goes_on_from_its_last_whole_checkpoint(lab, disk):
    assert lab("run", *TOY, "tracking.uri=sqlite:///other.db")[0] == 0
    (unbroken,) = lab.runs
    run, checkpoints = disk.folder / "run", disk.folder / "run" / "checkpoints"
    message = refused(*lab("run", *TOY, f"hydra.run.dir={run}"))
    assert f"{checkpoints}/best.ckpt: {FULL}" in message
    assert sorted(disk.files()) == ["run/config.yaml", "run/curves.csv", "run/run.json"]

    disk.resize("12m")  # for two checkpoints and not for a third one beside them
    refused(*lab("run", f"resume={run}"))
    assert not hidden(disk)
    load_detector(checkpoints / "best.ckpt")
    assert WholeCheckpoints().load_checkpoint(checkpoints / "last.ckpt")["epoch"] == 0

    disk.resize("20m")
    status, printed = lab("run", f"resume={run}")
    assert status == 0, printed
    assert "epoch   1/" not in printed
    found, expected = (json.loads((one / "report/metrics.json").read_text()) for one in (run, unbroken))
    assert found == expected
    assert list(lab.mlflow_runs()["status"]) == ["FINISHED"]


@pytest.mark.slow
def test_run_names_the_detector_and_the_report_that_find_no_room(lab, disk):
    disk.resize("20m")
    run = disk.folder / "run"
    process = lab.start("deepfake_lab.run", *TOY, "trainer.max_epochs=200", f"hydra.run.dir={run}")
    for line in process.stdout:
        if "epoch   2/" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)
    epochs = WholeCheckpoints().load_checkpoint(run / "checkpoints" / "last.ckpt")["epoch"] + 1
    last = ("run", f"resume={run}", f"trainer.max_epochs={epochs}")
    disk.fill(leave=1_000_000)
    assert f"{run}/detector.ckpt: {FULL}" in refused(*lab(*last))
    disk.fill(leave=1_630_000)
    assert f"{run}/report/" in refused(*lab(*last))
    assert not hidden(disk)
    load_detector(run / "detector.ckpt")
    disk.fill(leave=4_000_000)
    status, printed = lab(*last)
    assert status == 0, printed


def test_a_manifest_of_before_stays(lab, disk):
    disk.resize("4m")
    command = ("prepare", "data=toy", f"data.root={disk.folder}/toy")
    assert lab(*command)[0] == 0
    path = disk.folder / "toy" / "manifest.parquet"
    before = path.read_bytes()
    disk.fill(leave=0)
    refused(*lab(*command, "force=true"))
    assert path.read_bytes() == before
    assert len(Manifest.read(path, path.parent)) == 72
    assert not hidden(disk)


def test_a_disk_without_room_for_a_folder_is_named(lab, disk):
    subprocess.run(["mount", "-o", "remount,nr_inodes=1", disk.folder], check=True)
    assert f"{disk.folder}/toy: {FULL}" in refused(*lab("prepare", "data=toy", f"data.root={disk.folder}/toy"))
