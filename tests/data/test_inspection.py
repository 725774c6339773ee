"""Looking into files: every kind of damage has a name, and a killed look goes on where it was."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from signals import noise, write

from deepfake_lab.data import inspection
from deepfake_lab.data.inspection import inspect, inspect_all, speech


def test_what_a_header_and_the_samples_say(tmp_path):
    write(tmp_path / "a.flac", 0, 22_050, 5_000)
    found = inspect(tmp_path, "a.flac")
    assert found[:5] == ("a.flac", "", 5_000, 22_050, 1)
    assert not found.silent
    header = inspect(tmp_path, "a.flac", "header")
    assert header[:5] == found[:5]
    assert (header.audio_hash, header.speech_start, header.speech_frames) == ("-", 0, 5_000)


def test_equal_audio_has_equal_hashes_whatever_holds_it(tmp_path):
    for name in ("a.flac", "b.wav", "c.flac"):
        write(tmp_path / name, 1 if name != "c.flac" else 2)
    stereo = np.stack([noise(1), noise(2)], axis=1)
    soundfile.write(tmp_path / "d.wav", stereo, 16_000)
    hashes = [inspect(tmp_path, name).audio_hash for name in ("a.flac", "b.wav", "c.flac", "d.wav")]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff", "a.mp3"])
def test_files_cut_short(tmp_path, name):
    path = tmp_path / name
    soundfile.write(path, noise(0, 16_000), 16_000)
    os.truncate(path, path.stat().st_size // 2)
    assert "truncated" in inspect(tmp_path, name).problem or "cannot be decoded" in inspect(tmp_path, name).problem


def test_other_damage(tmp_path):
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "none.flac").touch()
    soundfile.write(tmp_path / "nothing.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.1, np.nan, 0.2], np.float32), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "zeros.wav", np.zeros(1_000), 16_000)
    problems = {name: inspect(tmp_path, name).problem for name in ("text.wav", "none.flac", "nothing.wav", "nan.wav")}
    assert "cannot be decoded (9 bytes" in problems["text.wav"]
    assert "none.flac" in problems
    assert problems["none.flac"]
    assert "no audio" in problems["nothing.wav"]
    assert "NaN" in problems["nan.wav"]
    assert all(str(tmp_path) not in problem for name, problem in problems.items() if name != "text.wav")
    assert inspect(tmp_path, "zeros.wav").silent


def test_a_recorder_that_did_not_know_the_length_is_believed(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0, 8_000), 16_000)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert inspect(tmp_path, "a.wav").problem == ""


@given(
    st.integers(0, 30),
    st.integers(1, 30),
    st.integers(0, 30),
    st.sampled_from([8_000, 16_000, 22_050]),
    st.integers(0, 79),
)
def test_speech_lies_between_quiet_edges(lead, middle, trail, rate, rest):
    hop = rate // 100
    wave = np.full((lead + middle + trail) * hop + rest, 1e-4, np.float32)
    wave[lead * hop : (lead + middle) * hop] = 0.5
    start, length = speech(wave, rate)
    assert start == lead * hop
    assert length == middle * hop + (rest if trail == 0 else 0)  # what is less than 10 ms at the end goes with it


def test_silence_and_moments_are_taken_whole():
    assert speech(np.zeros(4_000, np.float32), 16_000) == (0, 4_000)
    assert speech(np.ones(100, np.float32), 16_000) == (0, 100)


@pytest.fixture
def files(tmp_path):
    for number in range(150):
        write(tmp_path / "disk" / f"{number % 3}" / f"{number}.wav", number, samples=300)
    return tmp_path, pa.chunked_array([[f"{number % 3}/{number}.wav" for number in range(150)] + ["0/0.wav"]])


def look(files, **settings):
    folder, paths = files
    return inspect_all(folder / "disk", paths, folder / "notes", title="looking", **settings)


def test_rows_are_in_the_order_of_the_paths_and_processes_make_no_difference(files):
    table = look(files, workers=2)
    assert table["path"].to_pylist() == files[1].to_pylist()
    assert table.schema.equals(inspection.INSPECTED)
    other = inspect_all(files[0] / "disk", files[1], files[0] / "notes2", title="looking", workers=1)
    assert other.equals(table)


def test_what_was_seen_is_not_looked_at_again_but_problems_are(files, capfd):
    (files[0] / "disk/1/1.wav").write_text("nonsense")
    (files[0] / "disk/2/2.wav").unlink()
    problems = {row["path"]: row["problem"] for row in look(files, workers=1).to_pylist() if row["problem"]}
    assert set(problems) == {"1/1.wav", "2/2.wav"}
    assert problems["2/2.wav"] == "missing"
    (files[0] / "disk/0/3.wav").write_text("nobody looks")
    write(files[0] / "disk/1/1.wav", 7)
    write(files[0] / "disk/2/2.wav", 8)
    assert not any(look(files, workers=1)["problem"].to_pylist())
    (files[0] / "disk/0/0.wav").unlink()
    assert look(files, workers=1)["problem"].to_pylist().count("missing") == 2  # its two rows


LOOK = """
import sys
from pathlib import Path
import pyarrow as pa
from deepfake_lab.data import inspection
if __name__ == "__main__":
    inspection._A_TASK = inspection._A_PART = 4
    root = Path(sys.argv[1])
    paths = pa.chunked_array([sorted(p.relative_to(root / "disk").as_posix() for p in root.glob("disk/*/*.wav"))])
    inspection.inspect_all(root / "disk", paths, root / "notes", workers=1, title="looking")
"""


def test_a_killed_look_goes_on(files, tmp_path, monkeypatch):
    for number in range(300):
        write(tmp_path / "disk" / "more" / f"{number}.wav", number, samples=16_000)
    (tmp_path / "look.py").write_text(LOOK)
    process = subprocess.Popen([sys.executable, str(tmp_path / "look.py"), str(tmp_path)], stderr=subprocess.DEVNULL)
    while len(list((tmp_path / "notes").glob("full/part-*"))) < 5:
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    seen = inspection._seen(tmp_path / "notes" / "full")
    assert 20 <= len(seen) < 450
    looked = []
    original = inspection.inspect
    monkeypatch.setattr(inspection, "inspect", lambda *a: looked.append(a[1]) or original(*a))
    paths = pa.chunked_array([[p.relative_to(tmp_path / "disk").as_posix() for p in tmp_path.glob("disk/*/*.wav")]])
    table = inspect_all(tmp_path / "disk", paths, tmp_path / "notes", workers=1, title="looking")
    assert len(looked) == 450 - len(seen)
    assert not any(table["problem"].to_pylist())
