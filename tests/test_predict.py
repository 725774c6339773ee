"""Scoring recordings with a trained detector, through the real command."""

import csv
import functools
import io
import json
import math
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from deepfake_lab import audio
from deepfake_lab.checkpoint import build_detector, load_detector, save_detector
from deepfake_lab.serving.census import Census
from deepfake_lab.synthesis.espeak import Espeak

COLUMNS = ["path", "score", "p_fake", "verdict", "reason", "duration_s", "windows"]
MORE = ["p_fake_low", "p_fake_high", "speech_s", "where"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained detector with half-second windows, made to speak its mind."""
    torch.manual_seed(0)
    encoder = {"widths": [4, 4, 4, 4], "hidden": 4, "embedding_dim": 4, "_partial_": True}
    detector = build_detector(
        {
            "_target_": "deepfake_lab.models.detector.Detector",
            "frontend": {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 16},
            "encoder": {"_target_": "deepfake_lab.models.crnn.CRNN", **encoder},
            "window_s": 0.5,
        }
    )
    detector.calibration_scale.fill_(100.0)
    path = tmp_path_factory.mktemp("detector") / "detector.ckpt"
    save_detector(detector, path)
    return path


@functools.cache
def sentence(seed):
    return Espeak().speak("We walked along the canal until it rained.", "en", seed, 2.5)


def noise(seconds, seed=0, rate=16_000):
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate))


def talk(seconds, seed=0, rate=16_000):
    """Somebody who speaks for so long."""
    spoken = np.tile(sentence(seed), math.ceil(seconds / 2))
    return audio.resample(spoken, 16_000, rate)[: round(seconds * rate)]


@pytest.fixture
def predict(lab, checkpoint):
    """Runs the command; returns its exit status, what it printed and the rows it wrote, by file name."""

    def predict(source, *overrides):
        overrides = [f"checkpoint={checkpoint}", f"input='{source}'", "output=scores.csv", *overrides]
        status, printed = lab("predict", *overrides)
        rows = {}
        if (output := lab.folder / "scores.csv").is_file():
            with output.open(newline="", encoding="utf-8") as file:
                rows = {os.path.basename(row["path"]): row for row in csv.DictReader(file)}
            output.unlink()
        return status, printed, rows

    predict.folder = lab.folder / "in"
    predict.folder.mkdir()
    return predict


class TestContract:
    def test_columns_types_and_values(self, predict, checkpoint):
        soundfile.write(predict.folder / "a.wav", talk(1.7, rate=8_000), 8_000)
        assert list(predict(predict.folder, "details=true")[2]["a.wav"]) == COLUMNS + MORE
        _, printed, rows = predict(predict.folder)
        (row,) = rows.values()
        assert list(row) == COLUMNS
        assert row["path"] == str(predict.folder / "a.wav")
        assert (row["duration_s"], row["windows"], row["reason"]) == ("1.7", "4", "")
        detector = load_detector(checkpoint)
        windows = torch.from_numpy(audio.windows(audio.load(predict.folder / "a.wav"), 8_000))
        with torch.inference_mode():
            scores = [float(detector(window[None]).score) for window in windows]
        assert float(row["score"]) == pytest.approx(np.mean(scores), abs=1e-4)
        assert float(row["p_fake"]) == pytest.approx(1 / (1 + math.exp(float(row["score"]))), rel=1e-9)
        assert all(text in printed for text in ("a.wav", "p_fake", row["verdict"]))

    def test_every_verdict_leaves_status_0(self, predict):
        for seed in range(2):
            soundfile.write(predict.folder / f"{seed}.wav", talk(1.5, seed), 16_000)
        soundfile.write(predict.folder / "short.wav", talk(0.3), 16_000)
        soundfile.write(predict.folder / "silent.wav", 1e-4 * talk(2), 16_000)
        _, _, rows = predict(predict.folder)
        low, high = sorted((float(rows[name]["p_fake"]), name) for name in ("0.wav", "1.wav"))
        threshold = (low[0] + high[0]) / 2
        status, _, rows = predict(predict.folder, f"threshold={threshold}")
        assert status == 0
        assert (rows[low[1]]["verdict"], rows[high[1]]["verdict"]) == ("bonafide", "spoof")
        assert rows["short.wav"]["verdict"] == rows["silent.wav"]["verdict"] == "undecided"
        assert rows["short.wav"]["reason"] == "shorter than 1 s"
        assert rows["silent.wav"]["reason"].startswith("silent (-9")
        assert all(math.isfinite(float(row["score"])) for row in rows.values())

    @pytest.mark.parametrize(
        ("wave", "reason"),
        [
            (noise(2), "no speech (0.0 s found)"),
            (np.clip(5 * talk(2), -0.9, 0.9), "clipped ("),
            (np.zeros(32_000), "silent (-120 dB"),
        ],
        ids=["noise", "clipped", "zeros"],
    )
    def test_what_cannot_be_judged_gets_a_number_and_a_reason(self, predict, wave, reason):
        soundfile.write(predict.folder / "a.wav", wave, 16_000)
        status, printed, rows = predict(predict.folder)
        assert (status, rows["a.wav"]["verdict"]) == (0, "undecided"), printed
        assert rows["a.wav"]["reason"].startswith(reason)
        assert 0 <= float(rows["a.wav"]["p_fake"]) <= 1

    def test_what_is_unlike_its_training_data_is_not_judged(self, predict, checkpoint, tmp_path):
        detector = load_detector(checkpoint)
        census = Census()
        for _ in range(50):
            census.add({"band_hz": 7500.0, "level_db": -22.0})
        detector.trained_on = census.plain()
        save_detector(detector, tmp_path / "knowing.ckpt")
        soundfile.write(predict.folder / "wide.wav", talk(2), 16_000)
        soundfile.write(predict.folder / "phone.wav", talk(2, rate=8_000), 8_000)
        soundfile.write(predict.folder / "far.wav", 0.02 * talk(2), 16_000)
        _, _, rows = predict(predict.folder, f"checkpoint={tmp_path / 'knowing.ckpt'}")
        assert rows["wide.wav"]["reason"] == ""
        assert rows["phone.wav"]["reason"] == "band ends at 3.9 kHz, of what it was trained on above 7.5"
        assert rows["far.wav"]["reason"].startswith("level of -5")

    def test_tells_where_and_how_sure(self, predict):
        soundfile.write(predict.folder / "a.wav", talk(6.2), 16_000)
        _, _, rows = predict(predict.folder, "output=o.jsonl", "threshold=0.5")
        assert rows == {}
        (line,) = (predict.folder.parent / "o.jsonl").read_text().splitlines()
        told = json.loads(line)
        assert told["p_fake_low"] <= told["p_fake"] <= told["p_fake_high"]
        assert told["speech_s"] == pytest.approx(6.2, abs=1)
        moments = told["over_time"]
        assert [moment["start_s"] for moment in moments] == [0.5 * n for n in range(13)]
        assert moments[-1]["end_s"] == pytest.approx(6.2)
        fake = [(moment["start_s"], moment["end_s"]) for moment in moments if moment["p_fake"] > 0.5]
        inside = [
            any(span["start_s"] <= start and end <= span["end_s"] for span in told["where"]) for start, end in fake
        ]
        assert all(inside)
        assert sum(span["end_s"] - span["start_s"] for span in told["where"]) == pytest.approx(
            sum(end - start for start, end in fake)
        )

    def test_status_tells_the_verdict_if_asked(self, predict):
        soundfile.write(predict.folder / "a.wav", talk(2), 16_000)
        p_fake = float(predict(predict.folder)[2]["a.wav"]["p_fake"])
        below, above = (f"threshold={p_fake * factor}" for factor in (0.9, 1.1))
        assert [predict(predict.folder, at, "exit_code=verdict")[0] for at in (below, above)] == [1, 0]
        soundfile.write(predict.folder / "short.wav", talk(0.5), 16_000)
        assert [predict(predict.folder, at, "exit_code=verdict")[0] for at in (below, above)] == [1, 3]
        assert predict(predict.folder, below)[0] == 0

    def test_verdict_at_the_edges(self, predict):
        soundfile.write(predict.folder / "second.wav", talk(1.0), 16_000)
        soundfile.write(predict.folder / "zeros.wav", np.zeros(16_000), 16_000)
        _, _, rows = predict(predict.folder)
        assert rows["second.wav"]["verdict"] != "undecided"
        assert rows["zeros.wav"]["verdict"] == "undecided"
        p_fake = rows["second.wav"]["p_fake"]
        assert predict(predict.folder, f"threshold={p_fake}")[2]["second.wav"]["verdict"] == "bonafide"
        below = math.nextafter(float(p_fake), 0)
        assert predict(predict.folder, f"threshold={below!r}")[2]["second.wav"]["verdict"] == "spoof"

    @pytest.mark.parametrize("prior", [0.01, 0.5, 0.9])
    def test_p_fake_knows_the_prior(self, predict, prior):
        soundfile.write(predict.folder / "a.wav", talk(1.5), 16_000)
        _, _, rows = predict(predict.folder, f"prior.spoof={prior}")
        score = float(rows["a.wav"]["score"])
        expected = torch.sigmoid(torch.tensor(-score + math.log(prior / (1 - prior)), dtype=torch.float64))
        assert float(rows["a.wav"]["p_fake"]) == pytest.approx(float(expected), rel=1e-9)

    @pytest.mark.parametrize(("offset", "p_fake"), [(2_000.0, 0.0), (-2_000.0, 1.0)])
    def test_extreme_scores_do_not_overflow(self, predict, checkpoint, offset, p_fake):
        detector = load_detector(checkpoint)
        detector.calibration_offset.fill_(offset)
        save_detector(detector, predict.folder / "sure.ckpt")
        soundfile.write(predict.folder / "a.wav", talk(1.5), 16_000)
        status, printed, rows = predict(predict.folder, f"checkpoint={predict.folder}/sure.ckpt")
        assert status == 0, printed
        assert float(rows["a.wav"]["p_fake"]) == pytest.approx(p_fake, abs=1e-300)

    def test_the_first_window_alone(self, predict, checkpoint):
        soundfile.write(predict.folder / "a.flac", talk(2, rate=44_100), 44_100)
        _, _, rows = predict(predict.folder, "windows=first")
        first = audio.load(predict.folder / "a.flac", 0, 22_050)
        with torch.inference_mode():
            expected = float(load_detector(checkpoint)(torch.from_numpy(first)[None]).score)
        assert float(rows["a.flac"]["score"]) == pytest.approx(expected, abs=1e-5)
        assert (rows["a.flac"]["windows"], rows["a.flac"]["duration_s"]) == ("1", "2.0")

    def test_batch_size_changes_nothing(self, predict):
        soundfile.write(predict.folder / "a.wav", talk(5.2), 16_000)
        scores = [predict(predict.folder, f"batch_size={size}")[2]["a.wav"]["score"] for size in (1, 3, 100)]
        np.testing.assert_allclose(np.array(scores, float), float(scores[0]), rtol=1e-4)


def test_first_windows_give_the_scores_that_the_run_reported(lab, toy_run):
    table = pq.read_table(toy_run / "report/scores/test/trials.parquet").to_pandas().set_index("key")
    corpus = toy_run.parents[1] / "corpora/toy-12x0.4s-seed0"
    (lab.folder / "in").mkdir()
    for key in table.index:
        shutil.copy(corpus / f"{key}.flac", lab.folder / "in")
    overrides = [f"checkpoint={toy_run}/detector.ckpt", "input=in", "output=o.csv"]
    slope = max(1.0, np.ptp(table["score"]) / np.ptp(table["raw_score"]))  # calibration scales rounding errors too
    for windows in ("first", "all"):  # toy utterances are one window long
        status, printed = lab("predict", *overrides, f"windows={windows}")
        assert status == 0, printed
        with open("o.csv", newline="") as file:
            scores = {
                os.path.basename(row["path"]).removesuffix(".flac"): float(row["score"]) for row in csv.DictReader(file)
            }
        assert set(scores) == set(table.index)
        np.testing.assert_allclose([scores[key] for key in table.index], table["score"], rtol=1e-5, atol=1e-5 * slope)


class TestFiles:
    def test_folders_are_searched_and_what_is_no_audio_is_left_alone(self, predict):
        deep = predict.folder / "x" / "y"
        deep.mkdir(parents=True)
        for path in (deep / "a.WAV", predict.folder / "b.flac", predict.folder / "x" / "a [b] ü.wav"):
            soundfile.write(path, talk(1.2), 16_000)
        (predict.folder / "notes.txt").write_text("nothing to hear")
        (predict.folder / "folder.wav").mkdir()
        status, printed, rows = predict(predict.folder)
        assert status == 0, printed
        assert sorted(rows) == ["a [b] ü.wav", "a.WAV", "b.flac"]
        assert "a [b] ü.wav" in printed

    @pytest.mark.parametrize("name", ["a.wav", "a [b].wav", "für mich, 50% (1).wav", "録音.wav"])
    def test_a_single_file(self, predict, name):
        soundfile.write(predict.folder / name, talk(1.2), 16_000)
        status, printed, rows = predict(predict.folder / name)
        assert (status, list(rows)) == (0, [name]), printed
        assert name in printed

    def test_patterns_several_inputs_and_standard_input(self, predict, monkeypatch):
        (predict.folder / "x").mkdir()
        for name in ("a.wav", "x/b.wav", "x/c.flac"):
            soundfile.write(predict.folder / name, talk(1.2), 16_000)
        assert sorted(predict(predict.folder / "**/*.wav")[2]) == ["a.wav", "b.wav"]
        status, printed, rows = predict("", f"input=[{predict.folder}/a.wav,{predict.folder}/x]")
        assert (status, sorted(rows)) == (0, ["a.wav", "b.wav", "c.flac"]), printed
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO((predict.folder / "x/c.flac").read_bytes())))
        status, printed, piped = predict("-")
        assert (status, piped["-"]["score"]) == (0, rows["c.flac"]["score"]), printed
        status, printed, _ = predict(predict.folder / "*.mp3")
        assert status == 2
        assert "no file fits this pattern" in printed

    def test_a_name_that_is_not_utf_8_keeps_nothing_from_being_scored(self, predict):
        for name in (b"a.wav", b"M\xfcller.wav", b"z.wav"):
            soundfile.write(predict.folder / "x.wav", talk(1.2), 16_000)
            (predict.folder / "x.wav").rename(predict.folder / os.fsdecode(name))
        status, printed, rows = predict(predict.folder)
        assert status == 0, printed
        assert sorted(rows) == ["M\\udcfcller.wav", "a.wav", "z.wav"]
        assert "M\\udcfcller.wav" in printed

    def test_broken_files_are_named_with_status_2_and_the_others_are_scored(self, predict):
        for name in ("a.wav", "z.wav"):
            soundfile.write(predict.folder / name, talk(1.2), 16_000)
        (predict.folder / "m.wav").write_text("no audio at all")
        (predict.folder / "empty.mp3").touch()
        status, printed, rows = predict(predict.folder)
        assert status == 2
        assert sorted(rows) == ["a.wav", "z.wav"]
        assert "2 of 4 files could not be scored" in printed
        assert all(text in printed for text in ("m.wav: cannot be decoded", "empty.mp3: cannot be decoded", "z.wav"))
        assert "Traceback" not in printed

    def test_no_output_needs_none(self, lab, checkpoint):
        soundfile.write("a.wav", talk(1.2), 16_000)
        before = sorted(os.listdir())
        assert lab("predict", f"checkpoint={checkpoint}", "input=a.wav")[0] == 0
        assert sorted(os.listdir()) == before

    @pytest.mark.parametrize(
        ("overrides", "complaint"),
        [
            (["input=nowhere"], "input=nowhere: no such file or folder"),
            (["input=empty"], "input=empty: no audio files in this folder"),
            (["input=a.wav", "output=nowhere/o.csv"], "output=nowhere/o.csv: cannot be written (No such file"),
            (["input=a.wav", "output=empty"], "output=empty: cannot be written (Is a directory"),
            (["input=a.wav", "output=a.wav"], "output=a.wav: is a recording's name"),
            (["input=a.wav", "checkpoint=nowhere.ckpt"], "nowhere.ckpt: no such checkpoint"),
            (["input=a.wav", "checkpoint=a.wav"], "a.wav: not a readable checkpoint"),
            (["input=a.wav", "windows=last"], "windows=last: choose all or first"),
            (["input=a.wav", "threshold=1.5"], "threshold=1.5: a probability"),
            (["input=a.wav", "prior.spoof=0"], "prior.spoof=0.0: a probability"),
            (["input=a.wav", "batch_size=0"], "batch_size=0: at least one"),
            (["input=a.wav", "hop_s=0.6"], "hop_s=0.6: give more than 0 and at most a window, which is 0.5 s"),
            (["input=a.wav", "exit_code=yes"], "exit_code=yes: choose files or verdict"),
            (["input=a.wav", "device=gpu"], "device=gpu: cannot be used"),
            ([], "input is needed"),
        ],
    )
    def test_mistakes_are_explained(self, lab, checkpoint, overrides, complaint):
        soundfile.write("a.wav", talk(1.2), 16_000)
        os.mkdir("empty")
        status, printed = lab("predict", f"checkpoint={checkpoint}", *overrides)
        assert status == 2
        assert complaint in printed
        assert "Traceback" not in printed
        assert soundfile.info("a.wav").frames == 19_200

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_gpu_that_is_not_there(self, lab, checkpoint):
        soundfile.write("a.wav", talk(1.2), 16_000)
        status, printed = lab("predict", f"checkpoint={checkpoint}", "input=a.wav", "device=cuda")
        assert status == 2
        assert "device=cuda: cannot be used" in printed
        assert "Try device=cpu" in printed


def test_a_detector_that_cuts_quiet_edges_hears_what_is_between_them(predict, checkpoint, tmp_path):
    detector = load_detector(checkpoint)
    config = {**detector.config, "treatment": {"_target_": "deepfake_lab.models.treatment.Treatment", "trim": True}}
    trimming = build_detector(config)
    trimming.load_state_dict(detector.state_dict())
    save_detector(trimming, tmp_path / "trimming.ckpt")
    sound = talk(1.3)
    soundfile.write(predict.folder / "bare.wav", sound, 16_000)
    soundfile.write(predict.folder / "edged.wav", np.pad(sound, (8_000, 4_000)), 16_000)
    for windows in ("first", "all"):
        _, _, rows = predict(predict.folder, f"windows={windows}", f"checkpoint={tmp_path / 'trimming.ckpt'}")
        assert rows["bare.wav"]["score"] == rows["edged.wav"]["score"]
        _, _, rows = predict(predict.folder, f"windows={windows}")
        assert rows["bare.wav"]["score"] != rows["edged.wav"]["score"]
