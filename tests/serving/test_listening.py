"""Streams over WebSockets get the scores of recordings, and end as they should."""

import json
import socket
import time
from io import BytesIO

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from deepfake_lab import audio
from deepfake_lab.serving.decoding import RawFormat, Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.schemas import DecisionSaid, FinalSaid
from deepfake_lab.serving.streaming import StreamingDetector


def hear(service, content, query, chunk):
    with service.stream(query) as stream:
        for start in range(0, len(content), chunk):
            stream.send(content[start : start + chunk])
        stream.send("end")
        return [json.loads(message) for message in stream], stream.close_code


@pytest.mark.parametrize("chunk", [101, 640, 1 << 19])
def test_gets_the_decisions_of_the_command(service, detector, speech, pcm, chunk):
    content = pcm(speech(3.3))
    (*messages, last), code = hear(service, content, "rate=16000", chunk)
    streaming = StreamingDetector(Judge(detector, hop_s=0.5))
    wave = np.frombuffer(content, "<i2").astype(np.float32) / 32768
    decisions = [*streaming(wave), *streaming.finish()]
    assert len(messages) == len(decisions) == 7
    for message, decision in zip(messages, decisions, strict=True):
        said = DecisionSaid.model_validate(message)
        assert said.score == pytest.approx(decision.score, abs=1e-4)
        for name in ("start_s", "end_s", "speech_s", "state", "reason", "changed"):
            assert getattr(said, name) == getattr(decision, name), name
    final = FinalSaid.model_validate(last)
    assert (final.ended, final.windows, final.duration_s, code) == ("end", 7, 3.3, 1000)
    assert final.p_fake == pytest.approx(streaming.p_fake, abs=1e-4)


@pytest.mark.parametrize(
    ("query", "rate"), [("rate=8000", 8_000), ("rate=48000", 48_000), ("format=pcm&rate=22050", 22_050)]
)
def test_of_any_rate(service, detector, speech, query, rate, pcm):
    content = pcm(audio.resample(speech(2.2), 16_000, rate))
    (*_, last), _ = hear(service, content, query, 1_000)
    streaming = StreamingDetector(Judge(detector, hop_s=0.5))
    for wave in Recording(BytesIO(content), "a", raw=RawFormat(rate)).waves():
        streaming(wave)
    streaming.finish()
    assert last["duration_s"] == pytest.approx(2.2, abs=0.01)
    assert last["p_fake"] == pytest.approx(streaming.p_fake, abs=1e-4)


@pytest.mark.parametrize("ending", ["webm", "opus"])
@pytest.mark.parametrize("chunk", [100, 4_000])
def test_of_what_a_browser_records(service, detector, speech, encode, ending, chunk):
    content = encode(speech(3.3), ending)
    (*messages, last), code = hear(service, content, "format=opus", chunk)
    expected = Judge(detector, hop_s=0.5)(Recording(content, f"a.{ending}"))
    assert (len(messages), last["windows"], code) == (expected.windows, expected.windows, 1000)
    assert last["score"] == pytest.approx(expected.score, abs=1e-4)
    assert last["verdict"] == expected.verdict
    assert last["quality"]["band_hz"] == expected.quality.band_hz


@pytest.mark.parametrize("query", ["rate=16000", "format=opus"])
def test_is_answered_while_it_is_spoken(service, speech, encode, pcm, query):
    content = encode(speech(3.0), "webm") if "opus" in query else pcm(speech(3.0))
    with service.stream(query) as stream:
        stream.send(content[: len(content) // 2])
        first = json.loads(stream.recv(timeout=20))
        assert (first["type"], first["end_s"]) == ("decision", 0.5)
        stream.send(content[len(content) // 2 :])
        stream.send("end")
        *_, last = [json.loads(message) for message in stream]
    assert last["windows"] == 6


def test_nothing_is_no_error(service):
    (last,), code = hear(service, b"", "rate=16000", 1)
    assert (last["p_fake"], last["score"], last["verdict"], code) == (None, None, "undecided", 1000)
    assert FinalSaid.model_validate(last).reason == "nothing was heard"


def test_too_little_is_scored_and_not_judged(service, speech):
    *_, last = service.hear(speech(0.3))
    assert (last["windows"], last["verdict"], last["reason"]) == (1, "undecided", "shorter than 1 s")
    assert 0 <= last["p_fake"] <= 1


def test_one_that_goes_away_leaves_nothing_behind(service, speech, pcm):
    for _ in range(3):
        with service.stream() as stream:
            stream.send(pcm(speech(2.0)))
            stream.socket.shutdown(socket.SHUT_RDWR)  # no farewell
    service.until(lambda: service.numbers()["deepfake_lab_streams_open"] == 0)


def test_ends_when_nothing_comes(start, speech, pcm):
    running = start("limits.idle_s=0.5")
    with running.stream() as stream:
        stream.send(pcm(speech(1.2)))
        *_, last = [json.loads(message) for message in stream]
    assert (last["ended"], last["windows"], stream.close_code) == ("idle", 3, 1001)


@pytest.mark.parametrize("pause", [0.0, 0.05])
def test_ends_when_it_is_too_long(start, speech, pcm, pause):
    running = start("limits.stream_s=1.5")
    with running.stream() as stream:
        try:
            for _ in range(200):
                stream.send(pcm(speech(0.1)) if pause == 0 else pcm(speech(0.001)))
                time.sleep(pause)
        except ConnectionClosed:
            pass
        *_, last = [json.loads(message) for message in stream]
    assert last["ended"] == "too_long"
    assert last["duration_s"] <= 1.6
    assert stream.close_code == 1000


def test_one_that_sends_faster_than_it_is_heard_waits(start, speech, pcm):
    running = start("limits.requests_per_s=0")
    content = pcm(speech(60.0))
    with running.stream() as stream:
        for _ in range(3):
            stream.send(content[: 1 << 20])
        stream.send("end")
        *messages, last = [json.loads(message) for message in stream]
    assert last["duration_s"] == pytest.approx(3 * (1 << 20) / 32_000, abs=0.01)
    assert len(messages) == last["windows"]


def test_one_that_takes_nothing_is_given_up(start, speech, pcm, caplog):
    caplog.set_level("INFO", "deepfake_lab.serving")
    running = start("hop_s=0.01", "limits.idle_s=0.5", "limits.requests_per_s=0")
    (listening,) = (sock for server in running.server.servers for sock in server.sockets)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # which connections inherit
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", running.port))
        with running.stream(sock=deaf, max_queue=1, close_timeout=0.1) as stream:
            stream.send(pcm(speech(8.0)))
            opened = running.numbers()["deepfake_lab_streams_open"]
            running.until(lambda: not running.numbers()["deepfake_lab_streams_open"])
            assert opened == 1
    told = [record.facts for record in caplog.records if getattr(record, "facts", {}).get("method") == "WS"]
    assert [facts["ended"] for facts in told] == ["gone"]
    assert running.client.get("/healthz").status_code == 200


def test_a_message_that_is_too_large_ends_it(service):
    with service.stream() as stream:
        stream.send(bytes((1 << 20) + 1))
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=20)
    assert stream.close_code == 1009
