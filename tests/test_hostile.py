"""Files that nobody would write by mistake: whatever comes in from outside is refused with its name, or harmless."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hydra.utils import get_class
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutations, sounds
from omegaconf import OmegaConf

from deepfake_lab import audio, config
from deepfake_lab.checkpoint import build_detector, load_detector, save_detector
from deepfake_lab.data.corpora.folder import Folder
from deepfake_lab.data.lists import read_list
from deepfake_lab.data.manifest import SCHEMA, Manifest
from deepfake_lab.data.notes import RUN_NOTE, read_note
from deepfake_lab.data.release import Release
from deepfake_lab.data.tables import read_parquet
from deepfake_lab.evaluation.scores import COLUMNS, read_table
from deepfake_lab.serving.decoding import Recording
from deepfake_lab.types import LabError

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LISTS = {".txt", ".csv", ".tsv"}
CONFIGS = {path.stem: OmegaConf.load(path) for path in (config.CONF / "data").glob("*.yaml")}
RELEASES = sorted(
    name for name, node in CONFIGS.items() if issubclass(get_class(node["_target_"]), Release) and name != "folder"
)
ROW = {"key": "a", "path": "a.wav", "frames": 9, "sample_rate": 9, "channels": 1, "label": 0, "attack": "bonafide"} | {
    "group": "a",
    "split": "test",
    "corpus": "a",
}
DETECTOR = {
    "_target_": "deepfake_lab.models.detector.Detector",
    "frontend": {"_target_": "deepfake_lab.frontends.mel.Mel", "bins": 8},
    "encoder": {"_target_": "deepfake_lab.models.linear.Linear", "_partial_": True},
    "window_s": 0.5,
}
SPICE = st.sampled_from(
    ["", "\0", "\n", "\r", '"', "'", ",", "|", " ", "\t", "-", "/", "..", "=1+1", "\ud7ff", "9" * 99]
)
TEXT = st.lists(SPICE | st.text(max_size=5), max_size=4).map("".join)


def is_refused(act, *named):
    """Whether nothing but a `LabError` comes of an act, if anything; it names a file or a setting."""
    try:
        act()
    except LabError as error:
        told = str(error)
    else:
        return False
    assert any(str(name) in told for name in (*named, "data.")), told
    return True


class TestDecoders:
    """In a process of their own, with 400 MB: `decode_hostile.py`."""

    def decode(self, folder, seed, count):
        program = Path(__file__).parent / "data" / "decode_hostile.py"
        command = [sys.executable, program, folder, str(seed), str(count)]
        path = os.pathsep.join([str(program.parents[2]), str(program.parent)])
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout[-2000:]} the last file: {done.stderr[-2000:]}"
        (last,) = done.stdout.splitlines()
        return int(last.removesuffix(" files"))

    def test_damage_is_an_error_or_sound(self, tmp_path):
        assert self.decode(tmp_path, 0, 30) > 500

    @pytest.mark.slow
    @pytest.mark.parametrize("seed", range(1, 5))
    def test_much_damage_is_an_error_or_sound(self, tmp_path, seed):
        assert self.decode(tmp_path, seed, 500) > 5_000

    def test_any_number_of_channels(self, tmp_path):
        wave = np.random.default_rng(0).uniform(-0.5, 0.5, (4_000, 37))
        soundfile.write(tmp_path / "a.caf", wave, 16_000, "PCM_16")
        content = (tmp_path / "a.caf").read_bytes()
        packet = content.index(b"lpcm") + 8  # bytes of all channels: 4 as said here, so that libsndfile gives up
        (tmp_path / "a.caf").write_bytes(content[:packet] + b"\0\0\0\4" + content[packet + 4 :])
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.SoundFile(tmp_path / "a.caf")
        samples, _ = audio.read(tmp_path / "a.caf")
        assert samples.shape[1] == 37
        assert np.abs(samples).max() <= 1
        heard = np.concatenate(list(Recording(tmp_path / "a.caf", "a.caf").waves()))
        np.testing.assert_allclose(heard, samples.mean(axis=1), atol=1e-6)

    @pytest.mark.parametrize("beginning", ["#EXTM3U\n#EXTINF:9,\n", "ffconcat version 1.0\nfile "])
    def test_a_list_of_files_under_the_name_of_a_recording_opens_none(self, tmp_path, beginning):
        soundfile.write(tmp_path / "secret.wav", 0.1 * np.ones(16_000), 16_000)
        path = tmp_path / "a.wav"
        path.write_text(f"{beginning}secret.wav\n")
        with pytest.raises(audio.AudioError, match=r"a\.wav: cannot be decoded"):
            audio.load(path)
        with pytest.raises(audio.AudioError, match=r"a\.wav: cannot be decoded"):
            list(Recording(path, str(path)).blocks())

    def test_hours_in_a_few_bytes_are_refused(self, tmp_path, monkeypatch):
        monkeypatch.setattr(audio, "MOST_NUMBERS", 1 << 22)
        monkeypatch.setattr(audio, "_BLOCK", 1 << 20)
        for ending in ("flac", "wav"):
            soundfile.write(tmp_path / f"a.{ending}", np.zeros(1 << 23, np.int16), 16_000)
            with pytest.raises(audio.AudioError, match=rf"a\.{ending}: more than 4,194,304 samples"):
                audio.load(tmp_path / f"a.{ending}")
            assert len(audio.load(tmp_path / f"a.{ending}", 1 << 22, 1_000)) == 1_000


@pytest.fixture(scope="module", params=RELEASES)
def release(request, tmp_path_factory):
    """Name, settings, and the lists of a tiny download with their contents."""
    folder = tmp_path_factory.mktemp("download")
    found = importlib.import_module(f"make_{request.param}").make(folder)
    lists = {path: path.read_bytes() for path in folder.rglob("*") if path.suffix in LISTS and path.is_file()}
    return request.param, found, lists


class TestLists:
    def parse(self, name, found, work):
        node = OmegaConf.merge(CONFIGS[name], {key: str(value) for key, value in {**found, "work": work}.items()})
        corpus = config.build(OmegaConf.to_container(node))
        corpus.recognise()
        return corpus.parse()

    def check(self, release, work, seed, count):
        name, found, lists = release
        refused = 0
        for path, content in lists.items():
            donors = [b'"\0\n', b"=cmd|' /C calc'!A0 ../../../etc/passwd ", b"\xff\xfe" + b"9" * 300, *lists.values()]
            for changed in mutations(content, seed, count, donors):
                path.write_bytes(changed)
                refused += is_refused(lambda: self.parse(name, found, work), path.parent, f"data={name}", name)
            path.write_bytes(content)
        assert refused or not lists

    def test_damage_is_an_error_or_rows(self, release, tmp_path):
        self.check(release, tmp_path, 0, 25)

    @pytest.mark.slow
    def test_much_damage_is_an_error_or_rows(self, release, tmp_path):
        self.check(release, tmp_path, 1, 400)

    @FEW
    @given(lines=st.lists(st.lists(TEXT, max_size=4), max_size=6), quoting=st.booleans(), named=st.booleans())
    def test_any_text(self, lines, quoting, named, tmp_path):
        path = tmp_path / "list.txt"
        path.write_text("\n".join(map(" ".join, lines)), encoding="utf-8", errors="surrogatepass")
        is_refused(lambda: read_list(path, ("a", "b", "c") if named else None, quoting=quoting), path)


class TestTables:
    @FEW
    @given(cells=st.lists(st.tuples(TEXT, TEXT, TEXT, TEXT), min_size=1, max_size=4))
    def test_any_table_of_ones_own(self, cells, tmp_path):
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        frame = pd.DataFrame(cells, columns=["path", "label", "attack", "spoof_spans"])
        frame["label"] = frame["label"].where(frame["label"].str.len() > 2, "spoof")
        for own in (tmp_path / "mine.csv", tmp_path / "mine.parquet"):
            (frame.to_csv if own.suffix == ".csv" else frame.to_parquet)(own, index=False)
            assert is_refused(
                lambda own=own: Folder(None, tmp_path / "work", manifest=own).prepare(), own, tmp_path, "folder"
            )

    @pytest.mark.parametrize("path", ["/etc/passwd", "../x.wav", "a/../../x.wav", "a/..", "", "a\0b.wav", "a\n.wav"])
    def test_paths_that_lead_elsewhere(self, path, tmp_path):
        rows = Manifest.from_rows([ROW | {"path": path}], tmp_path, "the rows")
        with pytest.raises(LabError, match=r"the rows: the path .* leads out of the root"):
            rows.validate()
        with pytest.raises(LabError, match="leads out of the root"):
            rows.write(tmp_path / "m.parquet") or Manifest.read(tmp_path / "m.parquet", tmp_path)

    def test_a_list_does_not_make_the_lab_look_elsewhere(self, tmp_path):
        (tmp_path / "corpus").mkdir()
        soundfile.write(tmp_path / "secret.wav", np.ones(99), 16_000)
        (tmp_path / "corpus" / "mine.csv").write_text("path,label\n../secret.wav,spoof\n")
        with pytest.raises(LabError, match=r"'\.\./secret\.wav' leads out"):
            Folder(None, tmp_path / "work", manifest=tmp_path / "corpus/mine.csv", shares={"test": 1}).prepare()
        assert not list((tmp_path / "work").rglob("part-*"))

    @pytest.mark.parametrize("column", ["key", "label", "long"])
    def test_a_few_bytes_that_grow(self, column, tmp_path):
        rows = 6_000_000
        long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000, np.int32)), pa.array(["x" * (1 << 20)]))
        columns = {"key": pa.repeat("a", rows), "label": pa.repeat(pa.scalar(0, pa.int64()), rows), "long": long}
        pq.write_table(pa.table({column: columns[column]}), tmp_path / "bomb.parquet", compression="zstd")
        assert (tmp_path / "bomb.parquet").stat().st_size < 50_000
        for read in (lambda path: Manifest.read(path, tmp_path), read_table):
            with pytest.raises(LabError, match=r"bomb\.parquet: .*far more than the file"):
                read(tmp_path / "bomb.parquet")

    def test_tables_within_tables_and_texts_that_are_none(self, tmp_path):
        pq.write_table(pa.table({"key": [[1]]}), tmp_path / "nested.parquet")
        with pytest.raises(ValueError, match="neither text nor number"):
            read_parquet(tmp_path / "nested.parquet")
        text = pa.Array.from_buffers(
            pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")]
        )
        pq.write_table(pa.table({"key": text}), tmp_path / "bytes.parquet")
        with pytest.raises(LabError, match="UTF8"):
            Manifest.read(tmp_path / "bytes.parquet", tmp_path)

    def damaged(self, path, read, seed=0, count=150):
        content = path.read_bytes()
        for changed in mutations(content, seed, count, [content]):
            path.write_bytes(changed)
            is_refused(lambda: read(path), path)

    def test_damaged_manifests(self, tmp_path):
        Manifest.from_rows([ROW | {"key": str(key)} for key in range(9)], tmp_path, "").write(tmp_path / "m.parquet")
        self.damaged(tmp_path / "m.parquet", lambda path: Manifest.read(path, tmp_path))

    def test_damaged_score_tables(self, tmp_path):
        row = {name: 0.5 if name in ("score", "raw_score", "duration_s") else "x" for name in COLUMNS} | {"label": 1}
        pd.DataFrame([row] * 9)[list(COLUMNS)].to_parquet(tmp_path / "t.parquet", index=False)
        assert len(read_table(tmp_path / "t.parquet")) == 9
        self.damaged(tmp_path / "t.parquet", read_table)

    @pytest.mark.parametrize(
        "change", [{"label": 7}, {"label": None}, {"score": np.nan}, {"score": "x"}, {"attack": None}]
    )
    def test_score_tables_that_mean_nothing(self, change, tmp_path):
        row = {name: 0.5 if name in ("score", "raw_score", "duration_s") else "x" for name in COLUMNS} | {"label": 1}
        pd.DataFrame([row | change])[list(COLUMNS)].to_parquet(tmp_path / "t.parquet", index=False)
        with pytest.raises(LabError, match=r"t\.parquet: "):
            read_table(tmp_path / "t.parquet")

    @FEW
    @given(rows=st.lists(st.fixed_dictionaries({"key": TEXT, "path": TEXT, "attack": TEXT, "split": TEXT}), max_size=3))
    def test_any_manifest(self, rows, tmp_path):
        table = pa.Table.from_pylist([{**ROW, **row} for row in rows])
        filled = {
            name: table[name]
            if name in table.column_names
            else pa.repeat(pa.scalar("-" if kind == pa.string() else 1), len(table))
            for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True)
        }
        pq.write_table(pa.table(filled), tmp_path / "m.parquet")
        is_refused(lambda: Manifest.read(tmp_path / "m.parquet", tmp_path), tmp_path / "m.parquet")

    @FEW
    @given(content=st.binary(max_size=60) | st.text(alphabet='{}[]":,0 \\eE-', max_size=40).map(str.encode))
    def test_any_note(self, content, tmp_path):
        (tmp_path / "run.json").write_bytes(content)
        is_refused(lambda: read_note(tmp_path / "run.json", RUN_NOTE), tmp_path / "run.json")


class TestCheckpoints:
    def test_damage(self, tmp_path):
        path = tmp_path / "a.ckpt"
        save_detector(build_detector(DETECTOR), path)
        content = path.read_bytes()
        for changed in mutations(content, 0, 100, [content]):
            path.write_bytes(changed)
            is_refused(lambda: load_detector(path), path)

    @FEW
    @given(
        place=st.sampled_from(["frontend", "encoder", "window_s", "head", "treatment", "x"]),
        value=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT | st.just("_target_"), inner, max_size=2),
            max_leaves=6,
        ),
    )
    def test_any_configuration(self, place, value, tmp_path):
        path = tmp_path / "a.ckpt"
        state = {f"detector.{name}": tensor for name, tensor in build_detector(DETECTOR).state_dict().items()}
        torch.save({"detector": DETECTOR | {place: value}, "state_dict": state}, path)
        is_refused(lambda: load_detector(path), path)


def test_whole_files_are_read():
    """The damaged ones would prove nothing if these were refused."""
    assert len(sounds()) >= 12
    for ending, content in sounds().items():
        assert sum(len(block.wave) for block in Recording(content, f"a.{ending}").blocks()) > 3_000
