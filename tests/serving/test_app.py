"""The service answers as `predict` and `stream` do, and as its documentation says."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as bounded
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from deepfake_lab.serving.census import Census
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.prediction import prediction, record
from deepfake_lab.serving.schemas import CensusSaid, Detection, ExplanationSaid, ModelSaid


def said(detector, content, name="a.wav"):
    """What `predict output=x.jsonl` says of a recording."""
    judgement = Judge(detector)(Recording(content, name))
    return json.loads(json.dumps(record(prediction(name, judgement), judgement)))


def assert_same(one, other):
    """That two answers are the same but for rounding."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == (pytest.approx(other, abs=1e-4) if isinstance(other, float) else other)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg", "mp3", "webm", "opus"])
def test_a_recording_of_any_format_gets_the_line_that_predict_writes(service, detector, speech, encode, ending):
    content = encode(speech(2.3), ending)
    answer = service.detect(content, f"a.{ending}")
    assert answer.status_code == 200, answer.text
    assert_same(answer.json(), said(detector, content, f"a.{ending}"))
    assert Detection.model_validate(answer.json()).windows == 5


def test_what_moved_a_score_is_told_from_any_time_on(service, detector, speech, encode):
    content = encode(speech(11.0))
    answer = service.client.post("/v1/explain?start_s=2.6", files={"file": ("a.wav", content)})
    assert answer.status_code == 200, answer.text
    said = ExplanationSaid.model_validate(answer.json())
    assert (said.windows, said.times_s[0], said.times_s[-1]) == (16, 3.0, 11.0)
    assert np.shape(said.parts) == (len(said.bands_hz) - 1, len(said.times_s) - 1) == (32, 200)
    assert said.attention is None
    assert said.score == pytest.approx(
        Judge(detector)(Recording(encode(speech(11.0)[48_000:]), "b.wav")).score, abs=1e-3
    )
    assert np.sum(said.parts) == pytest.approx(said.score - said.baseline, abs=0.1 * np.abs(said.parts).sum())
    for start_s in ("-1", "nan", "inf", "later"):
        refused = service.client.post(f"/v1/explain?start_s={start_s}", files={"file": ("a.wav", content)})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad_parameter")


def test_so_do_many_at_once_beside_streams(service, detector, speech, encode):
    contents = [encode(speech(0.7 + 0.4 * number, number % 3)) for number in range(16)]
    waves = [speech(3.3, seed) for seed in range(4)]
    before = service.numbers()["deepfake_lab_batch_windows_count"]
    with ThreadPoolExecutor(20) as threads:
        streams = list(threads.map(service.hear, waves))
        answers = list(threads.map(service.detect, contents))
    for content, answer in zip(contents, answers, strict=True):
        assert_same(answer.json(), said(detector, content))
    for wave, messages in zip(waves, streams, strict=True):
        expected = said(detector, encode(wave, subtype="PCM_16"))
        assert messages[-1]["score"] == pytest.approx(expected["score"], abs=1e-4)
    after = service.numbers()
    windows = sum(answer.json()["windows"] for answer in answers) + 4 * 7
    assert after["deepfake_lab_batch_windows_count"] - before < windows, "some were scored together"


def test_what_cannot_be_judged_says_why(service, speech, encode):
    answer = service.detect(encode(speech(0.4)), "short.wav").json()
    assert (answer["verdict"], answer["reason"]) == ("undecided", "shorter than 1 s")
    assert answer["p_fake_low"] is None
    assert 0 <= answer["p_fake"] <= 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("für mich, 50% (1).wav", "für mich, 50% (1).wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.wav", "a.wav"),
        ("a\x00b\nc\x1b[31m.wav", "abc[31m.wav"),
        ("/", "recording"),
        ("x" * 999, "x" * 200),
        ("$(reboot).wav", "$(reboot).wav"),
    ],
)
def test_a_name_is_shown_and_nothing_else(service, speech, encode, name, shown):
    answer = service.detect(encode(speech(1.0)), name)
    assert answer.status_code == 200, answer.text
    # a client may write what has no place in a header in several ways
    assert answer.json()["path"] in (shown, shown.replace("abc", "a%00b%0Ac"), shown.replace("abc", "ab%0Ac"))


