"""What may happen while a corpus is prepared: it ends whole all the same, byte for byte, or says how to go on."""

import json
import random
import signal
import time

import make_folder
import make_ljspeech
import psutil
import pytest


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Folders of 151 recordings: enough for two processes to look through."""
    return make_folder.make(tmp_path_factory.mktemp("recordings"), sentences=50)["root"]


@pytest.fixture(scope="module")
def ljspeech(tmp_path_factory):
    """A tiny LJSpeech, to be copied by a vocoder."""
    return make_ljspeech.make(tmp_path_factory.mktemp("ljspeech"), chapters=8, clips=4)["root"]


def folder_of(root, work, workers=1):
    return ("data=folder", f"data.root={root}", f"data.work={work}", f"data.workers={workers}")


def ljspeech_of(root, work, workers=2):
    return ("data=ljspeech", f"data.root={root}", f"data.work={work}", f"data.workers={workers}")


def manifest(work):
    (found,) = work.glob("manifest-*.parquet")
    return found.name, found.read_bytes()


def wait_for(condition, process, pause_s=0.005):
    """The first truth that a condition comes to while a process runs."""
    until = time.monotonic() + 120
    while not (found := condition()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < until, "nothing happened"
        time.sleep(pause_s)
    return found


def at_work(lab, *arguments):
    """Starts to prepare, and waits until the work proper has begun."""
    process = lab.start("deepfake_lab.prepare", *arguments)
    (work,) = (lab.folder / word.partition("=")[2] for word in arguments if word.startswith("data.work="))
    note = work / ".prepare.json"  # of one that was killed before, perhaps
    wait_for(lambda: note.is_file() and json.loads(note.read_text())["pid"] == process.pid, process)
    return process


def pool_of(process):
    """The processes of a pool, which multiprocessing has spawned."""
    children = psutil.Process(process.pid).children()
    return [child for child in children if "--multiprocessing-fork" in child.cmdline()]


def begun(process):
    """Those of its pool that have read what to do: one more thread watches the parent."""
    return [one for one in pool_of(process) if one.num_threads() > 1]


def said_until(process, words):
    said = []
    for line in process.stdout:
        said.append(line)
        if words in line:
            break
    return "".join(said)


@pytest.mark.parametrize("killed", [False, True], ids=["done", "killed"])
def test_the_second_of_two_waits_and_says_for_whom(lab, recordings, killed):
    assert lab("prepare", *folder_of(recordings, lab.folder / "unbroken"))[0] == 0
    first = at_work(lab, *folder_of(recordings, lab.folder / "work"))
    first.send_signal(signal.SIGSTOP)
    second = lab.start("deepfake_lab.prepare", *folder_of(recordings, lab.folder / "work"))
    said = said_until(second, "waiting for it")
    assert f"process {first.pid} on " in said
    assert "prepares folder; waiting for it." in said
    assert not list((lab.folder / "work").glob("manifest-*"))

    first.send_signal(signal.SIGKILL if killed else signal.SIGCONT)
    first.communicate(timeout=60)
    rest, _ = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (-signal.SIGKILL if killed else 0, 0)
    assert (f"process {first.pid} on " in rest) == killed
    assert ("was stopped before it was done; going on from there." in rest) == killed
    assert ("checking files: 151 of 151" in rest) == killed, "the second had the work to do, or found it done"
    assert manifest(lab.folder / "work") == manifest(lab.folder / "unbroken")
    assert not list((lab.folder / "work").glob(".prepare.json"))


@pytest.mark.parametrize(
    ("corpus", "arguments", "kills"),
    [
        ("recordings", folder_of, 3),
        pytest.param("ljspeech", ljspeech_of, 6, marks=pytest.mark.slow),
    ],
    ids=["folder", "ljspeech"],
)
def test_kills_at_random_moments_leave_the_manifest_of_an_unbroken_call(lab, request, corpus, arguments, kills):
    root, unbroken, work = request.getfixturevalue(corpus), lab.folder / "unbroken", lab.folder / "work"
    process = at_work(lab, *arguments(root, unbroken))
    begun = time.monotonic()
    wait_for(lambda: list(unbroken.glob("manifest-*")), process)
    took_s = time.monotonic() - begun
    process.communicate(timeout=60)
    moments, killed = random.Random(0), 0
    while killed < kills and not list(work.glob("manifest-*")):
        process = at_work(lab, *arguments(root, work))
        time.sleep(moments.uniform(0, took_s / kills))  # what is done stays done: this leaves work for the next
        process.kill()
        process.communicate(timeout=60)
        killed += 1
    assert killed > 1, "it was done before it could be killed"
    status, printed = lab("prepare", *arguments(root, work))
    assert status == 0, printed
    assert manifest(work) == manifest(unbroken)


@pytest.mark.parametrize(
    ("corpus", "arguments"),
    [("recordings", folder_of), pytest.param("ljspeech", ljspeech_of, marks=pytest.mark.slow)],
    ids=["looking", "copying"],
)
def test_a_killed_worker_is_told_and_the_same_command_goes_on(lab, request, corpus, arguments):
    root, work = request.getfixturevalue(corpus), lab.folder / "work"
    process = at_work(lab, *arguments(root, work, workers=2))
    wait_for(lambda: begun(process), process)[0].kill()
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 2, printed
    assert "one of 2 worker processes died, most likely killed for lack of memory" in printed
    assert "run the same command again to go on, with data.workers=1" in printed
    assert "Traceback" not in printed
    status, printed = lab("prepare", *arguments(root, work, workers=1))
    assert status == 0, printed


def test_termination_ends_preparation_and_its_processes(lab, recordings):
    process = at_work(lab, *folder_of(recordings, lab.folder / "work", workers=2))
    workers = wait_for(lambda: len(both := begun(process)) == 2 and both, process)
    process.terminate()
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 143, printed
    assert printed.splitlines()[-1] == "terminated: the same command, called again, goes on"
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
