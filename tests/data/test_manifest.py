"""The table of utterances: kept whole, checked, hashed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.data.manifest import NO_ATTACK, SCHEMA, Finding, Manifest
from deepfake_lab.types import SPLITS, LabError


def row(number=0, **changes):
    spoof = number % 2 == 1
    return {
        "key": f"u{number}",
        "path": f"audio/u{number}.flac",
        "start": 0,
        "frames": 16_000 + number,
        "sample_rate": 16_000,
        "channels": 1,
        "speech_start": 100,
        "speech_frames": 15_000,
        "audio_hash": f"{number:016x}",
        "label": int(spoof),
        "attack": "lab/a1" if spoof else NO_ATTACK,
        "codec": "-",
        "speaker": f"s{number % 3}",
        "group": f"g{number}",
        "gender": "F",
        "language": "en",
        "split": SPLITS[number % 3],
        "corpus": "lab",
        "spoof_spans": "-",
        **changes,
    }


def manifest(rows):
    return Manifest.from_rows(rows, Path("corpus"), "the rows")


@pytest.fixture
def twelve():
    return manifest(row(number) for number in range(12))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A manifest's file, what is in it, and the manifest."""
    path = tmp_path_factory.mktemp("written") / "m.parquet"
    table = manifest(row(number) for number in range(12)).table
    made = Manifest(table, Path(), "lab", [Finding("skipped", "2 files were skipped", 2)])
    made.write(path)
    return path, path.read_bytes(), Manifest.read(path, Path())


