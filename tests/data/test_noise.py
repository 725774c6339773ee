"""Noise collections: found, checked, split by what sounds alike, and never taken for a corpus."""

import collections
import importlib
import shutil

import make_demand
import pyarrow as pa
import pytest
from hydra.utils import get_class
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from signals import write

from deepfake_lab import config
from deepfake_lab.data.corpora.demand import Demand
from deepfake_lab.data.corpora.musan import Musan
from deepfake_lab.data.corpora.rirs import Rirs
from deepfake_lab.data.corpora.toy import Toy
from deepfake_lab.data.noise import NOISE_SCHEMA, Contents, NoiseCollection, NoiseManifest, with_trials
from deepfake_lab.types import SPLITS, LabError

CLASSES = {path.stem: get_class(OmegaConf.load(path)["_target_"]) for path in (config.CONF / "data").glob("*.yaml")}
COLLECTIONS = sorted(name for name, found in CLASSES.items() if issubclass(found, NoiseCollection))


def test_there_are_three():
    assert COLLECTIONS == ["demand", "musan", "rirs"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Folder of each tiny download."""
    folder = tmp_path_factory.mktemp("disk") / "my [big] disk"
    return {name: importlib.import_module(f"make_{name}").make(folder)["root"] for name in COLLECTIONS}


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module", params=COLLECTIONS)
def prepared(request, roots, work):
    """A collection as its configuration makes it, and its manifest."""
    node = OmegaConf.load(config.CONF / "data" / f"{request.param}.yaml")
    node = OmegaConf.merge(node, {"root": str(roots[request.param]), "work": str(work / request.param)})
    collection = config.build(OmegaConf.to_container(node))
    return collection, collection.prepare()


def groups_of(manifest):
    """Groups of each split."""
    groups = collections.defaultdict(set)
    for row in manifest.table.to_pylist():
        groups[row["split"]].add(row["group"])
    return groups


class TestEvery:
    def test_file_is_described_as_it_is(self, prepared):
        _, manifest = prepared
        assert manifest.table.schema.equals(NOISE_SCHEMA)
        for row in manifest.table.to_pylist():
            assert (manifest.root / row["path"]).is_file()
            assert (row["start"], row["sample_rate"], row["channels"]) == (0, 16_000, 1)
            assert row["frames"] == (1_600 if "simulated" in row["path"] else 4_000)
            assert len(row["audio_hash"]) == 16
        assert len(set(manifest.table["audio_hash"].to_pylist())) == len(manifest)

    def test_split_has_groups_of_its_own(self, prepared):
        _, manifest = prepared
        groups = groups_of(manifest)
        assert set(groups) == set(SPLITS)
        assert sum(map(len, groups.values())) == len(set.union(*groups.values()))

    def test_split_has_every_kind(self, prepared):
        _, manifest = prepared
        kinds = set(manifest.table["kind"].to_pylist())
        assert {(one.kind, one.split) for one in manifest.contents()} == {(k, s) for k in kinds for s in SPLITS}
        assert sum(one.files for one in manifest.contents()) == len(manifest)

    def test_manifest_is_read_again_and_rebuilt_by_force(self, prepared):
        collection, manifest = prepared
        written = collection.manifest_path.stat().st_mtime_ns
        assert collection.prepare().digest == manifest.digest
        assert collection.manifest_path.stat().st_mtime_ns == written
        assert collection.prepare(force=True).digest == manifest.digest
        assert collection.manifest_path.stat().st_mtime_ns > written

    def test_wrong_folder_is_answered_with_the_right_one(self, prepared, work):
        collection, _ = prepared
        wrong = type(collection)(collection.root.parent / "empty", work)
        with pytest.raises(LabError, match="no such folder"):
            wrong.prepare()
        inside = type(collection)(next(path for path in collection.root.iterdir() if path.is_dir()), work)
        with pytest.raises(
            LabError, match=rf"The {collection.name} release is here: data.root=.*{collection.root.name}"
        ):
            inside.prepare()

    def test_damaged_file_is_refused_or_skipped(self, prepared, tmp_path):
        collection, manifest = prepared
        root = shutil.copytree(collection.root, tmp_path / "copy")
        broken = manifest.table["path"][0].as_py()
        (root / broken).write_bytes(b"no audio")
        with pytest.raises(LabError, match=r"1 files cannot be used \(0 missing, 1 unreadable\)"):
            type(collection)(root, tmp_path / "work").prepare()
        skipping = type(collection)(root, tmp_path / "work", on_error="skip").prepare()
        assert [finding.number for finding in skipping.findings if finding.code == "skipped"] == [1]
        assert len(skipping) == len(manifest) - 1

    def test_run_is_refused(self, prepared):
        collection, _ = prepared
        with pytest.raises(LabError, match=rf"data={collection.name}: holds noise, no trials"):
            with_trials(collection)

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 10_000), train=st.floats(0.1, 1), rest=st.floats(0.05, 1))
    def test_seed_and_share_keeps_groups_whole(self, prepared, seed, train, rest):
        collection, _ = prepared
        other = type(collection)(
            collection.root, collection.work, seed=seed, shares={"train": train, "dev": rest, "test": rest}
        )
        groups = groups_of(other.prepare())
        assert set(groups) == set(SPLITS)
        assert sum(map(len, groups.values())) == len(set.union(*groups.values()))


def test_a_corpus_has_trials(tmp_path):
    toy = Toy(tmp_path)
    assert with_trials(toy) is toy


class TestDemand:
    def test_takes_one_channel_of_each_environment(self, roots, work):
        manifest = Demand(roots["demand"], work / "one").prepare()
        assert {row["path"].partition("/")[2] for row in manifest.table.to_pylist()} == {"ch01.wav"}
        assert len(manifest) == len(make_demand.ENVIRONMENTS)
        assert [finding.text for finding in manifest.findings] == ["10 groups, 18 published"]

    def test_channels_of_an_environment_stay_together(self, roots, work):
        manifest = Demand(roots["demand"], work / "more", channels=[3, 1]).prepare()
        assert len(manifest) == 20
        assert "TCAR/ch03.wav" in manifest.table["path"].to_pylist()
        splits = {(row["group"], row["split"]) for row in manifest.table.to_pylist()}
        assert len(splits) == 10

    def test_an_absent_channel_is_a_missing_file(self, roots, tmp_path):
        with pytest.raises(LabError, match=r"10 files cannot be used \(10 missing"):
            Demand(roots["demand"], tmp_path, channels=[1, 16]).prepare()

    @pytest.mark.parametrize("channels", [[0], [17], []])
    def test_there_are_sixteen_channels(self, roots, tmp_path, channels):
        with pytest.raises(LabError, match="name microphones from 1 to 16"):
            Demand(roots["demand"], tmp_path, channels=channels)

    def test_48_khz_is_as_good(self, tmp_path):
        root = make_demand.make(tmp_path, rate=48_000)["root"]
        manifest = Demand(root, tmp_path / "work").prepare()
        assert set(manifest.table["sample_rate"].to_pylist()) == {48_000}
        assert {finding.code for finding in manifest.findings} == {"counts"}


class TestMusan:
    def test_kinds_are_folders(self, roots, work):
        manifest = Musan(roots["musan"], work / "musan").prepare()
        kinds = collections.Counter((row["kind"], row["path"].partition("/")[0]) for row in manifest.table.to_pylist())
        assert kinds == {("noise", "noise"): 6, ("music", "music"): 15, ("speech", "speech"): 6}
        assert "musan/noise-free-sound-0000" in manifest.table["group"].to_pylist()

    def test_another_rate_is_told(self, roots, tmp_path):
        root = shutil.copytree(roots["musan"], tmp_path / "musan")
        write(root / "noise" / "free-sound" / "noise-free-sound-0000.wav", 1, rate=44_100)
        manifest = Musan(root, tmp_path / "work").prepare()
        assert [(finding.code, finding.number) for finding in manifest.findings] == [("sample_rate", 1)]


class TestRirs:
    def test_kinds_and_groups(self, roots, work):
        rows = {row["path"]: row for row in Rirs(roots["rirs"], work / "rirs").prepare().table.to_pylist()}
        expected = {
            "simulated_rirs/smallroom/Room001/Room001-00002.wav": ("rir", "rirs/smallroom/Room001"),
            "simulated_rirs/largeroom/Room001/Room001-00001.wav": ("rir", "rirs/largeroom/Room001"),
            "real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav": ("rir", "rirs/RVB2014"),
            "real_rirs_isotropic_noises/RVB2014_type1_noise_largeroom1_1.wav": ("noise", "rirs/RVB2014"),
            "real_rirs_isotropic_noises/RWCP_type3_noise_ofc.wav": ("noise", "rirs/RWCP"),
            "real_rirs_isotropic_noises/air_type1_air_binaural_lecture_0_1.wav": ("rir", "rirs/air"),
            "pointsource_noises/noise-free-sound-0003.wav": ("noise", "musan/noise-free-sound-0003"),
        }
        assert {path: (rows[path]["kind"], rows[path]["group"]) for path in expected} == expected
        assert len(rows) == 3 * 4 * 2 + 6 + 5

    def test_rooms_of_every_size_are_in_every_split(self, roots, work):
        manifest = Rirs(roots["rirs"], work / "rirs").prepare()
        sizes = {
            (row["split"], row["path"].split("/")[1]) for row in manifest.table.to_pylist() if "sim" in row["path"]
        }
        assert len(sizes) == 9


class TestManifest:
    rows = [  # noqa: RUF012
        {"kind": "noise", "group": "a", "split": "train", "frames": 16_000 * 1_800},
        {"kind": "noise", "group": "b", "split": "test", "frames": 16_000 * 3_600},
        {"kind": "rir", "group": "c", "split": "test", "frames": 16_000 * 36},
        {"kind": "noise", "group": "a", "split": "train", "frames": 16_000 * 1_800},
    ]

    def made(self, tmp_path, **changes):
        rows = [
            {"key": str(n), "path": f"{n}.wav", "start": 0, "sample_rate": 16_000, "channels": 1}
            | {"audio_hash": "-", "corpus": "x"}
            | row
            for n, row in enumerate(self.rows)
        ]
        rows[0] |= changes
        return NoiseManifest(pa.Table.from_pylist(rows, schema=NOISE_SCHEMA), tmp_path, "made")

    def test_contents(self, tmp_path):
        assert self.made(tmp_path).contents() == [
            Contents("noise", "train", 2, 1.0),
            Contents("noise", "test", 1, 1.0),
            Contents("rir", "test", 1, 0.01),
        ]

    def test_is_read_as_it_was_written(self, tmp_path):
        made = self.made(tmp_path)
        made.write(tmp_path / "m.parquet")
        read = NoiseManifest.read(tmp_path / "m.parquet", tmp_path)
        assert read.digest == made.digest
        assert len(read.split("test")) == 2
        assert isinstance(read.split("test"), NoiseManifest)

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"kind": "birds"}, "kind is not one of noise, music, speech, rir in 1 rows, such as 0"),
            ({"split": "dev"}, "the group lies in several splits in 2 rows, such as 0, 3"),
            ({"frames": 0}, "'frames' is not positive in 1 rows"),
            ({"key": "1"}, "1 duplicate keys, such as 1"),
        ],
    )
    def test_contradictions_are_refused(self, tmp_path, changes, complaint):
        with pytest.raises(LabError, match=complaint):
            self.made(tmp_path, **changes).validate()
