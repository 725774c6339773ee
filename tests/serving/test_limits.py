"""Who may ask, how often and how much; what is too much is refused, and the others are answered."""

import hashlib
import io
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile
from websockets.exceptions import InvalidStatus

from deepfake_lab.serving.limits import Buckets, Keys, Limits, Places, Refused
from deepfake_lab.serving.uploads import shown
from deepfake_lab.types import LabError

KIND = {"Content-Type": "multipart/form-data; boundary=x"}
FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


@pytest.fixture(scope="module")
def bomb():
    """Ten minutes of almost nothing in a few kB."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(600 * 16_000, np.int16), 16_000, format="FLAC")
    assert len(file.getvalue()) < 100_000
    return file.getvalue()


def refused(answer, status, code):
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["message"].endswith(".")
    return answer


def chunks(content, size, pause):
    for start in range(0, len(content), size):
        yield content[start : start + size]
        time.sleep(pause)


class TestUploads:
    def test_too_many_bytes(self, service, speech, encode):
        refused(service.detect(bytes(2_100_000)), 413, "too_large")
        of_unknown_length = chunks(FORM + bytes(3_000_000), 100_000, 0)
        refused(service.client.post("/v1/detect", content=of_unknown_length, headers=KIND), 413, "too_large")
        assert service.detect(encode(speech(1.0))).status_code == 200

    def test_too_long_a_recording(self, service, bomb):
        begun = time.monotonic()
        answer = refused(service.detect(bomb, "bomb.flac"), 413, "too_long")
        assert answer.json()["message"] == "bomb.flac: longer than 60 s. Send a part of it."
        assert time.monotonic() - begun < 5, "it was not decoded to its end"

    def test_too_much_memory_at_once(self, start, speech, encode):
        running = start("limits.memory_mb=0.05")
        answer = refused(running.detect(bytes(60_000)), 503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert running.detect(encode(speech(1.0))).status_code == 200, "what was refused holds no memory"

    def test_too_slow(self, start, speech, encode):
        running = start("limits.upload_s=0.5", "limits.requests_per_s=0", "limits.headers_s=0.6")

        def dribble(_):
            with httpx.Client(base_url=running.client.base_url, trust_env=False) as client:
                return client.post("/v1/detect", content=chunks(FORM + bytes(200), 5, 0.05), headers=KIND)

        with ThreadPoolExecutor(20) as threads:
            slow = [threads.submit(dribble, number) for number in range(20)]
            time.sleep(0.1)
            assert running.detect(encode(speech(1.0))).status_code == 200, "others are answered meanwhile"
            for job in slow:
                refused(job.result(20), 408, "too_slow")

    def test_nothing_is_written_to_disk(self, service, speech, encode, monkeypatch):
        import tempfile

        def refuse(*_, **__):
            raise AssertionError("a temporary file")

        for name in ("SpooledTemporaryFile", "NamedTemporaryFile", "TemporaryFile", "mkstemp"):
            monkeypatch.setattr(tempfile, name, refuse)
        assert service.detect(encode(speech(30.0), subtype="FLOAT")).status_code == 200

    @pytest.mark.parametrize(
        ("name", "is_shown"),
        [
            (b"a.wav", "a.wav"),
            (b"../../etc/passwd", "passwd"),
            (b"C:\\a\\b.wav", "b.wav"),
            (b"a\0\x1b[2J\r\nb", "a[2Jb"),
            (b"\xff\xfe.wav", "��.wav"),
            ("a\u202e\u200bvaw.exe".encode(), "avaw.exe"),
            (b"..", ".."),
            (b"a/", "recording"),
            (b"", "recording"),
        ],
    )
    def test_names(self, name, is_shown):
        assert shown(name) == is_shown


class TestWork:
    def test_too_many_recordings(self, start, bomb):
        running = start("limits.workers=1", "limits.queue=1")
        with ThreadPoolExecutor(5) as threads:
            answers = list(threads.map(lambda _: running.detect(bomb, "bomb.flac"), range(5)))
        busy = [answer for answer in answers if answer.status_code == 503]
        assert len(busy) == 3
        for answer in busy:
            assert int(refused(answer, 503, "busy").headers["retry-after"]) >= 1
        assert [answer.status_code for answer in answers if answer not in busy] == [200, 200]

    def test_too_long_to_wait(self, start, bomb, speech, encode):
        running = start("limits.deadline_s=0.4", "limits.recording_s=1e5")
        begun = time.monotonic()
        refused(running.detect(bomb, "bomb.flac"), 504, "deadline")
        assert time.monotonic() - begun < 3
        running.until(lambda: running.numbers()["deepfake_lab_recordings_waiting"] == 0, 3)
        assert running.detect(encode(speech(1.0))).status_code == 200

    def test_what_nobody_waits_for_is_given_up(self, start, bomb):
        running = start("limits.workers=2", "limits.recording_s=1e5")
        for _ in range(2):
            with pytest.raises(httpx.ReadTimeout):
                running.detect(bomb, "bomb.flac", timeout=0.3)
        running.until(lambda: running.numbers()["deepfake_lab_recordings_waiting"] == 0, 3)

    def test_too_many_streams(self, start, speech):
        running = start("limits.streams=1")
        with running.stream(), pytest.raises(InvalidStatus) as second, running.stream():
            pass
        assert second.value.response.status_code == 503
        assert int(second.value.response.headers["retry-after"]) >= 1
        running.until(lambda: running.numbers()["deepfake_lab_streams_open"] == 0)
        assert running.hear(speech(1.0))[-1]["windows"] == 2


class TestConnections:
    def test_too_many(self, start):
        running = start("limits.connections=4")
        assert running.client.get("/healthz").status_code == 200  # and keeps its connection
        held = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(3)]
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as one_more:
            answer = one_more.recv(1_000)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 2\r\n" in answer
        assert running.client.get("/healthz").status_code == 200
        for connection in held:
            connection.close()
        running.until(lambda: len(running.server.server_state.connections) == 1)
        assert running.numbers()["deepfake_lab_refused_connections_total"] == 1

    @pytest.mark.parametrize("begin", [b"", b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: "])
    def test_those_that_never_say_what_they_want_are_closed(self, start, begin):
        running = start("limits.headers_s=0.4")
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
            with pytest.raises(OSError, match=r"reset|pipe"):  # noqa: PT012  # one of many fails
                connection.sendall(begin)
                for _ in range(100):
                    time.sleep(0.05)
                    connection.sendall(b"b")
            assert 0.3 < time.monotonic() - begun < 3


class TestClients:
    def test_too_often(self, start):
        running = start("limits.requests_per_s=0.5", "limits.burst=3")
        answers = [running.client.get("/v1/model") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert 1 <= int(refused(answers[-1], 429, "too_many_requests").headers["retry-after"]) <= 2
        assert running.client.get("/healthz").status_code == 200, "those that look after it are let through"
        with pytest.raises(InvalidStatus) as stream, running.stream():
            pass
        assert stream.value.response.status_code == 429

    @pytest.mark.parametrize(("proxies", "status"), [("[]", 429), ("[127.0.0.1]", 200)])
    def test_whom_a_proxy_asks_for_is_believed_if_the_proxy_is(self, start, proxies, status):
        running = start("limits.requests_per_s=0.1", "limits.burst=1", f"proxies={proxies}")
        answers = [running.client.get("/v1/model", headers={"X-Forwarded-For": f"10.0.0.{n}"}) for n in range(2)]
        assert [answer.status_code for answer in answers] == [200, status]

    def test_a_page_of_another_address_is_turned_away(self, start, speech, encode):
        running = start("origins=[https://lab.example]")
        own = f"http://127.0.0.1:{running.port}"
        for origin, status in ((own, 200), ("https://lab.example", 200), ("http://evil.example", 403), ("null", 403)):
            answer = running.detect(encode(speech(1.0)), headers={"Origin": origin})
            assert answer.status_code == status, origin
            if status == 200:
                with running.stream(origin=origin):
                    pass
            else:
                refused(answer, 403, "foreign_page")
                with pytest.raises(InvalidStatus) as stream, running.stream(origin=origin):
                    pass
                assert stream.value.response.status_code == 403


def digest_of(key):
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A file of two."""
    digests = [digest_of(key) for key in ("first-key", "second-key")]
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    file.write_text("# two of them\n\n" + "\n".join(digests) + "\n")
    return file