class TestFile:
    def test_round_trip(self, twelve, tmp_path):
        path = tmp_path / "new" / "folder" / "manifest.parquet"
        twelve.write(path)
        again = Manifest.read(path, Path("elsewhere"))
        assert again.table.equals(twelve.table)
        assert again.table.schema.equals(SCHEMA)
        assert (again.root, again.source, again.digest) == (Path("elsewhere"), str(path), twelve.digest)
        assert os.listdir(path.parent) == ["manifest.parquet"]

    def test_writing_anew_leaves_readers_of_the_old_file_in_peace(self, twelve, tmp_path):
        twelve.write(tmp_path / "m.parquet")
        reader = Manifest.read(tmp_path / "m.parquet", tmp_path)
        manifest([row(0)]).write(tmp_path / "m.parquet")
        assert reader.digest == twelve.digest
        assert len(Manifest.read(tmp_path / "m.parquet", tmp_path)) == 1

    def test_a_full_disk_leaves_the_old_file_and_nothing_else(self, twelve, tmp_path):
        twelve.write(tmp_path / "m.parquet")
        program = (
            "import resource, signal, sys\n"
            "from pathlib import Path\n"
            "from deepfake_lab.data.manifest import Manifest\n"
            "from deepfake_lab.types import LabError\n"
            "manifest = Manifest.read(Path(sys.argv[1]), Path())\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try: manifest.write(Path(sys.argv[1]))\n"
            "except LabError as error: print(error)\n"
        )
        command = [sys.executable, "-c", program, tmp_path / "m.parquet"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert f"{tmp_path}/m.parquet: cannot be written" in printed
        assert os.listdir(tmp_path) == ["m.parquet"]
        assert Manifest.read(tmp_path / "m.parquet", tmp_path).digest == twelve.digest

    def test_a_folder_that_cannot_be(self, twelve, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(LabError, match=r"file/m\.parquet: cannot be written"):
            twelve.write(tmp_path / "file" / "m.parquet")

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"key,path\n1,2\n"])
    def test_what_is_no_parquet(self, tmp_path, content):
        (tmp_path / "m.parquet").write_bytes(content)
        with pytest.raises(LabError, match=r"m\.parquet: not a readable manifest.*force=true"):
            Manifest.read(tmp_path / "m.parquet", tmp_path)

    @given(data=st.data())
    def test_damage_is_named_or_changes_nothing(self, written, data):
        path, content, manifest = written
        if data.draw(st.booleans()):
            damaged = bytearray(content)
            bit = data.draw(st.integers(0, 8 * len(content) - 1))
            damaged[bit // 8] ^= 1 << bit % 8
        else:
            damaged = content[: data.draw(st.integers(0, len(content) - 1))]
        path.write_bytes(damaged)
        try:
            again = Manifest.read(path, Path())
        except LabError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")  # one that changes nothing need not be noticed
            assert "force=true" in message
        else:
            assert (again.digest, again.findings) == (manifest.digest, manifest.findings)

    def test_rows_that_are_not_those_of_the_checksum_are_refused(self, twelve, tmp_path):
        twelve.write(tmp_path / "m.parquet")
        table = pq.read_table(tmp_path / "m.parquet")
        swapped = table.take([1, 0, *range(2, 12)]).replace_schema_metadata(table.schema.metadata)
        pq.write_table(swapped, tmp_path / "m.parquet")
        with pytest.raises(LabError, match=r"m\.parquet: damaged: its rows .*prepare with force=true"):
            Manifest.read(tmp_path / "m.parquet", tmp_path)

    @pytest.mark.parametrize("kept", [{}, {b"deepfake_lab.findings": b"[]"}])
    def test_files_from_before_checksums_are_read(self, twelve, tmp_path, kept):
        pq.write_table(twelve.table.replace_schema_metadata(kept), tmp_path / "m.parquet")
        assert Manifest.read(tmp_path / "m.parquet", tmp_path).digest == twelve.digest

    def test_other_columns(self, twelve, tmp_path):
        pq.write_table(twelve.table.drop_columns(["group"]), tmp_path / "m.parquet")
        with pytest.raises(LabError, match=r"m\.parquet: columns .*expected .*force=true"):
            Manifest.read(tmp_path / "m.parquet", tmp_path)

    def test_files_from_before_partial_spoofs_are_read_as_having_none(self, twelve, tmp_path):
        pq.write_table(twelve.table.drop_columns(["spoof_spans"]), tmp_path / "m.parquet")
        again = Manifest.read(tmp_path / "m.parquet", tmp_path)
        assert (again.table.schema, again.digest) == (SCHEMA, twelve.digest)
        assert not len(again.partial_spoofs())

    def test_other_types(self, twelve, tmp_path):
        index = SCHEMA.get_field_index("label")
        pq.write_table(twelve.table.set_column(index, "label", pa.array([500] * 12)), tmp_path / "m.parquet")
        with pytest.raises(LabError, match="not a readable manifest"):
            Manifest.read(tmp_path / "m.parquet", tmp_path)

    def test_reading_validates(self, tmp_path):
        manifest([row(0, label=1)]).write(tmp_path / "m.parquet")
        with pytest.raises(LabError, match="contradict"):
            Manifest.read(tmp_path / "m.parquet", tmp_path)


class TestDigest:
    def test_is_of_the_values_however_they_lie_in_memory(self, twelve):
        table = twelve.table
        layouts = [
            pa.concat_tables([table.slice(0, 5), table.slice(5)]),
            pa.concat_tables([table, table]).slice(12),
            table.take(list(range(12))),
            table.combine_chunks(),
            table.replace_schema_metadata({"made": "today"}),
        ]
        for layout in layouts:
            assert Manifest(layout, Path("other"), "other").digest == twelve.digest

    @given(number=st.integers(0, 11), column=st.sampled_from(SCHEMA.names))
    def test_changes_with_any_cell(self, number, column):
        rows = [row(other) for other in range(12)]
        before = manifest(rows).digest
        value = rows[number][column]
        rows[number][column] = value + 1 if isinstance(value, int) else f"{value}x"
        assert manifest(rows).digest != before

    def test_changes_with_order_and_with_where_a_text_ends(self, twelve):
        assert Manifest(twelve.table.take(list(range(12))[::-1]), Path(), "").digest != twelve.digest
        shifted = (manifest([row(0, speaker=a, group=b)]).digest for a, b in (('x","y', "z"), ("x", 'y","z')))
        assert len(set(shifted)) == 2


class TestValidation:
    def refusal(self, **changes):
        rows = [row(0), row(1, **changes), row(2)]
        with pytest.raises(LabError) as caught:
            manifest(rows).validate()
        return str(caught.value)

    def test_good_rows_pass(self, twelve):
        twelve.validate()

    @pytest.mark.parametrize("column", sorted(set(SCHEMA.names) - {"key"}))
    def test_no_value(self, column):
        message = self.refusal(**{column: None})
        assert f"the rows: no value for '{column}' in 1 rows, such as u1" in message
        assert "force=true" in message

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"key": None}, "no value for 'key'"),
            ({"split": "eval"}, "split is not one of train, dev, test in 1 rows, such as u1"),
            ({"label": 2}, "label is not 0 (bonafide) or 1 (spoof)"),
            ({"label": -1}, "label is not 0"),
            ({"label": 0}, "label and attack contradict"),
            ({"attack": NO_ATTACK}, "label and attack contradict"),
            ({"frames": 0}, "'frames' is not positive"),
            ({"sample_rate": -1}, "'sample_rate' is not positive"),
            ({"channels": 0}, "'channels' is not positive"),
            ({"start": -1}, "'start' is negative"),
            ({"key": "u0"}, "1 duplicate keys, such as u0"),
            ({"spoof_spans": "0.2-0.8 0.9-1.1"}, "'spoof_spans' are not stretches in seconds such as"),
            ({"label": 0, "attack": NO_ATTACK, "spoof_spans": "0.2-0.8"}, "bona fide, and yet with 'spoof_spans'"),
        ],
    )
    def test_bad_value(self, changes, complaint):
        assert complaint in self.refusal(**changes)

    def test_absent_text_and_start_have_defaults(self):
        unknown = {name: "-" for name in ("codec", "speaker", "gender", "language", "audio_hash", "spoof_spans")}
        found = {"start": 0, "speech_start": 0, "speech_frames": 16_001}
        short = {name: value for name, value in row(1).items() if name not in (*unknown, *found)}
        (made,) = manifest([short]).table.to_pylist()
        assert made == row(1, **unknown, **found)


