"""Recordings of one's own: folders, tables, what is refused and how splits are made."""

import csv
import os
import shutil

import make_folder
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import write

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.folder import Folder
from deepfake_lab.types import SPLITS, LabError


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return make_folder.make(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def manifest(found, work):
    return Folder(found["root"], work).prepare()


def by_path(manifest):
    return {row["path"]: row for row in manifest.table.to_pylist()}


def codes(manifest):
    return {finding.code for finding in manifest.findings}


class TestFolders:
    def test_every_recording_is_found_and_nothing_else(self, manifest):
        paths = manifest.table["path"].to_pylist()
        assert len(paths) == 3 * 20 + 1
        assert not [path for path in paths if "hidden" in path or path.endswith(".txt")]
        assert {path.rpartition(".")[2] for path in paths} == {"flac", "WAV", "ogg", "mp4"}

    @pytest.mark.parametrize(
        ("path", "label", "attack"),
        [
            ("bonafide/speaker 0/000 (take 0).flac", 0, "bonafide"),
            ("spoof/my vocoder/best/000 (take 0).WAV", 1, "folder/my_vocoder"),
            ("spoof/000 (take 0).ogg", 1, "folder/unknown"),
            ("spoof/lips/film.mp4", 1, "folder/lips"),
        ],
    )
    def test_name_label_and_attack(self, manifest, path, label, attack):
        row = by_path(manifest)[path]
        assert (row["label"], row["attack"], row["speaker"]) == (label, attack, "-")

    def test_a_sentence_stays_with_what_was_made_of_it(self, manifest):
        rows = by_path(manifest)
        for number in range(20):
            name = f"{number:03d} (take {number % 2})"
            same = [row for path, row in rows.items() if name in path]
            assert len(same) == 3
            assert {row["group"] for row in same} == {f"folder/{name}"}
            assert len({row["split"] for row in same}) == 1
        assert set(manifest.table["split"].to_pylist()) == set(SPLITS)

    def test_shares_and_seed(self, found, work, manifest):
        test = Folder(found["root"], work, shares={"train": 0, "dev": 0, "test": 1}).prepare()
        assert test.table["split"].to_pylist() == ["test"] * len(manifest)
        other = Folder(found["root"], work, seed=1).prepare()
        assert other.table["split"] != manifest.table["split"]
        assert other.table.drop(["split"]).equals(manifest.table.drop(["split"]))

    def test_splits_of_ones_own(self, tmp_path):
        for number, split in enumerate(SPLITS):
            for name in range(2):
                write(tmp_path / "mine" / split / "bonafide" / f"{name}.wav", 10 * number + name)
                write(tmp_path / "mine" / split / "spoof" / "x" / f"{name}.wav", 10 * number + name + 5)
        write(tmp_path / "mine" / "test" / "bonafide" / "only.wav", 99)
        manifest = Folder(tmp_path / "mine", tmp_path / "work").prepare()
        rows = by_path(manifest)
        assert len(rows) == 13
        assert all(row["split"] == path.partition("/")[0] for path, row in rows.items())
        assert rows["dev/spoof/x/1.wav"]["attack"] == "folder/x"
        assert rows["dev/spoof/x/1.wav"]["group"] == rows["dev/bonafide/1.wav"]["group"] == "folder/dev/1"
        (finding,) = [finding for finding in manifest.findings if finding.code == "repeated_names"]
        assert finding.number == 2
        assert guards.shared_between_splits(manifest, "group") == set()

    def test_both_layouts_at_once_are_refused(self, tmp_path):
        write(tmp_path / "mine" / "spoof" / "a.wav", 0)
        write(tmp_path / "mine" / "train" / "bonafide" / "b.wav", 1)
        with pytest.raises(LabError, match="holds both spoof/ and train/bonafide/"):
            Folder(tmp_path / "mine", tmp_path / "work").prepare()

    def test_folders_without_recordings(self, tmp_path):
        (tmp_path / "mine" / "bonafide").mkdir(parents=True)
        with pytest.raises(LabError, match="hold no utterance"):
            Folder(tmp_path / "mine", tmp_path / "work").prepare()

    def test_equal_paths_below_another_root_are_other_recordings(self, found, work, manifest, tmp_path):
        copy = shutil.copytree(found["root"], tmp_path / "copy")
        path = "bonafide/speaker 0/000 (take 0).flac"
        write(copy / path, 777, samples=5_000)
        other = Folder(copy, work).prepare()
        assert by_path(other)[path]["frames"] == 5_000
        assert by_path(manifest)[path]["frames"] == 4_000
        assert by_path(other)[path]["audio_hash"] != by_path(manifest)[path]["audio_hash"]


COLUMNS = ["path", "label", "attack", "speaker", "note", "gender"]
ROWS = [
    ["a b/0.wav", "bonafide", "", "Eva, the Second", 'she said "hi"', "F"],
    ["a b/1.wav", "Spoof", "my tts", "Eva, the Second", "", "F"],
    ["a b/2.wav", "real", "-", "Bob", "", "M"],
    ["a b/3.wav", "fake", "", "Bob", "", "M"],
    ["a b/4.wav", "0", "bonafide", "", "", ""],
    ["4.wav", "1", "A01", "", "", "-"],
    ["5.wav", "genuine", "", "-", "", ""],
    ["6.wav", "bona-fide", "", "Cem", "", ""],
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder with the recordings of `ROWS`."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, (path, *_) in enumerate(ROWS):
        write(folder / path, number)
    return folder


def table(path, rows=ROWS, columns=COLUMNS):
    """Writes a CSV table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def changed(row, column, value):
    """`ROWS` with one value replaced."""
    rows = [list(one) for one in ROWS]
    rows[row][COLUMNS.index(column)] = value
    return rows


class TestTable:
    def test_csv(self, recordings, tmp_path):
        manifest = Folder(recordings, tmp_path / "work", manifest=table(tmp_path / "mine.csv")).prepare()
        rows = list(by_path(manifest).values())
        assert [row["path"] for row in rows] == [row[0] for row in ROWS]
        assert [row["label"] for row in rows] == [0, 1, 0, 1, 0, 1, 0, 0]
        assert [row["attack"] for row in rows if row["label"]] == ["folder/my_tts", "folder/unknown", "folder/A01"]
        assert [row["speaker"] for row in rows][:2] == ["folder/Eva, the Second"] * 2
        assert [row["speaker"] for row in rows][4:] == ["-", "-", "-", "folder/Cem"]
        assert [row["gender"] for row in rows] == ["F", "F", "M", "M", "-", "-", "-", "-"]
        assert {row["language"] for row in rows} == {row["codec"] for row in rows} == {"-"}
        assert [row["group"] for row in rows][2:] == [
            *["folder/Bob"] * 2,
            *["folder/4"] * 2,  # without a speaker, equal names belong together
            "folder/5",
            "folder/Cem",
        ]
        assert guards.shared_between_splits(manifest, "group") == set()
        assert set(manifest.table["split"].to_pylist()) == set(SPLITS)

    def test_parquet_says_the_same(self, recordings, tmp_path):
        expected = Folder(recordings, tmp_path / "work", manifest=table(tmp_path / "mine.csv")).prepare()
        frame = pd.DataFrame(ROWS, columns=COLUMNS).replace("", None)
        frame["speaker"] = frame["speaker"].astype("category")
        frame["score"] = 0.5
        frame.to_parquet(tmp_path / "mine.parquet")
        manifest = Folder(recordings, tmp_path / "work", manifest=tmp_path / "mine.parquet").prepare()
        assert manifest.digest == expected.digest

    def test_parquet_labels_may_be_numbers(self, recordings, tmp_path):
        paths = [row[0] for row in ROWS]
        pq.write_table(pa.table({"path": paths, "label": pa.array([0, 1] * 4, pa.int8())}), tmp_path / "m.parquet")
        manifest = Folder(recordings, tmp_path / "work", manifest=tmp_path / "m.parquet").prepare()
        assert manifest.table["label"].to_pylist() == [0, 1] * 4

    def test_a_quoted_header(self, recordings, tmp_path):
        path = table(tmp_path / "mine.csv")
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join([",".join(f'"{name}"' for name in COLUMNS), *lines[1:]]), encoding="utf-8")
        assert len(Folder(recordings, tmp_path / "work", manifest=path).prepare()) == len(ROWS)

    def test_given_splits_and_groups_are_taken(self, recordings, tmp_path):
        splits = ["train", "train", "dev", "dev", "test", "train", "test", "test"]
        groups = ["x", "", "-", "y", "", "", "", ""]
        rows = [[*row, split, group] for row, split, group in zip(ROWS, splits, groups, strict=True)]
        own = table(tmp_path / "mine.csv", rows, [*COLUMNS, "split", "group"])
        manifest = Folder(recordings, tmp_path / "work", manifest=own).prepare()
        assert manifest.table["split"].to_pylist() == splits
        assert manifest.table["group"].to_pylist() == [
            "folder/x",
            "folder/train/Eva, the Second",
            "folder/dev/Bob",
            "folder/y",
            "folder/test/4",
            "folder/train/4",
            "folder/test/5",
            "folder/test/Cem",
        ]
        (finding,) = [finding for finding in manifest.findings if finding.code == "repeated_names"]
        assert finding.number == 1
        assert "such as 4:" in finding.text

    def test_a_given_group_in_two_splits_is_refused_by_the_guards(self, recordings, tmp_path):
        rows = [[*row, split, "one"] for row, split in zip(ROWS, ["train", "test"] * 4, strict=True)]
        own = table(tmp_path / "mine.csv", rows, [*COLUMNS, "split", "group"])
        manifest = Folder(recordings, tmp_path / "work", manifest=own).prepare()
        assert guards.shared_between_splits(manifest, "group") == {"folder/one"}

    @pytest.mark.parametrize(
        ("rows", "complaint"),
        [
            (changed(2, "label", "maybe"), r"mine.csv, line 4: 'maybe' is none of bonafide, bona-fide, real"),
            (changed(7, "label", ""), r"mine.csv, line 9: '' is none of bonafide"),
            (changed(0, "attack", "A07"), r"mine.csv, line 2: label 'bonafide' and attack 'A07' contradict"),
            (changed(3, "attack", "bonafide"), r"mine.csv, line 5: label 'fake' and attack 'bonafide' contradict"),
            (changed(1, "path", "a b/0.wav"), r"1 utterances are listed twice, such as folder-a b/0.wav"),
            ([*ROWS, ["7.wav", "real"]], r"mine.csv, line 10: 2 fields, expected 6: '7.wav,real'"),
        ],
    )
    def test_mistakes_are_named(self, recordings, tmp_path, rows, complaint):
        own = table(tmp_path / "mine.csv", rows)
        with pytest.raises(LabError, match=complaint):
            Folder(recordings, tmp_path / "work", manifest=own).prepare()

    def test_an_unknown_split_and_a_missing_column(self, recordings, tmp_path):
        own = table(tmp_path / "mine.csv", [[*row, "eval"] for row in ROWS], [*COLUMNS, "split"])
        with pytest.raises(LabError, match=r"mine.csv, line 2: 'eval' is none of train, dev, test"):
            Folder(recordings, tmp_path / "work", manifest=own).prepare()
        own = table(tmp_path / "other.csv", ROWS, ["file", *COLUMNS[1:]])
        with pytest.raises(LabError, match=r"other.csv: no column path; its columns are file, label"):
            Folder(recordings, tmp_path / "work", manifest=own).prepare()

    def test_a_parquet_file_that_is_none(self, recordings, tmp_path):
        own = tmp_path / "mine.parquet"
        own.write_text("path,label\n")
        with pytest.raises(LabError, match=r"mine.parquet: not a readable table"):
            Folder(recordings, tmp_path / "work", manifest=own).prepare()


@pytest.mark.parametrize("seed", range(5))
def test_splits_hold_both_classes_where_speakers_allow_it(work, seed):
    """Six speakers of one class each: most draws leave a split with one class."""
    rows = [[f"{speaker}/{n}.wav", speaker < "D", speaker] for speaker in "ABCDEF" for n in range(3)]
    rows = [[path, "real" if real else "fake", speaker] for path, real, speaker in rows]
    own = table(work / "six.csv", rows, ["path", "label", "speaker"])
    parsed = Folder(work, work, manifest=own, seed=seed, shares={"train": 1, "dev": 1, "test": 1}).parse().table
    assert len(parsed.group_by(["split", "label"]).aggregate([])) == 6
    assert len(parsed.group_by(["speaker", "split"]).aggregate([])) == 6


class TestPlaces:
    def test_beside_the_table(self, recordings, tmp_path, monkeypatch):
        copy = shutil.copytree(recordings, tmp_path / "copy")
        table(copy / "mine.csv")
        monkeypatch.chdir(copy)
        for own in (copy / "mine.csv", "mine.csv"):
            manifest = Folder(None, tmp_path / "work", manifest=own).prepare()
            guards.check_files(manifest)
            assert len(manifest) == len(ROWS)

    def test_a_root_that_the_files_are_not_below(self, recordings, tmp_path):
        copy = shutil.copytree(recordings, tmp_path / "copy")
        own = table(copy / "mine.csv")
        with pytest.raises(LabError, match=r"not below data.root=.* but beside the table: data.root=.*/copy"):
            Folder(tmp_path, tmp_path / "work", manifest=own).prepare()
        with pytest.raises(LabError, match=r"data.root=nowhere: no such folder"):
            Folder("nowhere", tmp_path / "work", manifest=own).prepare()

    def test_files_that_are_nowhere_are_looked_for_below_the_root(self, tmp_path):
        own = table(tmp_path / "mine.csv")
        (tmp_path / "audio").mkdir()
        with pytest.raises(LabError, match=r"/audio: 8 files cannot be used \(8 missing, 0 unreadable\)"):
            Folder(tmp_path / "audio", tmp_path / "work", manifest=own).prepare()

    def test_whole_paths_and_dots(self, recordings, tmp_path):
        (tmp_path / "tables").mkdir()
        rows = changed(0, "path", str(recordings / "a b" / "0.wav"))
        rows[2][0] = "./a b/2.wav"
        own = table(tmp_path / "tables" / "mine.csv", rows[:3])
        manifest = Folder(recordings, tmp_path / "work", manifest=own, shares={"test": 1}).prepare()
        guards.check_files(manifest)
        with pytest.raises(LabError, match=r"leads out of the root.*data\.root=DIR"):
            Folder(None, tmp_path / "work", manifest=own, shares={"test": 1}).prepare()
        rows[0][0] = f"a b/../../{recordings.name}/a b/0.wav"
        with pytest.raises(LabError, match="leads out of the root"):
            Folder(recordings, tmp_path / "work", manifest=table(own, rows[:3]), shares={"test": 1}).prepare()
        expected = Folder(recordings, tmp_path / "work", manifest=table(tmp_path / "mine.csv"))
        assert manifest.table["audio_hash"].to_pylist() == expected.prepare().table["audio_hash"].to_pylist()[:3]

    def test_a_changed_table_is_read_again(self, recordings, tmp_path):
        own = table(tmp_path / "mine.csv")
        corpus = Folder(recordings, tmp_path / "work", manifest=own)
        corpus.prepare()
        table(own, ROWS[:-1])
        os.utime(own, ns=(1, 1))
        assert len(corpus.prepare()) == len(ROWS) - 1

    def test_neither_folder_nor_table(self, tmp_path):
        with pytest.raises(LabError, match=r"data.root=FOLDER .* or data.manifest=FILE"):
            Folder(None, tmp_path / "work").prepare()
        with pytest.raises(LabError, match=r"data.manifest=.*nothing.csv: no such file"):
            Folder(None, tmp_path / "work", manifest=tmp_path / "nothing.csv").prepare()


@settings(max_examples=40, deadline=None)
@given(
    speakers=st.lists(st.sampled_from(["", "-", *"abcdefg"]), min_size=12, max_size=30),
    seed=st.integers(0, 1_000),
    shares=st.tuples(*[st.floats(0.05, 1)] * 3),
)
def test_no_speaker_and_no_sentence_is_torn(work, speakers, seed, shares):
    """Parsing alone: rows of a speaker, and rows of a nameless sentence, share a split."""
    names = [f"{'bonafide' if number % 2 else 'spoof'}/{number // 2}.wav" for number in range(len(speakers))]
    rows = [[path, path.partition("/")[0], speaker] for path, speaker in zip(names, speakers, strict=True)]
    corpus = Folder(
        work,
        work / "work",
        manifest=table(work / "torn.csv", rows, ["path", "label", "speaker"]),
        shares=dict(zip(SPLITS, shares, strict=True)),
        seed=seed,
    )
    groups = [speaker if speaker not in ("", "-") else str(number // 2) for number, speaker in enumerate(speakers)]
    if len(set(groups)) < 3:
        with pytest.raises(LabError, match="cannot be dealt"):
            corpus.parse()
        return
    splits = np.array(corpus.parse().table["split"].to_pylist())
    assert set(splits) == set(SPLITS)
    for group in set(groups):
        assert len(set(splits[np.array(groups) == group])) == 1