@pytest.fixture(scope="module")
def locked(start_for_all, keys):
    """A service that they open."""
    return start_for_all(f"keys={keys}", "limits.requests_per_s=0")


class TestKeys:
    def test_open_what_is_closed_without(self, locked, speech, encode):
        content = encode(speech(1.0))
        for header in ({"Authorization": "Bearer first-key"}, {"X-API-Key": "second-key"}):
            assert locked.detect(content, headers=header).status_code == 200
            for path in ("/v1/model", "/v1/census", "/metrics"):
                assert locked.client.get(path, headers=header).status_code == 200
        for path in ("/", "/healthz", "/readyz", "/openapi.json"):
            assert locked.client.get(path).status_code == 200
        operation = locked.client.get("/openapi.json").json()["paths"]["/v1/detect"]["post"]
        assert operation["security"] == [{"key": []}]

    @pytest.mark.parametrize(
        "header",
        [
            {},
            {"Authorization": "Bearer third-key"},
            {"Authorization": "first-key"},
            {"Authorization": "Basic first-key"},
            {"X-API-Key": ""},
            {"X-API-Key": b"\xff\xfe"},
            {"X-API-Key": digest_of("first-key")},
        ],
    )
    def test_others_open_nothing(self, locked, header):
        answer = refused(locked.client.get("/v1/model", headers=header), 401, "no_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        refused(locked.detect(b"a", headers=header), 401, "no_key")

    def test_of_streams(self, locked):
        with locked.stream(additional_headers={"Authorization": "Bearer first-key"}):
            pass
        with locked.stream(subprotocols=["deepfake-lab", "key.second-key"]) as stream:
            assert stream.subprotocol == "deepfake-lab"
        for wrong in ({}, {"subprotocols": ["key.third-key"]}, {"additional_headers": {"X-API-Key": "third-key"}}):
            with pytest.raises(InvalidStatus) as refusal, locked.stream(**wrong):
                pass
            assert refusal.value.response.status_code == 401

    def test_guessing_is_slowed_down_and_harms_nobody_else(self, start, keys):
        running = start(f"keys={keys}", "limits.requests_per_s=0.1", "limits.burst=6")
        guesses = [running.client.get("/v1/model", headers={"X-API-Key": str(n)}).status_code for n in range(8)]
        assert guesses == [401] * 6 + [429] * 2
        assert running.client.get("/v1/model", headers={"X-API-Key": "first-key"}).status_code == 200

    def test_come_and_go_while_it_runs(self, start, tmp_path, caplog):
        caplog.set_level("INFO", "deepfake_lab.serving")
        file = tmp_path / "keys.txt"
        file.write_text(digest_of("old-key"))
        running = start(f"keys={file}", "limits.requests_per_s=0", "poll_s=0.05")

        def status(key):
            return running.client.get("/v1/model", headers={"X-API-Key": key}).status_code

        def rewrite(content):  # at once: the service reads the file at any time
            (tmp_path / "new.txt").write_text(content)
            (tmp_path / "new.txt").replace(file)

        assert (status("old-key"), status("new-key")) == (200, 401)
        with running.stream(additional_headers={"X-API-Key": "old-key"}) as stream:
            rewrite(digest_of("new-key"))
            running.until(lambda: status("new-key") == 200)
            assert status("old-key") == 401
            stream.send("end")
            assert "final" in stream.recv(), "what is under way ends in peace"

        def complaints():
            return [record.facts["why"] for record in caplog.records if record.msg == "keys refused"]

        rewrite("new-key")
        running.until(complaints)
        file.unlink()
        running.until(lambda: len(complaints()) > 1)
        assert status("new-key") == 200, "a mistake in the file locks nobody out"
        damaged, gone = complaints()
        assert "is no SHA-256 digest" in damaged
        assert "cannot be read" in gone

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "names no key"),
            (b"# nothing", "names no key"),
            (b"first-key\n", "line 1 is no SHA-256 digest"),
            (b"\n" + b"A" * 64, "line 2 is no SHA-256 digest"),
            (b"\xff\xfe\xff", "cannot be read"),
        ],
    )
    def test_a_file_of_something_else_is_refused(self, tmp_path, content, complaint):
        (tmp_path / "keys.txt").write_bytes(content)
        with pytest.raises(LabError, match=complaint) as refusal:
            Keys(str(tmp_path / "keys.txt"))
        assert "first-key" not in str(refusal.value), "a key is not told to anybody"


def test_buckets_fill_at_their_rate():
    now = [0.0]
    buckets = Buckets(2.0, 3, lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    now[0] = 0.25
    assert buckets.take("a") == pytest.approx(0.25)
    now[0] = 0.5
    assert (buckets.take("a"), buckets.take("a")) == (0, 0.5)
    now[0] = 100.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_buckets_do_not_pile_up():
    buckets = Buckets(1.0, 1, lambda: 0.0)
    for number in range(20_000):
        buckets.take(str(number))
    assert len(buckets._held) == 10_000


def test_places_are_given_back_whatever_happens():
    places = Places(1, "Full.")
    with places.one(), pytest.raises(Refused, match="Full"):
        places.take()
    with pytest.raises(ZeroDivisionError), places.one():
        _ = 1 / 0
    assert places.taken == 0


@pytest.mark.parametrize(
    ("name", "value"), [("workers", 0), ("upload_mb", 0.0), ("queue", -1), ("idle_s", float("inf")), ("burst", 0)]
)
def test_limits_that_make_no_sense_are_refused(name, value):
    with pytest.raises(LabError, match=f"limits.{name}={value}: give"):
        Limits(**{name: value}).check()