def test_tells_of_its_detector_and_of_what_it_has_judged(service, detector, speech, encode):
    before = CensusSaid.model_validate(service.client.get("/v1/census").json())
    service.detect(encode(speech(4.5)))
    after = CensusSaid.model_validate(service.client.get("/v1/census").json())
    more = {name: np.subtract(after.counts[name], before.counts[name]).tolist() for name in after.counts}
    assert more["duration_s"] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert all(sum(counts) == 1 for counts in more.values())
    assert {name: len(edges) for name, edges in after.edges.items()} == {
        name: len(edges) for name, edges in Census.EDGES.items()
    }
    assert after.edges["score"][0] is None
    assert after.shift is None, "this detector knows nothing of its training data"
    model = ModelSaid.model_validate(service.client.get("/v1/model").json())
    assert (model.name, model.window_s, model.threshold, model.prior) == ("detector", 0.5, 0.7, 0.5)
    assert model.digest.startswith(model.version)


def test_numbers_add_up(service, speech, encode):
    before = service.numbers()
    verdict = service.detect(encode(speech(2.5))).json()["verdict"]
    service.detect(b"nothing")
    service.client.get("/nowhere")
    service.client.request("MADEUP", "/v1/detect")
    after = service.numbers()
    for name, more in {
        'requests_total{method="POST",path="/v1/detect",status="200"}': 1,
        'requests_total{method="POST",path="/v1/detect",status="422"}': 1,
        'requests_total{method="GET",path="(other)",status="404"}': 1,
        'requests_total{method="(other)",path="/v1/detect",status="405"}': 1,
        f'verdicts_total{{verdict="{verdict}"}}': 1,
        'audio_seconds_total{path="/v1/detect"}': 2.5,
        'census_total{from="2",measure="duration_s"}': 1,
        "batch_windows_sum": 5,
    }.items():
        name = f"deepfake_lab_{name}"
        assert after[name] - before.get(name, 0) == pytest.approx(more), name
    for name in ("recordings_waiting", "windows_waiting", "streams_open", "upload_bytes"):
        assert after[f"deepfake_lab_{name}"] == 0
    assert after["process_resident_memory_bytes"] > 1e6


def test_a_shift_is_told_where_training_data_is_known(start, detector, speech, encode, tmp_path):
    from copy import deepcopy

    from deepfake_lab.checkpoint import save_detector

    census = Census()
    for _ in range(50):
        census.add({"duration_s": 50.0, "band_hz": 7600.0, "level_db": -18.0})
    knowing = deepcopy(detector)
    knowing.trained_on = census.plain()
    save_detector(knowing, tmp_path / "knowing.ckpt")
    running = start(f"checkpoint={tmp_path / 'knowing.ckpt'}")
    for _ in range(5):
        running.detect(encode(speech(1.5)))
    shift = running.client.get("/v1/census").json()["shift"]
    assert shift["duration_s"] > 0.25, "much has happened"
    assert running.numbers()['deepfake_lab_shift{measure="duration_s"}'] == pytest.approx(shift["duration_s"])


class TestPage:
    def test_is_served_with_strict_headers(self, service):
        page = service.client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.text == service.client.get("/index.html").text
        for answer in (page, service.client.get("/healthz"), service.client.get("/nowhere")):
            assert answer.headers["content-security-policy"].startswith("default-src 'self'; ")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert len(answer.headers["x-request-id"]) == 32

    @pytest.mark.parametrize(
        "path",
        [
            "/app.py",
            "/page/index.html",
            "/../app.py",
            "/%2e%2e/app.py",
            "/..%2fapp.py",
            "//etc/passwd",
            "/docs",
            "/v1/model/",
        ],
    )
    def test_there_is_nothing_else(self, service, path):
        answer = service.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_a_wrong_method_is_named(self, service):
        answer = service.client.get("/v1/detect")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.json()["code"] == "method_not_allowed"


def test_every_operation_keeps_to_its_documentation(service):
    load_all_checks()
    schema = schemathesis.openapi.from_url(f"{service.client.base_url}/openapi.json")
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    operations = [found.ok() for found in schema.get_all_operations()]
    assert {operation.path for operation in operations} == {
        "/v1/detect",
        "/v1/explain",
        "/v1/model",
        "/v1/census",
        "/metrics",
        "/healthz",
        "/readyz",
    }
    for operation in operations:

        @given(case=operation.as_strategy())
        @bounded(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case):
            # that bytes are audio is beyond any schema
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        check()


def test_listens_where_it_is_told_to(start):
    try:
        running = start("host=::1")
    except OSError:
        pytest.skip("there is no IPv6")
    assert httpx.get(f"http://[::1]:{running.port}/healthz", trust_env=False).json() == {"status": "ok"}


def test_documents_the_messages_of_streams(service):
    schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
    assert {"DecisionSaid", "FinalSaid", "StreamProblem", "Detection", "Problem"} <= schemas.keys()
