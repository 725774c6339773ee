"""A stream gets the scores of a recording, however it comes."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.serving.decoding import Recording
from deepfake_lab.serving.judge import Judge
from deepfake_lab.serving.streaming import StreamingDetector
from deepfake_lab.types import LabError


def heard(streaming, chunks):
    streaming.reset()
    return [decision for chunk in chunks for decision in streaming(chunk)] + streaming.finish()


@pytest.mark.parametrize("hop_s", [0.5, 0.2])
def test_gives_the_scores_of_the_recording(detector, speech, tmp_path, hop_s):
    wave = speech(3.3)
    soundfile.write(tmp_path / "a.wav", wave, 16_000, subtype="FLOAT")
    judge = Judge(detector, hop_s=hop_s)
    judgement = judge(Recording(tmp_path / "a.wav", "a.wav"))
    streaming = StreamingDetector(judge)
    decisions = heard(streaming, [wave])
    assert len(decisions) == judgement.windows
    assert np.mean(streaming.scores) == pytest.approx(judgement.score, abs=1e-4)
    assert streaming.p_fake == pytest.approx(judgement.p_fake, abs=1e-4)
    assert decisions[-1].end_s == pytest.approx(3.3)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 30_000), max_size=12))
def test_chunks_of_any_size_give_the_same_decisions(detector, speech, cuts):
    wave = np.concatenate([speech(1.2), np.zeros(8_000, np.float32), speech(0.4)])
    streaming = StreamingDetector(Judge(detector, hop_s=0.1))
    assert heard(streaming, np.split(wave, sorted(cuts))) == heard(streaming, [wave])


def test_what_is_no_speech_decides_nothing(detector, speech):
    streaming = StreamingDetector(Judge(detector, threshold=0.01, hop_s=0.5), release=0.005)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    for quiet, reason in ((np.zeros(16_000, np.float32), "silent (-120 dB"), (noise, "no speech (0.0 s found)")):
        decisions = heard(streaming, [quiet])
        assert {decision.state for decision in decisions} == {"listening"}
        assert all(decision.reason.startswith(reason) for decision in decisions)
        assert len(streaming.scores) == len(decisions), "scored all the same"
    decisions = heard(streaming, [speech(1.0), noise])
    assert decisions[1].state in ("flag", "pass")
    assert {decision.state for decision in decisions[3:]} == {decisions[2].state}


def test_a_flag_is_raised_above_the_threshold_and_taken_back_below_the_release(detector, speech):
    decisions = heard(StreamingDetector(Judge(detector, threshold=0.7), release=0.4), [speech(20.0)])
    state = "listening"
    for decision in decisions:
        before = state
        if not decision.reason:
            state = "flag" if decision.p_fake > 0.7 or (state == "flag" and decision.p_fake >= 0.4) else "pass"
        assert (decision.state, decision.changed) == (state, state != before)
    held = [one for one in decisions if one.state == "flag" and 0.4 <= one.p_fake <= 0.7 and not one.reason]
    assert held, "some window is between the two"
    assert {one.state for one in decisions} >= {"flag", "pass"}


def test_mistakes_are_explained(detector):
    with pytest.raises(LabError, match=r"release=0\.8: give more than 0 and at most threshold=0\.7"):
        StreamingDetector(Judge(detector), release=0.8)
    with pytest.raises(LabError, match="not been heard for long enough"):
        _ = StreamingDetector(Judge(detector)).p_fake


class TestCommand:
    @pytest.fixture
    def recording(self, lab, speech):
        soundfile.write("a.wav", speech(6.0), 16_000, subtype="PCM_16")
        return lab.folder / "a.wav"

    def test_says_what_changes_and_logs_every_decision(self, lab, checkpoint, recording, detector):
        status, printed = lab("stream", f"checkpoint={checkpoint}", "input=a.wav", "log=log.jsonl")
        assert status == 0, printed
        decisions = [json.loads(line) for line in (lab.folder / "log.jsonl").read_text().splitlines()]
        judgement = Judge(detector, hop_s=0.5)(Recording(recording, "a.wav"))
        assert len(decisions) == judgement.windows
        assert np.mean([one["score"] for one in decisions]) == pytest.approx(judgement.score, abs=1e-4)
        changes = [one for one in decisions if one["changed"]]
        assert 1 <= len(changes) < len(decisions)
        lines = [line for line in printed.splitlines() if " s  [" in line]
        assert [line.split()[0] for line in lines] == [f"{one['end_s']:.1f}" for one in changes]
        assert f"all together p_fake {judgement.p_fake:.3f}" in printed

    @pytest.mark.parametrize("raw", [False, True])
    def test_a_pipe(self, lab, checkpoint, recording, raw):
        content = recording.read_bytes()
        content = soundfile.read(recording, dtype="int16")[0].tobytes() if raw else content
        command = [sys.executable, "-m", "deepfake_lab.stream", f"checkpoint={checkpoint}", "input=-", "show=all"]
        command += ["raw=16000"] * raw
        done = subprocess.run(command, input=content, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr.decode()
        _, printed = lab("stream", f"checkpoint={checkpoint}", "input=a.wav", "show=all")
        assert done.stdout.decode() == printed
        assert printed.count(" s  [") == 12

    @pytest.mark.parametrize(
        ("overrides", "complaint"),
        [
            (["input=nowhere.wav"], "nowhere.wav: no such file"),
            (["input=microphone"], "input=microphone: cannot be heard"),
            (["input=a.wav", "raw=0"], "raw=0: give the rate"),
            (["input=a.wav", "show=none"], "show=none: choose changes or all"),
            (["input=a.wav", "release=0.9"], "release=0.9: give more than 0"),
            (["input=a.wav", "log=nowhere/a.jsonl"], "log=nowhere/a.jsonl: cannot be written"),
        ],
    )
    def test_mistakes_are_explained(self, lab, checkpoint, recording, overrides, complaint, monkeypatch):
        monkeypatch.setitem(sys.modules, "sounddevice", None)  # a machine without it
        status, printed = lab("stream", f"checkpoint={checkpoint}", *overrides)
        assert status == 2
        assert complaint in printed
        assert "Traceback" not in printed
