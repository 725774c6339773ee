"""Loads a service over loopback: recordings by 1, 8 and 32 clients, streams in real time; rates, delays and memory."""

import argparse
import csv
import io
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import httpx
import numpy as np
import soundfile
from bench import Measurement, run_config, told
from websockets.sync.client import connect

BATCH = 16
LEAST = 0.8
"""Smallest throughput of batches and of the service, in that of the same work without them."""
LAG_S = 0.5
"""Longest 99 % delay of a decision behind real time, in s: a stream is to be answered before the next window ends."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="detector; by default an untrained CRNN, which is as fast")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=15.0, help="of load, for each number of clients")
    parser.add_argument("--stream-seconds", type=float, default=20.0)
    parser.add_argument("--bare-seconds", type=float, default=20.0)
    parser.add_argument("--recording-seconds", type=float, default=8.0)
    parser.add_argument("--csv", type=Path, default=Path("serving.csv"))
    parser.add_argument("--json", type=Path, help="file for the numbers of the table")
    return parser.parse_args()


def untrained(path):
    """Writes an untrained CRNN that passes a service's test."""
    from deepfake_lab.checkpoint import build_detector, save_detector

    detector = build_detector(run_config(["model=crnn", "data=toy", "run_dir=unused"])["model"]).eval()
    detector.calibrate(1000.0, 0.0)
    save_detector(detector, path)
    return path


def speech(seconds, voice=0):
    """What a self-test takes for speech, as 16-bit samples."""
    from deepfake_lab.serving.self_test import speechlike

    return np.round(speechlike(voice, seconds) * 32767).astype("<i2")


def wav(seconds):
    """A recording of that."""
    file = io.BytesIO()
    soundfile.write(file, speech(seconds), 16_000, format="WAV")
    return file.getvalue()


@contextmanager
def service(checkpoint):
    """A service of its own process, without limits that a load test would reach; a client of it."""
    command = [sys.executable, "-m", "deepfake_lab.serve", f"checkpoint={checkpoint}", "port=0", f"batch_size={BATCH}"]
    limits = ["limits.requests_per_s=0", "limits.queue=1000", "limits.streams=200", "limits.connections=1000"]
    process = subprocess.Popen([*command, *limits], stdout=subprocess.PIPE, text=True)
    try:
        address = next(json.loads(line)["address"] for line in process.stdout if '"serving"' in line)
        threading.Thread(target=process.stdout.read, daemon=True).start()  # its log must not fill the pipe
        with httpx.Client(base_url=address, timeout=120, trust_env=False) as client:
            yield client
    finally:
        process.terminate()
        process.wait(60)


class Memory:
    """Looks once a second how much memory the service has."""

    def __init__(self, client):
        self._client = client
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self.rows = []
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self):
        while not self._stop.wait(1.0):
            now = time.monotonic() - self._begun
            self.rows.append(
                {"at_s": round(now, 1), "rss_mb": numbers(self._client)["process_resident_memory_bytes"] / 1e6}
            )

    def stop(self):
        self._stop.set()
        self._thread.join()


def numbers(client):
    """Numbers of the service that have no labels."""
    lines = [line.split() for line in client.get("/metrics").text.splitlines() if line[0] != "#" and "{" not in line]
    return {name: float(value) for name, value in lines}


def ask_for(address, request, until, seconds, failures):
    """One client: asks again and again, and notes how long each answer takes. It has the request's bytes at hand, since
    it shares the processor with the service."""
    with closing(HTTPConnection(address.host, address.port, timeout=120)) as connection:
        while time.monotonic() < until:
            begun = time.monotonic()
            connection.request("POST", "/v1/detect", request.content, dict(request.headers))
            answer = connection.getresponse()
            answer.read()
            (seconds if answer.status == 200 else failures).append(time.monotonic() - begun)


def recordings(client, clients, options):
    """A row of figures of so many clients."""
    request = client.build_request("POST", "/v1/detect", files={"file": ("a.wav", wav(options.recording_seconds))})
    request.read()
    client.send(request).raise_for_status()  # and warms it up
    before, begun = numbers(client), time.monotonic()
    seconds, failures = [], []
    job = (client.base_url, request, begun + options.seconds, seconds, failures)
    in_threads(ask_for, [job] * clients)
    took, after = time.monotonic() - begun, numbers(client)
    windows = after["deepfake_lab_batch_windows_sum"] - before["deepfake_lab_batch_windows_sum"]
    batches = after["deepfake_lab_batch_windows_count"] - before["deepfake_lab_batch_windows_count"]
    return {
        **{"kind": "recordings", "clients": clients, "requests": len(seconds), "failures": len(failures)},
        **{"per_s": len(seconds) / took, "p50_s": np.percentile(seconds, 50), "p99_s": np.percentile(seconds, 99)},
        **{"windows_per_s": windows / took, "windows_a_batch": windows / max(batches, 1)},
    }


