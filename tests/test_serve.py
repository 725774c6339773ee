"""The command: a process that answers, tells, stops and comes back."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile
from make_detectors import make_detectors
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from deepfake_lab.checkpoint import load_detector, save_detector
from deepfake_lab.serving import app
from deepfake_lab.serving.self_test import speechlike


class Process:
    """`python -m deepfake_lab.serve`."""

    def __init__(self, folder, *overrides):
        command = [sys.executable, "-m", "deepfake_lab.serve", "checkpoint=0.ckpt", "port=0", "device=cpu", *overrides]
        self.process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self.address = None
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        until = time.monotonic() + 120
        while self.address is None:
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < until, self.lines
            time.sleep(0.02)
        self.client = httpx.Client(base_url=self.address, timeout=60, trust_env=False)

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            if '"serving"' in line:
                self.address = json.loads(line)["address"]

    def detect(self, content, name="a.wav"):
        return self.client.post("/v1/detect", files={"file": (name, content)})

    def stream(self):
        return connect(f"{self.address.replace('http', 'ws')}/v1/stream?rate=16000", proxy=None)

    def wait_for_work(self):
        """Waits until a recording is being judged."""
        while "deepfake_lab_recordings_waiting 1" not in self.client.get("/metrics").text:
            time.sleep(0.01)

    def end(self, sig):
        """Its exit status."""
        self.process.send_signal(sig)
        status = self.process.wait(60)
        self._reading.join()
        self.client.close()
        return status


@pytest.fixture
def folder(tmp_path):
    """A folder with a detector in it."""
    make_detectors(tmp_path)
    return tmp_path


@pytest.fixture
def serve(folder):
    started = []

    def serve(*overrides):
        started.append(Process(folder, *overrides))
        return started[-1]

    yield serve
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGKILL)
        one.process.stdout.close()
        one.process.stderr.close()


def recording(seconds):
    file = io.BytesIO()
    soundfile.write(file, speechlike(0, seconds), 16_000, format="FLAC")
    return file.getvalue()


def test_tells_what_it_does_and_stops_without_losing_anything(serve, folder):
    one = serve("census=census.json", "limits.recording_s=1000")
    assert one.detect(recording(2.0), "secret-name.wav").status_code == 200
    assert one.detect(b"no audio", "secret-name.wav").status_code == 422
    assert one.client.get("/v1/model", params={"key": "secret-key"}).status_code == 200
    with ThreadPoolExecutor(1) as threads, one.stream() as stream:
        stream.send(np.round(speechlike(1, 1.0) * 32767).astype("<i2").tobytes())
        assert json.loads(stream.recv(timeout=20))["type"] == "decision"
        under_way = threads.submit(one.detect, recording(240.0))
        one.wait_for_work()
        one.process.send_signal(signal.SIGTERM)
        messages = []
        with pytest.raises(ConnectionClosed):
            messages.extend(json.loads(message) for message in iter(lambda: stream.recv(timeout=20), None))
        last = messages[-1]
        assert (last["type"], last["ended"], stream.close_code) == ("final", "stopping", 1012)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{one.address}/healthz", trust_env=False)
        assert under_way.result(60).status_code == 200
    assert one.end(signal.SIGCONT) == 0
    assert one.process.stderr.read() == ""
    counts = json.loads((folder / "census.json").read_text())["duration_s"]
    assert sum(counts) == 3
    lines = [json.loads(line) for line in one.lines]
    assert [line["event"] for line in lines if line["event"] != "request"] == ["loaded", "serving", "stopping"]
    requests = [line for line in lines if line["event"] == "request"]
    told = [(line["method"], line["path"], line["status"]) for line in requests if line["path"] != "/metrics"]
    assert sorted(told) == [
        ("GET", "/v1/model", 200),
        ("POST", "/v1/detect", 200),
        ("POST", "/v1/detect", 200),
        ("POST", "/v1/detect", 422),
        ("WS", "/v1/stream", 101),
    ]
    judged = next(line for line in requests if line["path"] == "/v1/detect")
    assert judged.keys() == {
        "time",
        "level",
        "event",
        "id",
        "method",
        "path",
        "status",
        "duration_s",
        "audio_s",
        "score",
        "verdict",
    }
    assert (judged["audio_s"], judged["verdict"] in ("spoof", "bonafide", "undecided")) == (2.0, True)
    assert re.fullmatch(r"-?(\d+|inf)\.\.-?(\d+|inf)", judged["score"])
    assert len({line["id"] for line in requests}) == len(requests)
    assert "secret" not in "".join(one.lines)


def test_comes_back_after_a_kill_with_what_it_had_counted(serve, folder):
    one = serve("census=census.json")
    one.detect(recording(2.0))
    assert one.end(signal.SIGTERM) == 0
    two = serve("census=census.json")
    assert sum(two.client.get("/v1/census").json()["counts"]["score"]) == 1
    two.detect(recording(3.0))
    assert sum(two.client.get("/v1/census").json()["counts"]["score"]) == 2
    assert two.end(signal.SIGKILL) == -signal.SIGKILL
    assert sum(json.loads((folder / "census.json").read_text())["score"]) == 1
    assert sorted(os.listdir(folder)) == ["0.ckpt", "1.ckpt", "census.json"]


@pytest.mark.slow
def test_a_second_signal_does_not_wait(serve):
    one = serve("limits.recording_s=1000")
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(one.detect, recording(900.0))
        one.wait_for_work()
        one.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        time.sleep(0.3)
        assert one.end(signal.SIGTERM) == -signal.SIGTERM
        assert time.monotonic() - begun < 10
        assert (under_way.result(20).status_code, under_way.result().json()["code"]) == (503, "stopping")


@pytest.mark.slow
def test_a_stop_waits_only_so_long(serve):
    one = serve("limits.recording_s=1000", "limits.grace_s=0.3")
    with ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(one.detect, recording(900.0))
        one.wait_for_work()
        assert one.end(signal.SIGTERM) == 0
        assert (under_way.result(20).status_code, under_way.result().json()["code"]) == (503, "stopping")
    assert [line for line in one.lines if '"event": "given up", "under_way": 1' in line]


def test_a_census_is_written_while_it_runs(folder, monkeypatch):
    from deepfake_lab.config import compose, resolved
    from deepfake_lab.serve import make_server
    from deepfake_lab.serving.server import bound

    monkeypatch.setattr(app, "_KEEP_S", 0.05)
    monkeypatch.chdir(folder)
    config = resolved(compose("serve", ["checkpoint=0.ckpt", "device=cpu", "census=census.json"]))
    server, listening = make_server(config), bound("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/detect"
    httpx.post(address, files={"file": ("a.wav", recording(1.0))}, timeout=60, trust_env=False)
    until = time.monotonic() + 20
    while not (folder / "census.json").exists() or not sum(json.loads((folder / "census.json").read_text())["score"]):
        assert time.monotonic() < until
        time.sleep(0.01)
    server.stop()
    thread.join(60)


def test_a_library_that_is_missing_is_named(lab, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    status, printed = lab("serve", "checkpoint=0.ckpt")
    assert (status, "Traceback" in printed) == (2, False)
    assert "fastapi is not installed. A service wants it: pip install 'deepfake-lab[serving]'" in printed


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A detector, one that is not calibrated, and a file that is none."""
    folder = tmp_path_factory.mktemp("files")
    make_detectors(folder)
    plain = load_detector(folder / "0.ckpt")
    plain.calibrate(1.0, 0.0)
    save_detector(plain, folder / "plain.ckpt")
    (folder / "text.ckpt").write_text("no detector")
    return folder


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["checkpoint=null"], "Give one of checkpoint=FILE and registered_model=NAME"),
        (["registered_model=a"], "Give one of checkpoint=FILE and registered_model=NAME"),
        (["checkpoint=nowhere.ckpt"], "checkpoint=nowhere.ckpt: cannot be read (No such file"),
        (["checkpoint=text.ckpt"], "text.ckpt: not a readable checkpoint"),
        (["checkpoint=plain.ckpt"], "plain, version "),
        (["checkpoint=plain.ckpt"], "fails its test: it is not calibrated"),
        (["checkpoint=null", "registered_model=nobody"], "registered_model=nobody: has no champion. Promote one"),
        (["checkpoint=null", "registered_model=a", "tracking.uri=sqlite:///x/y.db"], "its folder does not exist"),
        (["host=0.0.0.0"], "host=0.0.0.0: others could use the service"),
        (["host=::"], "host=::: others could use the service"),
        (["host=lab.example"], "host=lab.example: others could use the service"),
        (["host=203.0.113.7", "insecure=true"], "host=203.0.113.7 port=8000: cannot be listened on"),
        (["port=70000"], "port=70000: give at most 65535"),
        (["keys=nowhere.txt"], "keys=nowhere.txt: cannot be read"),
        (["keys=text.ckpt"], "keys=text.ckpt: line 1 is no SHA-256 digest"),
        (["census=nowhere/census.json"], "census=nowhere/census.json: its folder does not exist"),
        (["census=text.ckpt"], "census=text.ckpt: holds no census of this version"),
        (["limits.workers=0"], "limits.workers=0: give 1 or more"),
        (["limits.idle_s=nan"], "limits.idle_s=nan: give"),
        (["poll_s=0"], "poll_s=0.0: give 0.05 or more"),
        (["threshold=1.5"], "threshold=1.5: a probability"),
        (["release=0.9"], "release=0.9: give more than 0 and at most threshold=0.7"),
        (["limits.uploads=3"], "limits.uploads: no such key"),
        (["device=abacus"], "device=abacus: cannot be used"),
    ],
)
def test_mistakes_are_explained(lab, files, overrides, complaint):
    shutil.copytree(files, lab.folder, dirs_exist_ok=True)
    status, printed = lab("serve", "checkpoint=0.ckpt", *overrides)
    assert status == 2, printed
    assert complaint in printed
    assert "Traceback" not in printed
