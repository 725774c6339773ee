"""ASVspoof 2021 LA and DF: keys from elsewhere, subsets, codecs, origins, files that libsndfile does not read."""

import make_asvspoof2021_df
import make_asvspoof2021_la
import numpy as np
import pytest
import soundfile
from signals import noise

from deepfake_lab import audio
from deepfake_lab.data import guards
from deepfake_lab.data.corpora.asvspoof2021 import ASVspoof2021DF, ASVspoof2021LA
from deepfake_lab.types import LabError

TRACKS = {"LA": (ASVspoof2021LA, make_asvspoof2021_la), "DF": (ASVspoof2021DF, make_asvspoof2021_df)}
LA = "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim eval"
DF = "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -"


@pytest.fixture
def tiny(tmp_path):
    """Makes the tiny release of a track and opens it."""

    def make(track, **settings):
        corpus, script = TRACKS[track]
        return corpus(**script.make(tmp_path), work=tmp_path / "work", **settings)

    return make


def keys_of(corpus):
    return corpus.root / "keys" / corpus.track / "CM" / "trial_metadata.txt"


def with_lines(corpus, *lines, end="\n"):
    keys_of(corpus).write_bytes("".join(f"{line}{end}" for line in lines).encode())
    return corpus


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_logical_access_become_rows(tiny, end):
    real = "LA_0010 LA_E_9332882 none - bonafide bonafide notrim eval"
    fake, real = with_lines(tiny("LA"), LA, real, end=end).parse().table.to_pylist()
    assert fake == {
        "key": "asvspoof2021_la-LA_E_9332881",
        "path": "ASVspoof2021_LA_eval/flac/LA_E_9332881.flac",
        "label": 1,
        "attack": "asvspoof2021_la/A07",
        "codec": "alaw-ita_tx",
        "spoof_spans": "-",
        "speaker": "vctk/LA_0009",
        "group": "vctk/LA_0009",
        "gender": "-",
        "language": "en",
        "split": "test",
        "corpus": "asvspoof2021_la",
    }
    assert (real["label"], real["attack"], real["codec"]) == (0, "bonafide", "none")


def test_lines_of_deepfake_become_rows(tiny):
    other = "TEF2 DF_E_2000012 low_m4a vcc2020 Task1-team20 spoof notrim progress unknown Task1 team20 FF E"
    real = "VCC2TF1 DF_E_2000013 high_ogg vcc2018 - bonafide notrim progress bonafide - - - -"
    parsed = with_lines(tiny("DF", subset="progress"), DF, other, real).parse()
    columns = ("path", "label", "attack", "codec", "speaker", "group")
    folder = "ASVspoof2021_DF_eval/flac/DF_E_20000"
    assert [tuple(row[name] for name in columns) for row in parsed.table.to_pylist()] == [
        (f"{folder}11.flac", 1, "asvspoof2021_df/A14", "nocodec", *["vctk/LA_0023"] * 2),
        (f"{folder}12.flac", 1, "asvspoof2021_df/Task1-team20", "low_m4a", *["vcc2020/TEF2"] * 2),
        (f"{folder}13.flac", 0, "bonafide", "high_ogg", *["vcc2018/VCC2TF1"] * 2),
    ]
    assert [finding.code for finding in parsed.findings] == ["subset"]


@pytest.mark.parametrize("track", TRACKS)
def test_it_is_for_evaluation_alone(tiny, track):
    manifest = tiny(track).prepare()
    assert {finding.code for finding in guards.check(manifest, stages=["test"])} == {"counts", "subset", "small_corpus"}
    with pytest.raises(LabError, match=r"for evaluation alone.*stages=\[test\]"):
        guards.check(manifest)


@pytest.mark.parametrize(
    ("subset", "number", "compared"),
    [("eval", 40, True), ("progress", 10, False), ("hidden", 10, False), ("all", 60, False)],
)
def test_the_subset_is_taken_and_named(tiny, subset, number, compared):
    manifest = tiny("LA", subset=subset).prepare()
    assert len(manifest) == number
    (finding,) = [finding for finding in manifest.findings if finding.code == "subset"]
    assert (finding.text, finding.number) == (f"subset {subset}: {number} of 60 trials", number)
    assert ("counts" in {finding.code for finding in manifest.findings}) == compared


