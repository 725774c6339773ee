"""What is no recording is refused with a reason, whatever it is, and nothing comes of it."""

import json
import socket
from contextlib import suppress

import pytest
from make_bad_uploads import bad_uploads
from websockets.exceptions import ConnectionClosed

from deepfake_lab.serving.schemas import Problem

UPLOADS = list(bad_uploads())
FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'


def form(*parts, boundary=b"x", end=b"--\r\n"):
    """A multipart form."""
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + end


def test_there_are_many():
    assert len(UPLOADS) >= 200
    assert len({name for name, _ in UPLOADS}) == len(UPLOADS)


@pytest.mark.parametrize(("name", "content"), UPLOADS, ids=[name for name, _ in UPLOADS])
def test_no_recording(service, name, content):
    answer = service.detect(content, name)
    problem = Problem.model_validate(answer.json())
    assert (answer.status_code, problem.code) == (422, "no_audio"), answer.text
    assert problem.message.startswith(f"{name}: ")
    assert "Traceback" not in problem.message


def test_and_it_still_answers(service, speech, encode):
    assert service.detect(encode(speech(1.0))).status_code == 200
    numbers = service.numbers()
    assert not [name for name in numbers if 'status="5' in name]
    assert numbers["deepfake_lab_recordings_waiting"] == numbers["deepfake_lab_upload_bytes"] == 0


FORMS = {
    "no type": (None, b"abc", 415, "not_a_form"),
    "json": ("application/json", b"{}", 415, "not_a_form"),
    "the recording itself": ("audio/wav", b"RIFF", 415, "not_a_form"),
    "another form": ("application/x-www-form-urlencoded", b"file=a", 415, "not_a_form"),
    "garbage as type": ("\x7f;;;===", b"abc", 415, "not_a_form"),
    "mixed": ("multipart/mixed; boundary=x", form(FILE + b"a"), 415, "not_a_form"),
    "no boundary": ("multipart/form-data", form(FILE + b"a"), 400, "malformed"),
    "empty boundary": ("multipart/form-data; boundary=", form(FILE + b"a"), 400, "malformed"),
    "quoted empty boundary": ('multipart/form-data; boundary=""', form(FILE + b"a"), 400, "malformed"),
    "another boundary": ("multipart/form-data; boundary=y", form(FILE + b"a"), 400, "malformed"),
    "huge boundary": (f"multipart/form-data; boundary={'x' * 5000}", form(FILE + b"a"), 400, "malformed"),
    "no body": ("multipart/form-data; boundary=x", b"", 400, "malformed"),
    "no end": ("multipart/form-data; boundary=x", form(FILE + b"a", end=b""), 400, "malformed"),
    "cut short": ("multipart/form-data; boundary=x", form(FILE + b"a" * 99)[:80], 400, "malformed"),
    "no part": ("multipart/form-data; boundary=x", b"--x--\r\n", 400, "no_file"),
    "another field": (
        "multipart/form-data; boundary=x",
        form(b'Content-Disposition: form-data; name="audio"; filename="a.wav"\r\n\r\na'),
        400,
        "no_file",
    ),
    "no file": (
        "multipart/form-data; boundary=x",
        form(b'Content-Disposition: form-data; name="file"\r\n\r\na'),
        400,
        "no_file",
    ),
    "no headers": ("multipart/form-data; boundary=x", form(b"\r\nabc"), 400, "no_file"),
    "two files": ("multipart/form-data; boundary=x", form(FILE + b"a", FILE + b"b"), 400, "several_files"),
    "many headers": ("multipart/form-data; boundary=x", form(b"A: b\r\n" * 999 + FILE + b"a"), 400, "malformed"),
    "a huge header": (
        "multipart/form-data; boundary=x",
        form(b"A: " + b"b" * 99_999 + b"\r\n" + FILE),
        400,
        "malformed",
    ),
    "a header of nothing": ("multipart/form-data; boundary=x", form(b"\0\0\0\r\n" + FILE), 400, "malformed"),
    "an empty file": ("multipart/form-data; boundary=x", form(FILE), 422, "no_audio"),
}


@pytest.mark.parametrize("name", FORMS)
def test_no_form(service, name):
    kind, body, status, code = FORMS[name]
    headers = {} if kind is None else {"Content-Type": kind.encode("latin-1")}
    answer = service.client.post("/v1/detect", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


REQUESTS = {
    "nonsense": b"\x16\x03\x01\x02\x00 hello\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "huge header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 99_999 + b"\r\n\r\n",
    "many headers": b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 9_999 + b"\r\n",
    "huge address": b"GET /" + b"a" * 99_999 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "two lengths": b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative length": b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nContent-Length: ten\r\n\r\n",
    "bad chunks": b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "length and chunks": b"POST /v1/detect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "a control character": b"GET /healthz HTTP/1.1\r\nHost: a\r\nA: b\x00c\r\n\r\n",
    "no WebSocket": b"GET /v1/stream HTTP/1.1\r\nHost: a\r\n\r\n",
    "half a WebSocket": b"GET /v1/stream?rate=16000 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
    b"Upgrade: websocket\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_no_request(service, name):
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(REQUESTS[name])
        answer = connection.recv(1_000)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert service.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("query", "content", "code"),
    [
        ("format=opus", b"RIFF" + bytes(5_000), "no_audio"),
        ("format=opus", b"#EXTM3U\n", "no_audio"),
        ("format=opus", b"OggX", "no_audio"),
        ("format=opus", b"OggS" + bytes(5_000), "no_audio"),
        ("format=opus", b"\x1a\x45\xdf\xa3" + b"\xff" * 5_000, "no_audio"),
        ("rate=16000", b"a", "no_audio"),
        ("rate=16000", "begin", "bad_message"),
        ("rate=16000", "", "bad_message"),
        ("rate=16000", '{"end": true}', "bad_message"),
    ],
)
def test_no_stream(service, query, content, code):
    with service.stream(query) as stream:
        stream.send(content)
        if code == "no_audio":
            with suppress(ConnectionClosed):  # what makes no sense may have been noticed by now
                stream.send("end")
        problem = json.loads(stream.recv(timeout=20))
    assert problem.keys() == {"type", "code", "message"}
    assert (problem["type"], problem["code"]) == ("error", code)
    assert stream.close_code == (1007 if code == "no_audio" else 1003)
    assert service.client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "",
        *(
            f"rate={rate}"
            for rate in ("", "abc", "0", "-16000", "1e4", "7999", "192001", "9" * 99, "%EF%BC%91%EF%BC%96")
        ),
        *("format=mp3", "format=opus&rate=48000", "format=pcm", "format="),
    ],
)
def test_parameters_of_a_stream_that_make_no_sense(service, query):
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as refused, service.stream(query):
        pass
    assert refused.value.response.status_code == 422
    assert Problem.model_validate_json(refused.value.response.body).code == "bad_parameter"