def test_splits_and_counts(twelve):
    assert twelve.counts() == {"train": (2, 2), "dev": (2, 2), "test": (2, 2)}
    assert twelve.split("dev").table["key"].to_pylist() == ["u1", "u4", "u7", "u10"]
    assert manifest([row(0), row(3), row(6)]).counts() == {"train": (2, 1), "dev": (0, 0), "test": (0, 0)}


def test_partial_spoofs_are_those_whose_fake_stretches_are_known():
    some = manifest([row(0), row(1, spoof_spans="0.1-0.9"), row(2), row(3)])
    some.validate()
    assert some.partial_spoofs().table["key"].to_pylist() == ["u1"]
    shuffled = some.with_shuffled_labels(seed=0)
    shuffled.validate()
    assert not len(shuffled.partial_spoofs())


class TestShuffledLabels:
    many = manifest(row(number, attack=f"lab/a{number}") if number % 2 else row(number) for number in range(300))

    def test_keep_the_counts_of_each_split_and_every_other_column(self):
        shuffled = self.many.with_shuffled_labels(seed=1)
        shuffled.validate()  # so label and attack have moved together
        assert shuffled.counts() == self.many.counts()
        for split in SPLITS:
            attacks = [sorted(m.split(split).table["attack"].to_pylist()) for m in (shuffled, self.many)]
            assert attacks[0] == attacks[1]
        others = [name for name in SCHEMA.names if name not in ("label", "attack")]
        assert shuffled.table.select(others).equals(self.many.table.select(others))
        assert "shuffled" in shuffled.source

    def test_tell_nothing_of_the_truth(self):
        agreement = np.mean(
            [
                np.mean(
                    self.many.with_shuffled_labels(seed).table["label"].to_numpy()
                    == self.many.table["label"].to_numpy()
                )
                for seed in range(20)
            ]
        )
        assert agreement == pytest.approx(0.5, abs=0.03)

    def test_depend_on_the_seed_alone(self):
        first, again, other = (self.many.with_shuffled_labels(seed).digest for seed in (1, 1, 2))
        assert first == again
        assert first not in (other, self.many.digest)