def test_each_subset_has_a_manifest_of_its_own(tiny, tmp_path):
    corpus = tiny("LA")
    other = ASVspoof2021LA(corpus.root, corpus.work, subset="all")
    elsewhere = ASVspoof2021LA(corpus.root, corpus.work, keys=tmp_path / "keys")
    assert len({corpus.manifest_path, other.manifest_path, elsewhere.manifest_path}) == 3


def test_a_subset_that_is_not_there(tiny):
    with pytest.raises(
        LabError, match=r"trial_metadata\.txt: no trial of data\.subset=evla\. It has eval, hidden, progress"
    ):
        tiny("LA", subset="evla").parse()


@pytest.mark.parametrize("where", ["keys", "ASVspoof2021_LA_eval/keys", "LA-keys-full/keys"])
def test_keys_are_found_in_the_download(tiny, where):
    corpus = tiny("LA")
    target = corpus.root / where
    target.parent.mkdir(exist_ok=True)
    (corpus.root / "keys").rename(target)
    assert len(corpus.parse().table) == 40


@pytest.mark.parametrize("named", ["elsewhere", "elsewhere/keys", "elsewhere/keys/LA"])
def test_keys_are_found_where_they_are_said_to_be(tiny, tmp_path, named):
    corpus = tiny("LA", keys=tmp_path / named)
    (tmp_path / "elsewhere").mkdir()
    (corpus.root / "keys").rename(tmp_path / "elsewhere" / "keys")
    assert len(corpus.parse().table) == 40


def test_missing_keys_are_asked_for(tiny):
    corpus = tiny("DF")
    keys_of(corpus).unlink()
    with pytest.raises(LabError, match=r"no keys/DF/CM/trial_metadata\.txt.*DF-keys-full\.tar\.gz.*data\.keys=DIR"):
        corpus.prepare()


@pytest.mark.parametrize(
    ("track", "line", "message"),
    [
        ("LA", DF, rf"line 2: 13 fields, expected 8: '{DF}'"),
        ("DF", LA, rf"line 2: 8 fields, expected 13: '{LA}'"),
    ],
)
def test_wrong_numbers_of_fields_are_named(tiny, track, line, message):
    right = {"LA": LA, "DF": DF}[track]
    with pytest.raises(LabError, match=rf"trial_metadata\.txt, {message}"):
        with_lines(tiny(track, subset="all"), right, line).parse()


def test_a_trial_that_stands_twice_is_refused(tiny):
    with pytest.raises(LabError, match="1 utterances are listed twice, such as asvspoof2021_la-LA_E_9332881"):
        with_lines(tiny("LA"), LA, LA).prepare()


@pytest.mark.parametrize(("track", "line"), [("LA", LA), ("DF", DF.replace("progress", "eval"))])
def test_unknown_codecs_and_attacks_are_remarked_and_kept(tiny, track, line):
    changed = line.replace("alaw", "8khz").replace("nocodec", "8khz").replace("A07", "A99").replace("A14", "A99")
    parsed = with_lines(tiny(track), line.replace("_E_", "_E_0"), changed).parse()
    assert [finding.code for finding in parsed.findings] == ["subset", "unknown_attack", "unknown_codec"]
    assert parsed.table["codec"][1].as_py().startswith("8khz")
    assert parsed.table["attack"][1].as_py().endswith("/A99")


def test_a_file_that_libsndfile_does_not_read_is_prepared_and_loaded(tiny):
    manifest = tiny("LA").prepare()
    row = manifest.table.slice(make_asvspoof2021_la.ODD, 1).to_pylist()[0]
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(manifest.root / row["path"])
    assert (row["frames"], row["sample_rate"], row["channels"]) == (1600, 16_000, 1)
    assert "skipped" not in {finding.code for finding in manifest.findings}
    wave = audio.load(manifest.root / row["path"], 400, 800)
    np.testing.assert_allclose(wave, noise(make_asvspoof2021_la.ODD, 1600)[400:1200], atol=1 / 32768)
