"""WaveFake: three ways to name clips, a nested copy, lengths that tell, sentences that must stay together."""

import shutil
from collections import Counter, defaultdict

import make_wavefake
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_ljspeech import ids
from make_wavefake import JSUT_IDS

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.wavefake import WaveFake
from deepfake_lab.types import SPLITS, LabError

VOCODERS = [*make_wavefake.GAN_FOLDERS, "hifigan", "waveglow"]
PROMPTS = "conformer_fastspeech2_pwg"
CLIPS = {
    "bonafide": len(ids()) + len(JSUT_IDS),
    **{f"wavefake/{vocoder}": len(ids()) for vocoder in VOCODERS},
    "wavefake/jsut_multi_band_melgan": len(JSUT_IDS),
    "wavefake/jsut_parallel_wavegan": len(JSUT_IDS),
    f"wavefake/{PROMPTS}": 24,
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return make_wavefake.make(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def manifest(disk, tmp_path_factory):
    return opened(disk, tmp_path_factory.mktemp("work")).prepare()


def opened(disk, work="unused", **settings):
    return WaveFake(
        disk["root"], work, **{**{key: disk[key] for key in disk if key != "root"}, "workers": 1, **settings}
    )


def rows(corpus):
    return corpus.parse().table.to_pylist()


def test_every_clip_is_there_once_whatever_it_is_called(manifest):
    table = manifest.table
    assert Counter(table["attack"].to_pylist()) == CLIPS
    of = defaultdict(set)
    for row in table.to_pylist():
        if row["group"].startswith("ljspeech/"):
            of[row["attack"]].add(row["key"][:10])
    assert {attack: sorted(found) for attack, found in of.items()} == {
        attack: ids() for attack in ("bonafide", *(f"wavefake/{vocoder}" for vocoder in VOCODERS))
    }
    assert "wavefake/ljspeech_hifiGAN" not in of


def test_the_nested_copy_is_not_read(manifest, disk):
    assert len(list((disk["root"] / make_wavefake.PROMPTS / "generated").glob("*.wav"))) == 24
    assert not [path for path in manifest.table["path"].to_pylist() if "/generated/" in path]
    hashes = manifest.table["audio_hash"].to_pylist()
    prompts = [h for h, a in zip(hashes, manifest.table["attack"].to_pylist(), strict=True) if a.endswith(PROMPTS)]
    assert len(prompts) == len(set(prompts)) == 24


def test_every_sentence_goes_with_its_fakes(manifest):
    chapters = {row["key"][:10]: row["split"] for row in manifest.table.to_pylist() if row["attack"] == "bonafide"}
    for row in manifest.table.to_pylist():
        if row["key"].startswith("LJ"):
            assert row["group"] == f"ljspeech/{row['key'][:5]}"
            assert row["split"] == chapters[row["key"][:10]]
        elif row["key"].startswith("BASIC"):
            assert row["group"] == f"jsut/{row['key'][:14]}"
            assert (row["speaker"], row["language"]) == ("jsut/jsut", "ja")
        else:
            assert row["group"] == f"wavefake/{row['key'].partition('-')[0]}"
            assert row["speaker"] == "ljspeech/LJ"
    guards.check(manifest)


def test_the_lengths_tell_the_fakes_as_they_do_in_the_release(manifest):
    for row in manifest.table.to_pylist():
        on_a_hop = row["frames"] % (300 if row["sample_rate"] == 24_000 else 256) == 0
        assert on_a_hop == (row["label"] == 1)


def test_rates_are_those_of_the_collections(manifest):
    found = {(row["group"].partition("/")[0], row["label"], row["sample_rate"]) for row in manifest.table.to_pylist()}
    assert found == {
        ("ljspeech", 0, 22_050),
        ("ljspeech", 1, 22_050),
        ("jsut", 0, 48_000),
        ("jsut", 1, 24_000),
        ("wavefake", 1, 22_050),
    }
    assert "sample_rate" not in {finding.code for finding in manifest.findings}


SHARES = st.fixed_dictionaries({split: st.floats(0.05, 1.0) for split in SPLITS})


@given(st.integers(0, 10_000), SHARES)
def test_no_group_crosses_splits_whatever_the_seed_and_the_shares(disk, seed, shares):
    table = opened(disk, seed=seed, shares=shares).parse().table
    splits = defaultdict(set)
    for group, split in zip(table["group"].to_pylist(), table["split"].to_pylist(), strict=True):
        splits[group].add(split)
    assert {len(found) for found in splits.values()} == {1}
    chapters = {split for group, (split,) in splits.items() if group.startswith("ljspeech/")}
    assert chapters == set(SPLITS)


def test_same_seed_same_splits(disk):
    assert rows(opened(disk, seed=4)) == rows(opened(disk, seed=4))
    assert rows(opened(disk, seed=4)) != rows(opened(disk, seed=5))


@given(st.sets(st.sampled_from([*VOCODERS, PROMPTS]), min_size=1), st.integers(0, 50))
def test_what_is_held_out_occurs_in_test_alone(disk, held_out, seed):
    held = {f"wavefake/{name}" for name in held_out}
    parsed = opened(disk, seed=seed, held_out=sorted(held_out)).parse()
    everything = rows(opened(disk, seed=seed))
    found = parsed.table.to_pylist()
    assert {row["split"] for row in found if row["attack"] in held} == {"test"}
    assert found == [row for row in everything if row["attack"] not in held or row["split"] == "test"]
    (finding,) = [finding for finding in parsed.findings if finding.code == "held_out"]
    assert finding.number == len(everything) - len(found) > 0


def test_attacks_can_be_chosen(disk):
    found = {row["attack"] for row in rows(opened(disk, attacks=["hifigan", "waveglow"]))}
    assert found == {"bonafide", "wavefake/hifigan", "wavefake/waveglow"}


@pytest.mark.parametrize("key", ["attacks", "held_out"])
def test_an_unknown_name_is_answered_with_the_nearest(disk, key):
    with pytest.raises(LabError, match=rf"data\.{key}: there is no 'HiFiGANN'\. Did you mean hifigan"):
        opened(disk, **{key: ["melgan", "HiFiGANN"]})


def test_without_jsut_its_fakes_are_left_out_and_that_is_said(disk):
    parsed = opened(disk, jsut_root=None).parse()
    assert {row["language"] for row in parsed.table.to_pylist()} == {"en"}
    (finding,) = [finding for finding in parsed.findings if finding.code == "jsut"]
    assert "data.jsut_root" in finding.text
    assert finding.number == 2


def test_absent_folders_are_said_and_only_nothing_at_all_is_an_error(disk, tmp_path):
    part = {**disk, "root": tmp_path / "generated_audio"}
    for folder in ("ljspeech_melgan", "ljspeech_hifiGAN"):
        shutil.copytree(disk["root"] / folder, part["root"] / folder)
    parsed = opened(part).parse()
    assert {row["attack"] for row in parsed.table.to_pylist()} == {"bonafide", "wavefake/melgan", "wavefake/hifigan"}
    assert {row["language"] for row in parsed.table.to_pylist()} == {"en"}  # nor real clips without fakes
    assert sum(finding.number for finding in parsed.findings if finding.code == "absent") == 8
    with pytest.raises(LabError, match=r"none of the chosen fakes is there \(ljspeech_waveglow\)"):
        opened(part, attacks=["waveglow"]).parse()


def test_published_numbers_are_compared(disk):
    texts = [finding.text for finding in opened(disk).parse().findings if finding.code == "counts"]
    assert "LJSpeech: 50 clips, 13,100 published" in texts
    assert "ljspeech_waveglow: 50 clips, 13,100 published" in texts
    assert f"{make_wavefake.PROMPTS}: 24 clips, 16,283 published" in texts
    assert len(texts) == 11


def test_files_called_otherwise_are_counted(disk, tmp_path):
    part = {**disk, "root": tmp_path / "generated_audio"}
    shutil.copytree(disk["root"] / "ljspeech_melgan", part["root"] / "ljspeech_melgan")
    (part["root"] / "ljspeech_melgan" / "LJ001-0001_gen.wav").rename(part["root"] / "ljspeech_melgan" / "lj1.wav")
    parsed = opened(part).parse()
    (finding,) = [finding for finding in parsed.findings if finding.code == "strange_names"]
    assert finding.number == 1
    assert "lj1.wav" in finding.text
    assert len([row for row in parsed.table.to_pylist() if row["label"]]) == len(ids()) - 1


def test_a_wrong_ljspeech_or_jsut_folder_is_named(disk, tmp_path):
    lj = disk["ljspeech_root"]
    with pytest.raises(LabError, match=r"data\.ljspeech_root=.*wavs: .*is here: data\.ljspeech_root=.*LJSpeech-1\.1"):
        opened(disk, tmp_path, ljspeech_root=lj / "wavs").prepare()
    with pytest.raises(LabError, match=r"data\.jsut_root=.*is here: data\.jsut_root=.*jsut_ver1\.1"):
        opened(disk, tmp_path, jsut_root=disk["jsut_root"] / "basic5000").prepare()
