"""MLAAD: lists whose transcripts hold anything, models with blanks in their names, clips in no list, no real speech."""

from collections import defaultdict

import make_mlaad
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.mlaad import Mlaad
from deepfake_lab.types import SPLITS, LabError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_mlaad.make(tmp_path_factory.mktemp("disk"))["root"]


@pytest.fixture
def own(tmp_path):
    """A copy to spoil."""
    return make_mlaad.make(tmp_path)["root"]


def rows(root, **settings):
    return Mlaad(root, "unused", **settings).parse().table.to_pylist()


def test_every_clip_is_there_whatever_its_transcript_holds(root):
    found = rows(root)
    assert {row["path"] for row in found} == {str(path.relative_to(root)) for path in root.rglob("*.wav")}
    assert len(found) == len(make_mlaad.MODELS) * (make_mlaad.CLIPS + 1)
    assert {row["label"] for row in found} == {1}
    assert {(row["language"], row["attack"]) for row in found} == {
        ("en", "mlaad/tts_models_en_ljspeech_vits"),
        ("en", "mlaad/OpenAI_TTS-1_HD_(new)"),
        ("de", "mlaad/tts_models_multilingual_multi-dataset_xtts_v2"),
        ("uk", "mlaad/tts_models_multilingual_multi-dataset_xtts_v2"),
    }


def test_a_group_is_the_recording_that_the_text_comes_from(root):
    groups = defaultdict(list)
    for row in rows(root):
        groups[row["group"]].append(row)
    for number in range(make_mlaad.CLIPS):
        assert len(groups.pop(f"mailabs/{make_mlaad.original(number).removesuffix('.wav')}")) == len(make_mlaad.MODELS)
    assert set(groups) == {
        f"mlaad/{language}/{model}/northandsouth_01_f{make_mlaad.CLIPS:06d}" for language, model in make_mlaad.MODELS
    }


def test_clips_in_no_list_are_counted(root):
    (finding,) = Mlaad(root, "unused").parse().findings
    assert (finding.code, finding.number) == ("unlisted", len(make_mlaad.MODELS))


def test_a_model_without_its_list_is_taken_by_its_files(own):
    meta = own / "fake" / "de" / "tts_models_multilingual_multi-dataset_xtts_v2" / "meta.csv"
    meta.unlink()
    german = [row for row in rows(own) if row["language"] == "de"]
    assert len(german) == make_mlaad.CLIPS + 1
    assert {row["group"].partition("/")[0] for row in german} == {"mlaad"}


def test_columns_are_found_by_name(own):
    meta = own / "fake" / "en" / "tts_models_en_ljspeech_vits" / "meta.csv"
    meta.write_text("original_file|path\n./ru_RU/x/wavs/y.wav|northandsouth_01_f000000.wav\n")
    groups = {row["key"]: row["group"] for row in rows(own)}
    assert groups["en/tts_models_en_ljspeech_vits/northandsouth_01_f000000"] == "mailabs/ru_RU/x/wavs/y"
    meta.write_text("file,label\na.wav,1\n")
    with pytest.raises(LabError, match=r"meta\.csv, line 1: no column 'path': 'file,label'"):
        rows(own)


def test_what_lists_name_and_nobody_has_is_missing_not_forgotten(own, tmp_path):
    (own / "fake" / "uk" / "tts_models_multilingual_multi-dataset_xtts_v2" / "northandsouth_01_f000003.wav").unlink()
    with pytest.raises(LabError, match=r"1 files cannot be used \(1 missing"):
        Mlaad(own, tmp_path / "work", workers=1).prepare()


def test_everything_is_for_testing_unless_one_says_otherwise(root):
    assert {row["split"] for row in rows(root)} == {"test"}
    assert {row["split"] for row in rows(root, split="train")} == {"train"}


@given(st.integers(0, 1000))
def test_by_group_no_text_is_in_two_splits(root, seed):
    splits = defaultdict(set)
    for row in rows(root, split="by_group", seed=seed):
        splits[row["group"]].add(row["split"])
    assert {len(found) for found in splits.values()} == {1}
    assert set.union(*splits.values()) == set(SPLITS)


@pytest.mark.parametrize("split", ["test", "by_group"])
def test_alone_it_is_refused_with_the_way_out(root, tmp_path, split):
    manifest = Mlaad(root, tmp_path, split=split, workers=1).prepare()
    with pytest.raises(LabError, match=r"holds no bonafide utterance.*data=mix"):
        guards.check(manifest, stages=["test"])


def test_an_empty_download(tmp_path):
    (tmp_path / "fake" / "en").mkdir(parents=True)
    (tmp_path / "fake" / "en" / "notes.txt").touch()
    with pytest.raises(LabError, match="holds no LANGUAGE/MODEL folder"):
        Mlaad(tmp_path, tmp_path / "work").prepare()
