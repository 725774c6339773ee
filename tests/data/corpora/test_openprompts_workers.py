"""openprompts is the same bytes, whatever happens while it is made, or says what went wrong."""

import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import make_openprompts
import pytest
from make_openprompts import contents, espeak_only

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.synthesis.espeak import Espeak
from deepfake_lab.types import LabError

DRIVER = """
import sys
from deepfake_lab.data.corpora.openprompts import OpenPrompts
from deepfake_lab.synthesis.espeak import Espeak
names = ["espeak"]
corpus = OpenPrompts(sys.argv[1], packages_dir=sys.argv[2], workers=int(sys.argv[3]), systems={"espeak": Espeak()},
                     splits={"train": names, "dev": names, "test": names})
print(corpus.prepare().digest)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    return make_openprompts.make(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def reference(packages, tmp_path_factory):
    """The corpus with the quickest system alone, made without interruption."""
    root = tmp_path_factory.mktemp("reference")
    espeak_only(root, packages).prepare()
    return contents(root)


def drive(root, packages, workers=1):
    arguments = [sys.executable, "-c", DRIVER, str(root), str(packages), str(workers)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(packages, reference, tmp_path):
    root = tmp_path / "corpus"
    process = drive(root, packages, workers=2)
    workers = wait_for(lambda: children(process.pid) if len(list(root.glob("audio/*/*.flac"))) >= 8 else None)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.communicate()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))  # none lives on
    made = {path: path.stat().st_mtime_ns for path in root.glob("audio/*/*.flac")}
    assert len(made) < 50
    assert not (root / "manifest.parquet").exists()
    (root / "audio/train/.half.flac.1").write_bytes(b"half")
    espeak_only(root, packages).prepare()
    assert contents(root) == reference
    assert {path: path.stat().st_mtime_ns for path in made} == made


def children(pid):
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found


@pytest.mark.slow
def test_two_processes_at_once_make_one_corpus(packages, reference, tmp_path):
    processes = [drive(tmp_path, packages), drive(tmp_path, packages)]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0][0] == outputs[1][0] != ""
    assert contents(tmp_path) == reference
    assert sum("making clips: 50 of 50" in said for _, said in outputs) == 1


def test_prepared_corpus_is_read_and_force_rebuilds_it(packages, reference, tmp_path):
    espeak_only(tmp_path, packages).prepare()
    clip = next(tmp_path.glob("audio/*/*.flac"))
    before = clip.stat().st_mtime_ns
    assert isinstance(espeak_only(tmp_path, "/nowhere").prepare(), Manifest)  # needs no packages any more
    assert clip.stat().st_mtime_ns == before
    clip.write_bytes(b"damaged")
    espeak_only(tmp_path, packages).prepare(force=True)
    assert contents(tmp_path) == reference


def test_other_settings_are_noticed_and_nothing_is_mixed(packages, reference, tmp_path):
    espeak_only(tmp_path, packages, systems={"espeak": Espeak(rate=120)}).prepare()
    slower = contents(tmp_path)
    assert slower.keys() == reference.keys()
    assert any(slower[path] != reference[path] for path in reference if "-espeak-" in path)
    espeak_only(tmp_path, packages).prepare()
    assert contents(tmp_path) == reference


@pytest.mark.slow
def test_full_disk_says_what_is_needed_and_keeps_finished_clips(packages, reference, tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12k", "none", tmp_path], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(LabError, match=r"plan\.json: .*no space is left.* kB free\)\. .*Make room"):
            espeak_only(tmp_path, packages).prepare()
        subprocess.run(["mount", "-o", "remount,size=700k", tmp_path], check=True)
        with pytest.raises(
            LabError, match=r"audio/.*\.flac: .*no space is left.*About .* MB more are .* data\.root=.*kept"
        ):
            espeak_only(tmp_path, packages).prepare()
        made = contents_of_audio(tmp_path)
        assert len(made) > 5
        assert made.items() <= reference.items()
        subprocess.run(["mount", "-o", "remount,size=20m", tmp_path], check=True)
        espeak_only(tmp_path, packages).prepare()
        assert contents(tmp_path) == reference
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def contents_of_audio(root):
    files = root.glob("audio/*/*")
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_failing_system_names_the_clip_and_keeps_the_others(packages, tmp_path):
    broken = {"systems": {"espeak": Espeak(rate="fast")}}
    with pytest.raises(RuntimeError, match=r"clip \w\w-s\d+-espeak-[\w-]+ failed: (?s:.*)kept"):
        espeak_only(tmp_path, packages, **broken).prepare()
    assert len(list(tmp_path.glob("audio/*/*.flac"))) >= 5
    assert not (tmp_path / "manifest.parquet").exists()


def test_a_missing_library_says_how_to_install_it(packages, tmp_path, monkeypatch):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/espeakng_loader.py").write_text("raise ImportError('No module named espeakng_loader')")
    monkeypatch.syspath_prepend(tmp_path / "hidden")
    with pytest.raises(LabError, match=r"espeakng_loader.*pip install 'deepfake-lab\[synthesis\]'"):
        espeak_only(tmp_path / "corpus", packages).prepare()
