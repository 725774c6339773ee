"""A new detector takes the place of the old one while the service runs, if it is any good."""

import io
import json
import os
import shutil
import threading
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from deepfake_lab.checkpoint import load_detector, save_detector
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.live import FileSource
from deepfake_lab.serving.self_test import self_test, speechlike
from deepfake_lab.types import LabError


def changed(detector, **changes):
    """A detector that says something else: `offset`, `scale` or anything that a function does to it."""
    other = deepcopy(detector)
    if "offset" in changes:
        other.calibration_offset.fill_(changes["offset"])
    if "scale" in changes:
        other.calibration_scale.fill_(changes["scale"])
    if "does" in changes:
        with torch.no_grad():
            changes["does"](other)
    return other


def put(detector, path):
    """Replaces a file at once, as one should."""
    save_detector(detector, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


class TestFile:
    @pytest.fixture
    def file(self, checkpoint, tmp_path):
        return shutil.copy(checkpoint, tmp_path / "live.ckpt")

    @pytest.fixture
    def running(self, start, file):
        return start(f"checkpoint={file}", "poll_s=0.05", "limits.requests_per_s=0")

    @staticmethod
    def version(running):
        return running.client.get("/v1/model").json()["version"]

    @staticmethod
    def count(running, result):
        return running.numbers().get(f'deepfake_lab_reloads_total{{result="{result}"}}', 0)

    def test_a_good_one_is_taken_and_what_is_under_way_ends_with_the_old_one(
        self, running, file, detector, speech, encode, pcm
    ):
        content, before = encode(speech(1.5)), self.version(running)
        old = running.detect(content).json()["score"]
        with running.stream() as stream:
            stream.send(pcm(speech(1.1)))
            first = [stream.recv(timeout=20) for _ in range(2)]
            put(changed(detector, offset=float(detector.calibration_offset) + 50), file)
            running.until(lambda: self.version(running) != before)
            assert running.detect(content).json()["score"] == pytest.approx(old + 50, abs=1e-3)
            stream.send(pcm(speech(1.0)))
            stream.send("end")
            *_, last = stream
        assert len(first) == 2
        assert abs(json.loads(last)["score"]) < 25, "the stream kept its detector"
        assert (self.count(running, "swapped"), self.count(running, "refused")) == (1, 0)

    @pytest.mark.parametrize("kind", ["nan", "constant", "uncalibrated", "text", "cut", "code"])
    def test_a_bad_one_is_refused_once_and_the_old_one_stays(
        self, running, file, detector, speech, encode, kind, caplog
    ):
        content, before = encode(speech(1.5)), self.version(running)
        score = running.detect(content).json()["score"]
        good = file.read_bytes()
        replacement = file.with_suffix(".new")
        if kind == "nan":
            save_detector(changed(detector, offset=float("nan")), replacement)
        elif kind == "constant":
            save_detector(changed(detector, does=lambda made: made.head.weight.zero_()), replacement)
        elif kind == "uncalibrated":
            save_detector(changed(detector, scale=1.0, offset=0.0), replacement)
        else:
            torch.save({"detector": file}, replacement)  # a path is pickled
            replacement.write_bytes(
                {"text": b"no checkpoint", "cut": good[:-500], "code": replacement.read_bytes()}[kind]
            )
        replacement.replace(file)
        running.until(lambda: self.count(running, "refused"))
        running.until(lambda: len(FileSource(file).look()) and not threading.Event().wait(0.3))
        assert self.count(running, "refused") == 1, "it is not tried again"
        assert self.version(running) == before
        assert running.detect(content).json()["score"] == pytest.approx(score, abs=1e-4)
        put(changed(detector, offset=7.0), file)
        running.until(lambda: self.version(running) != before)

    def test_a_file_that_goes_away_changes_nothing(self, running, file, speech, encode):
        good = file.read_bytes()
        file.unlink()
        running.until(lambda: self.count(running, "unreachable"))
        assert running.detect(encode(speech(1.0))).status_code == 200
        file.write_bytes(good)
        threading.Event().wait(0.2)
        assert (self.count(running, "swapped"), self.count(running, "refused")) == (0, 0)

    def test_nobody_notices_many_changes(self, running, file, detector, speech, encode):
        content, answers, stop = encode(speech(1.0)), [], threading.Event()

        def ask():
            while not stop.is_set():
                answers.append(running.detect(content).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        for offset in range(1, 5):
            put(changed(detector, offset=float(offset)), file)
            running.until(lambda offset=offset: self.count(running, "swapped") == offset)
        stop.set()
        asking.join()
        assert set(answers) == {200}
        assert len(answers) > 4


def test_a_file_is_read_again_only_when_it_has_changed(checkpoint, tmp_path, monkeypatch):
    from deepfake_lab.serving import live

    file = shutil.copy(checkpoint, tmp_path / "a.ckpt")
    source, digests = FileSource(file), []
    monkeypatch.setattr(live, "digest_of", lambda path: digests.append(path) or f"{len(digests):064d}")
    assert source.look() == source.look()
    os.utime(file, ns=(1, 1))
    assert source.look() == f"{2:064d}"[:12]
    file.unlink()
    with pytest.raises(LabError, match="cannot be read"):
        source.look()


class TestSelfTest:
    def test_passes_what_is_good(self, detector):
        self_test(Judge(detector))

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"offset": float("inf")}, "score of speech is inf"),
            ({"scale": 1.0, "offset": 0.0}, "not calibrated"),
            ({"does": lambda made: made.head.weight.zero_()}, "scores of two voices are the same"),
        ],
    )
    def test_refuses_what_is_not(self, detector, changes, complaint):
        with pytest.raises(LabError, match=complaint):
            self_test(Judge(changed(detector, **changes)))

    def test_refuses_what_hears_recordings_otherwise_than_windows(self, detector):
        shifted = Judge(
            detector,
            scorer=lambda waves, frames: Judge(detector)._scorer([wave[::-1].copy() for wave in waves], frames),
        )
        with pytest.raises(LabError, match="score of a recording is"):
            self_test(shifted)

    def test_its_audio_is_taken_for_speech(self):
        from deepfake_lab.serving.judge import measured

        for voice in range(2):
            file = io.BytesIO()
            soundfile.write(file, speechlike(voice, 4.0), 16_000, format="WAV")
            quality = measured(Recording(file.getvalue(), "a"))
            assert quality.level_db == pytest.approx(-20, abs=0.5)
            assert quality.clipped < 0.01
            assert np.isfinite(quality.band_hz)


