"""A detector that says something of every window, and somebody who speaks."""

import functools
import io
import json
import math
import threading
import time
from contextlib import ExitStack

import av
import httpx
import numpy as np
import pytest
import soundfile
import torch
from make_detectors import train
from websockets.sync.client import connect

from deepfake_lab import audio
from deepfake_lab.checkpoint import build_detector, save_detector
from deepfake_lab.config import compose, resolved
from deepfake_lab.synthesis.espeak import Espeak

ENCODER = {"widths": [4, 4, 4, 4], "hidden": 4, "embedding_dim": 4, "_partial_": True}


@pytest.fixture(scope="session")
def detector():
    """A CRNN of half-second windows, hardly trained, whose scores are spread around 0 on speech."""
    torch.manual_seed(0)
    made = build_detector(
        {
            "_target_": "deepfake_lab.models.detector.Detector",
            "frontend": {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 16},
            "encoder": {"_target_": "deepfake_lab.models.crnn.CRNN", **ENCODER},
            "window_s": 0.5,
        }
    )
    train(made)  # scores of an untrained one hardly differ, and spread out they are rounding errors
    made.eval()
    with torch.inference_mode():
        scores = made(torch.from_numpy(talk(8.0)).view(-1, 8_000)).score
    scale = 3 / float(scores.std())
    made.calibrate(scale, -scale * float(scores.mean()))
    return made


@pytest.fixture(scope="session")
def checkpoint(detector, tmp_path_factory):
    """Its file."""
    path = tmp_path_factory.mktemp("detector") / "detector.ckpt"
    save_detector(detector, path)
    return path


@functools.cache
def sentence(seed):
    return Espeak().speak("We walked along the canal until it rained.", "en", seed, 2.5)


def talk(seconds, seed=0):
    """Somebody who speaks for so long: (T,) at 16 kHz."""
    return np.tile(sentence(seed), math.ceil(seconds / 2))[: round(seconds * 16_000)]


@pytest.fixture(scope="session")
def speech():
    """See `talk`."""
    return talk


@pytest.fixture(scope="session")
def pcm():
    """See `samples`."""
    return samples


@pytest.fixture(scope="session")
def encode():
    """See `encoded`."""
    return encoded


class Running:
    """A service in a thread of this process: the command's own, but for signals."""

    def __init__(self, config):
        from deepfake_lab.serve import make_server
        from deepfake_lab.serving.server import bound

        self.server = make_server(config)
        listening = bound(config["host"], config["port"])
        self.port = listening.getsockname()[1]
        self._thread = threading.Thread(target=self.server.run, args=([listening],))
        self._thread.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        self.until(lambda: self.server.started)

    def until(self, happens, within_s=30.0):
        """Waits for something, and gives what it is."""
        until = time.monotonic() + within_s
        while not (found := happens()):
            assert time.monotonic() < until, "it did not happen"
            time.sleep(0.01)
        return found

    def detect(self, content, name="a.wav", **settings):
        return self.client.post("/v1/detect", files={"file": (name, content)}, **settings)

    def stream(self, query="rate=16000", **settings):
        """A WebSocket on it."""
        address = f"ws://127.0.0.1:{self.port}/v1/stream?{query}"
        return connect(address, proxy=None, max_size=None, **settings)

    def hear(self, wave, chunk=640):
        """What a stream of 16-bit samples is told, message by message."""
        content = samples(wave)
        with self.stream() as socket:
            for start in range(0, len(content), chunk):
                socket.send(content[start : start + chunk])
            socket.send("end")
            return [json.loads(message) for message in socket]

    def numbers(self):
        """All numbers of /metrics, by name and labels."""
        lines = [line for line in self.client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def stop(self):
        """Stops it; whether nothing is left of it."""
        self.client.close()
        self.server.stop()
        self._thread.join(60)
        return not self._thread.is_alive()


@pytest.fixture(scope="session")
def settings(checkpoint):
    """Makes the configuration of a service: the defaults, any free port, and what is asked for."""

    def settings(*overrides):
        return resolved(compose("serve", [f"checkpoint={checkpoint}", "port=0", "device=cpu", *overrides]))

    return settings


@pytest.fixture(scope="session")
def service(settings):
    """A service for all tests that leave it as it is, without a limit on requests."""
    running = Running(settings("limits.requests_per_s=0", "limits.upload_mb=2", "limits.recording_s=60"))
    yield running
    assert running.stop()


def starter(settings):
    with ExitStack() as stack:

        def start(*overrides):
            running = Running(settings(*overrides))
            stack.callback(running.stop)
            return running

        yield start


@pytest.fixture
def start(settings):
    """Starts services of the test's own."""
    yield from starter(settings)


@pytest.fixture(scope="module")
def start_for_all(settings):
    """Starts services for all tests of a file."""
    yield from starter(settings)


def encoded(wave, ending="wav", rate=16_000, **settings):
    """A file with a waveform ``(T,)`` in it."""
    file = io.BytesIO()
    if ending in ("webm", "opus"):
        options = {"live": "1"} if ending == "webm" else {"page_duration": "20000"}
        with av.open(file, "w", format="webm" if ending == "webm" else "ogg", options=options) as container:
            stream = container.add_stream("libopus", rate=48_000)
            stream.layout = "mono"
            wave = audio.resample(np.asarray(wave, np.float32), rate, 48_000)
            for start in range(0, len(wave), 960):
                frame = av.AudioFrame.from_ndarray(wave[None, start : start + 960].copy(), "flt", "mono")
                frame.sample_rate, frame.pts = 48_000, start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return file.getvalue()
    soundfile.write(file, wave, rate, format=ending.upper(), **settings)
    return file.getvalue()


def samples(wave):
    """The 16-bit samples that a WAV file of a waveform holds."""
    return encoded(wave, subtype="PCM_16")[44:]
