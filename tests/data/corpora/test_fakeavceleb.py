"""FakeAVCeleb: whose audio is real, which sounds are kept, who comes to which split."""

import collections
import shutil

import make_fakeavceleb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.fakeavceleb import FakeAVCeleb
from deepfake_lab.types import BONAFIDE, SPOOF, LabError

VIDEOS = 8 * len(make_fakeavceleb.FILES)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return make_fakeavceleb.make(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder that all tests of the unchanged download may share: files are looked at once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def manifest(found, work):
    return FakeAVCeleb(found["root"], work).prepare()


@pytest.fixture
def copy(found, tmp_path):
    """A download of one's own to spoil."""
    return shutil.copytree(found["root"], tmp_path / "FakeAVCeleb_v1.2")


def rows(manifest):
    return manifest.table.to_pylist()


def numbers(manifest):
    return {finding.code: finding.number for finding in manifest.findings}


def kind(path):
    return path.partition("/")[0]


def rewrite(root, change):
    """Puts `change` of the lines into the place of `meta_data.csv`."""
    path = root / "meta_data.csv"
    path.write_text("\n".join(change(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")


class TestLabels:
    def test_follow_the_audio_half_of_the_type(self, found, tmp_path):
        manifest = FakeAVCeleb(found["root"], tmp_path, check="header").prepare()
        labels = collections.defaultdict(set)
        for row in rows(manifest):
            labels[kind(row["path"])].add((row["label"], row["attack"]))
        assert labels == {
            "RealVideo-RealAudio": {(BONAFIDE, "bonafide")},
            "FakeVideo-RealAudio": {(BONAFIDE, "bonafide")},
            "RealVideo-FakeAudio": {(SPOOF, "fakeavceleb/sv2tts")},
            "FakeVideo-FakeAudio": {(SPOOF, "fakeavceleb/sv2tts")},
        }

    def test_speaker_group_and_gender_are_the_identitys(self, manifest):
        (row,) = [row for row in rows(manifest) if row["path"].endswith("RealAudio/African/men/id00076/00109.mp4")]
        assert row["speaker"] == row["group"] == "voxceleb2/id00076"
        assert row["gender"] == "M"
        assert {row["gender"] for row in rows(manifest) if "/women/" in row["path"]} == {"F"}

    def test_only_cloned_voices_begin_with_a_long_silence(self, manifest):
        lead = {label: {row["speech_start"] for row in rows(manifest) if row["label"] == label} for label in (0, 1)}
        assert max(lead[BONAFIDE]) <= 320
        assert min(lead[SPOOF]) >= 2_400


class TestEqualSound:
    def test_is_kept_once(self, manifest):
        hashes = [row["audio_hash"] for row in rows(manifest)]
        assert len(set(hashes)) == len(hashes)
        dropped = numbers(manifest)["duplicate_audio"] + numbers(manifest)["contradictory_audio"]
        assert len(manifest) + dropped == VIDEOS

    def test_is_kept_of_the_video_that_is_least_changed(self, manifest):
        kept = collections.Counter((kind(row["path"]), row["path"].rpartition("/")[2][:5]) for row in rows(manifest))
        assert kept == {
            ("RealVideo-RealAudio", "00109"): 8,
            ("RealVideo-FakeAudio", "00109"): 8,
            ("FakeVideo-RealAudio", "00210"): 6,  # of the eight, one is foreign and one contradictory
            ("FakeVideo-FakeAudio", "00210"): 7,
        }
        assert numbers(manifest)["duplicate_audio"] == 17

    def test_of_two_identities_stays_with_the_first(self, manifest):
        assert numbers(manifest)["shared_audio"] == 1
        owner, other = (make_fakeavceleb.row(identity, file) for identity, file in ((0, 0), (3, 3)))
        paths = {row["path"] for row in rows(manifest)}
        assert f"{owner[-1]}/{owner[-2]}".removeprefix("FakeAVCeleb/") in paths
        assert f"{other[-1]}/{other[-2]}".removeprefix("FakeAVCeleb/") not in paths

    def test_with_both_labels_is_left_out(self, manifest):
        assert numbers(manifest)["contradictory_audio"] == 2
        torn = make_fakeavceleb.row(make_fakeavceleb.TORN, 0)[0]
        left = {
            (kind(row["path"]), row["path"].rpartition("/")[2][:5])
            for row in rows(manifest)
            if f"/{torn}/" in row["path"]
        }
        assert left == {("RealVideo-RealAudio", "00109"), ("RealVideo-FakeAudio", "00109")}

    def test_is_not_looked_for_in_headers(self, found, tmp_path):
        manifest = FakeAVCeleb(found["root"], tmp_path, check="header").prepare()
        assert len(manifest) == VIDEOS
        (finding,) = [finding for finding in manifest.findings if finding.code == "not_deduplicated"]
        assert "data.check=full" in finding.text

    def test_of_an_unusable_original_is_kept_of_its_copy(self, copy, tmp_path):
        original = copy / "RealVideo-RealAudio/African/men/id00076/00109.mp4"
        original.unlink()
        manifest = FakeAVCeleb(copy, tmp_path / "work", on_error="skip").prepare()
        assert "FakeVideo-RealAudio/African/men/id00076/00109_0_id00701.mp4" in manifest.table["path"].to_pylist()


class TestList:
    def test_rows_that_occur_twice_are_counted_and_taken_once(self, manifest):
        assert numbers(manifest)["duplicate_rows"] == make_fakeavceleb.LISTED_TWICE

    def test_numbers_that_differ_from_the_published_ones_are_told(self, manifest):
        told = [finding.text for finding in manifest.findings if finding.code == "counts"]
        assert told[0] == "category A: 8 videos, 500 published"
        assert len(told) == 4

    @pytest.mark.parametrize("names", ["filename,path", "path,filename", "path,"])
    def test_other_copies_name_the_columns_otherwise(self, copy, tmp_path, manifest, names):
        rewrite(copy, lambda lines: [lines[0].replace("path,", names), *lines[1:]])
        other = FakeAVCeleb(copy, tmp_path / "work").prepare()
        assert other.digest == manifest.digest

    def test_folder_before_file(self, copy, tmp_path, manifest):
        def swapped(line):
            *rest, file, folder = line.split(",")
            return ",".join([*rest, folder, file])

        rewrite(copy, lambda lines: [lines[0].replace("path,", "path,filename"), *map(swapped, lines[1:])])
        assert FakeAVCeleb(copy, tmp_path / "work").prepare().digest == manifest.digest

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            (lambda line: line.replace("00109.mp4", "00109.avi"), r"meta_data.csv, line 2: '00109.avi' is no .mp4"),
            (lambda line: line.replace(",A,", ",Z,"), r"meta_data.csv, line 2: 'Z' is none of A, B, C, D"),
            (lambda line: line.replace("RealVideo-RealAudio,", "Real,"), r"line 2: 'Real' is none of RealVideo-Real"),
            (lambda line: line.partition(",")[2], r"meta_data.csv, line 2: 9 fields, expected 10: '-,-,real,A"),
        ],
    )
    def test_a_wrong_line_is_named(self, copy, tmp_path, change, complaint):
        rewrite(copy, lambda lines: [lines[0], change(lines[1]), *lines[2:]])
        with pytest.raises(LabError, match=complaint):
            FakeAVCeleb(copy, tmp_path / "work").prepare()

    @pytest.mark.parametrize(
        ("change", "complaint"), [(("source", "who"), "no column source"), (("path,", "name,x"), "expected path and a")]
    )
    def test_a_foreign_header_is_refused(self, copy, tmp_path, change, complaint):
        rewrite(copy, lambda lines: [lines[0].replace(*change), *lines[1:]])
        with pytest.raises(LabError, match=complaint):
            FakeAVCeleb(copy, tmp_path / "work").prepare()

    def test_a_list_without_videos_is_refused(self, copy, tmp_path):
        rewrite(copy, lambda lines: lines[:1])
        with pytest.raises(LabError, match="its lists hold no utterance"):
            FakeAVCeleb(copy, tmp_path / "work").prepare()


def test_a_video_without_sound_is_a_problem_like_others(copy, tmp_path):
    mute = "RealVideo-RealAudio/Asian (East)/women/id00701/00109.mp4"
    make_fakeavceleb.write(copy / mute, None)
    with pytest.raises(LabError, match=r"1 files cannot be used .*00109.mp4: has no audio stream"):
        FakeAVCeleb(copy, tmp_path / "work").prepare()
    manifest = FakeAVCeleb(copy, tmp_path / "work", on_error="skip").prepare()
    assert numbers(manifest)["skipped"] == 1
    assert mute not in manifest.table["path"].to_pylist()


def test_categories_can_be_chosen(found, work):
    manifest = FakeAVCeleb(found["root"], work, categories=["D", "A"]).prepare()
    assert {kind(row["path"]) for row in rows(manifest)} == {"RealVideo-RealAudio", "FakeVideo-FakeAudio"}
    assert len([finding for finding in manifest.findings if finding.code == "counts"]) == 2


SHARES = st.tuples(st.floats(0.1, 1), st.floats(0.1, 1), st.floats(0.1, 1)).map(
    lambda shares: dict(zip(("train", "dev", "test"), shares, strict=True))
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), shares=SHARES)
def test_no_identity_is_in_two_splits_and_none_lacks(found, work, seed, shares):
    corpus = FakeAVCeleb(found["root"], work, seed=seed, shares=shares)
    parsed = corpus.parse().table
    assert set(parsed["split"].to_pylist()) == {"train", "dev", "test"}
    pairs = parsed.group_by(["group", "split"]).aggregate([])
    assert len(pairs) == 8
    assert corpus.parse().table.equals(parsed)


def test_the_seed_decides_who_comes_where(found, work, manifest):
    other = FakeAVCeleb(found["root"], work, seed=1).prepare()
    assert guards.shared_between_splits(other, "group") == set()
    assert other.table.drop(["split"]).equals(manifest.table.drop(["split"]))
    assert other.table["split"] != manifest.table["split"]