def test_the_champion_of_a_registry_answers(toy_run, settings, tmp_path, start, speech, encode, monkeypatch):
    import mlflow

    from deepfake_lab.tracking import Tracking
    from deepfake_lab.tracking.registry import Registry

    database = shutil.copy(toy_run.parents[1] / "mlflow.db", tmp_path)
    tracking = Tracking(f"sqlite:///{database}", "serving", str(tmp_path / "artifacts"), system_metrics=False)
    registry = Registry(tracking)
    (first,) = mlflow.search_runs(experiment_names=["deepfake_lab"], output_format="list")
    name, detector = "deepfake-detector-toy", load_detector(toy_run / "detector.ckpt")

    def record(made):
        save_detector(made, tmp_path / "detector.ckpt")
        with tracking.run("another") as run:
            run.log_detector(tmp_path / "detector.ckpt", 1, "toy")
        return run.id

    asked = (
        "checkpoint=null",
        f"registered_model={name}",
        f"tracking.uri=sqlite:///{database}",
        "poll_s=0.1",
        "limits.requests_per_s=0",
    )
    with pytest.raises(LabError, match=rf"registered_model={name}: has no champion\. Promote one"):
        start(*asked)
    registry.promote(first.info.run_id, "the first")
    running = start(*asked)
    model = running.client.get("/v1/model").json()
    assert (model["name"], model["version"]) == (name, "1")
    assert f'deepfake_lab_model_info{{digest="{model["digest"]}",name="{name}",version="1"}}' in running.numbers()
    content = encode(speech(1.0))
    score = running.detect(content).json()["score"]
    assert score == pytest.approx(Judge(detector)(Recording(content, "a")).score, abs=1e-4)

    registry.promote(record(changed(detector, scale=1.0, offset=0.0)), "a bad one")
    running.until(lambda: running.numbers().get('deepfake_lab_reloads_total{result="refused"}'))
    assert running.client.get("/v1/model").json()["version"] == "1"
    registry.promote(record(changed(detector, offset=float(detector.calibration_offset) + 5)), "a good one")
    running.until(lambda: running.client.get("/v1/model").json()["version"] == "3")
    assert running.detect(content).json()["score"] == pytest.approx(score + 5, abs=1e-3)

    whole = Path(database).read_bytes()
    Path(database).write_bytes(b"no database" * 1_000)
    running.until(lambda: running.numbers().get('deepfake_lab_reloads_total{result="unreachable"}'))
    assert running.detect(content).status_code == 200, "a store that fails takes nothing away"
    Path(database).write_bytes(whole)
    registry.promote(record(changed(detector, offset=float(detector.calibration_offset) + 7)), "a better one")
    running.until(lambda: running.client.get("/v1/model").json()["version"] == "4")