def speak(address, samples, lags):
    """One stream: chunks of 20 ms as fast as they are spoken; how far behind each decision is."""
    with connect(f"{str(address).replace('http', 'ws')}v1/stream?rate=16000", proxy=None) as stream:
        begun = time.monotonic()

        def listen():
            for message in map(json.loads, stream):
                if message["type"] == "decision":
                    lags.append(time.monotonic() - begun - message["end_s"])

        listening = threading.Thread(target=listen)
        listening.start()
        for start in range(0, len(samples), 320):
            time.sleep(max(begun + start / 16_000 + 0.02 - time.monotonic(), 0))
            stream.send(samples[start : start + 320].tobytes())
        stream.send("end")
        listening.join()


def streams(client, options):
    """A row of figures of all streams together."""
    lags, samples = [], speech(options.stream_seconds, voice=1)
    in_threads(speak, [(client.base_url.join("/"), samples, lags)] * options.streams)
    return {
        **{"kind": "streams", "clients": options.streams, "requests": len(lags), "failures": 0},
        **{"p50_s": np.percentile(lags, 50), "p99_s": np.percentile(lags, 99)},
    }


def in_threads(function, jobs):
    threads = [threading.Thread(target=function, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def bare(checkpoint, options):
    """Windows a second of the detector on full batches, of such batches made of what several ask for, of `predict`."""
    from deepfake_lab.checkpoint import load_detector
    from deepfake_lab.serving.batching import Batcher
    from deepfake_lab.serving.decoding import Recording
    from deepfake_lab.serving.judge import Judge
    from deepfake_lab.serving.scoring import score_windows

    detector = load_detector(checkpoint)
    judge, recording = Judge(detector, batch_size=BATCH), Recording(wav(options.recording_seconds), "a.wav")
    waves = [speech(detector.window_s).astype(np.float32) / 32768] * BATCH

    def detect():
        return sum(len(score_windows(detector, waves, True).whole) for _ in range(4))

    batcher = Batcher(BATCH, 0.003)
    scorer = batcher.scorer(detector)

    def batched():
        in_threads(lambda asked: [scorer(waves[:4], True) for _ in range(asked)], [(2,)] * 8)
        return 2 * 8 * 4

    def predict():
        return sum(judge(recording).windows for _ in range(8))

    found = rates((detect, batched, predict), options.bare_seconds)
    batcher.close()
    return found


def rates(works, seconds):
    """Windows a second of works that say how many they have scored, by their names. They take turns."""
    counts, times = ({work.__name__: 0.0 for work in works} for _ in range(2))
    for work in works:
        work()
    while sum(times.values()) < seconds:
        for work in works:
            begun = time.monotonic()
            counts[work.__name__] += work()
            times[work.__name__] += time.monotonic() - begun
    return {name: counts[name] / times[name] for name in counts}


def measured(rows, memory, alone):
    """The rows as measurements."""
    found = []
    for row in rows:
        if row["kind"] == "recordings":
            figures = (
                f"p50 {row['p50_s']:.3f} s, p99 {row['p99_s']:.3f} s, {row['windows_a_batch']:.1f} windows a batch"
            )
            found.append(Measurement(f"recordings, {row['clients']} clients", row["per_s"], "/s", figures=figures))
        else:
            figures = f"{row['requests']} decisions, p50 {row['p50_s']:.3f} s"
            found.append(Measurement(f"{row['clients']} streams, p99 lag", row["p99_s"], "s", LAG_S, figures=figures))
    best = max(row["windows_per_s"] for row in rows if row["kind"] == "recordings")
    for what, one, other, bound in (
        ("batches of several askers, to the bare detector", alone["batched"], alone["detect"], LEAST),
        ("service, to predict", best, alone["predict"], LEAST),
        ("service, to the bare detector", best, alone["detect"], None),
    ):
        figures = f"{one:.1f} windows/s, {other:.1f} windows/s"
        found.append(Measurement(what, one / other, "x", bound, at_least=True, figures=figures))
    first, last = memory[len(memory) // 4]["rss_mb"], memory[-1]["rss_mb"]
    found.append(
        Measurement("memory that load added", last - first, "MB", figures=f"{first:.0f} MB, then {last:.0f} MB")
    )
    return found


def main():
    """Prints the table, writes the rows; exits with status 1 where a bound is broken."""
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = options.checkpoint or untrained(Path(folder, "untrained.ckpt"))
        alone = bare(checkpoint, options)
        with service(checkpoint) as client:
            memory = Memory(client)
            rows = [recordings(client, clients, options) for clients in options.clients] + [streams(client, options)]
            memory.stop()
    with options.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "at_s", "rss_mb"])
        writer.writeheader()
        writer.writerows([*rows, *({"kind": "memory"} | row for row in memory.rows)])
    return told(measured(rows, memory.rows, alone), options.json)


if __name__ == "__main__":
    raise SystemExit(main())
