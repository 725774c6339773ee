"""ASVspoof 5: lists of ten, six and one fields, in both places; families; what may be missing and what may be odd."""

import re
import shutil

import make_asvspoof5
import pytest

from deepfake_lab.data.corpora.asvspoof5 import ASVspoof5
from deepfake_lab.types import LabError

TRAIN = """\
T_4850 T_0000000000 F - - - AC3 A05 spoof -
T_3734 T_0000000011 F - - - - bonafide bonafide -
"""
DEV = """\
D_0062 D_0000000001 F - - - AC1 A11 spoof -
D_0461 D_0000000190 M - - - - bonafide bonafide -
"""
EVAL = """\
E_1607 E_0009538969 M C05 2 E_0009486171 AC1 A26 spoof -
E_1607 E_0009486171 M - 0 - AC1 A26 spoof -
"""
LISTS = {"ASVspoof5.train.tsv": TRAIN, "ASVspoof5.dev.track_1.tsv": DEV, "ASVspoof5.eval.track_1.tsv": EVAL}


@pytest.fixture
def download(tmp_path):
    """Makes a download of lists and empty folders."""

    def make(lists=LISTS, folders=("flac_T", "flac_D", "flac_E_eval")):
        root = tmp_path / "disk"
        for folder in folders:
            (root / folder).mkdir(parents=True)
        for name, text in lists.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(text.encode())
        return ASVspoof5(root, tmp_path / "work")

    return make


def rows(parsed):
    return {row["key"].removeprefix("asvspoof5-"): row for row in parsed.table.to_pylist()}


def codes(parsed):
    return [finding.code for finding in parsed.findings]


def test_lines_of_the_release_become_rows(download):
    parsed = download().parse()
    assert parsed.findings == []
    found = rows(parsed)
    assert list(found) == [
        "T_0000000000",
        "T_0000000011",
        "D_0000000001",
        "D_0000000190",
        "E_0009538969",
        "E_0009486171",
    ]
    assert found["T_0000000000"] == {
        "key": "asvspoof5-T_0000000000",
        "path": "flac_T/T_0000000000.flac",
        "label": 1,
        "attack": "asvspoof5/A05",
        "codec": "-",
        "spoof_spans": "-",
        "speaker": "mls/T_4850",
        "group": "mls/T_0000000000",
        "gender": "F",
        "language": "en",
        "split": "train",
        "corpus": "asvspoof5",
    }
    real = found["D_0000000190"]
    assert (real["label"], real["attack"], real["split"], real["gender"]) == (0, "bonafide", "dev", "M")
    assert [found[key]["codec"] for key in ("E_0009538969", "E_0009486171")] == ["C05", "-"]
    assert {found[key]["group"] for key in ("E_0009538969", "E_0009486171")} == {"mls/E_0009486171"}


@pytest.mark.parametrize("lines", [TRAIN.replace("\n", "\r\n"), TRAIN.rstrip("\n"), f"\ufeff{TRAIN}", f"{TRAIN}\n"])
def test_ends_of_lines_and_byte_order_marks_do_not_matter(download, lines):
    parsed = download({"ASVspoof5.train.tsv": lines}, ["flac_T"]).parse()
    assert list(rows(parsed)) == ["T_0000000000", "T_0000000011"]
    assert parsed.table["attack"].to_pylist() == ["asvspoof5/A05", "bonafide"]


@pytest.mark.parametrize("name", ["ASVspoof5.train.metadata.txt", "ASVspoof5.train.metainfor.txt"])
def test_lists_of_six_fields(download, name):
    lines = "T_4850 T_0000000000 F - A05 spoof\nT_3734 T_0000000011 M - bonafide bonafide\n"
    found = rows(download({name: lines}, ["flac_T"]).parse())
    assert [row["attack"] for row in found.values()] == ["asvspoof5/A05", "bonafide"]
    assert found["T_0000000011"]["group"] == "mls/T_0000000011"
    assert found["T_0000000011"]["gender"] == "M"


def test_six_fields_of_the_evaluation_tell_no_families(download):
    corpus = download({"ASVspoof5.eval.metadata.txt": "E_1607 E_0009538969 M - A26 spoof\n"}, ["flac_E"])
    assert codes(corpus.parse()) == ["absent", "absent", "no_families"]


def test_the_list_that_tells_most_is_taken(download):
    eval_only = "E_0009538969\nE_0009486171\n"
    lists = {
        "ASVspoof5.eval.metadata.txt": "E_9999 E_0000000001 M - A26 spoof\n",
        "ASVspoof5_protocols/ASVspoof5.eval.track_1.tsv": EVAL,
        "ASVspoof5.track_1.eval.trial.txt": eval_only,
        "ASVspoof5.eval.track_2.trial.tsv": "E_1607 E_0009538969 spoof nontarget\n",
    }
    assert list(rows(download(lists, ["flac_E"]).parse())) == ["E_0009538969", "E_0009486171"]


def test_a_list_without_keys_is_refused(download):
    lists = {**LISTS, "ASVspoof5.eval.track_1.tsv": "E_0009538969\nE_0009486171\n"}
    with pytest.raises(LabError, match=r"ASVspoof5\.eval\.track_1\.tsv: .*no keys.*Put ASVspoof5\.eval\.track_1\.tsv"):
        download(lists).parse()


@pytest.mark.parametrize(
    ("lines", "number", "fields"),
    [
        ("T_1 T_0000000001 F - A05\n" + TRAIN, 1, "5 fields, expected 10 or 6 or 1: 'T_1 T_0000000001 F - A05'"),
        (TRAIN + "T_1 T_0000000001 F - A05 spoof\n", 3, "6 fields, expected 10: 'T_1 T_0000000001 F - A05 spoof'"),
        (TRAIN + "T_1 T_0000000001 F - - - AC3 A05 spoof - -\n", 3, "11 fields, expected 10: 'T_1 T_0000000001 F"),
        (TRAIN.replace(" F ", "  F "), 1, "11 fields, expected 10 or 6 or 1"),
    ],
)
def test_wrong_numbers_of_fields_are_named(download, lines, number, fields):
    with pytest.raises(LabError) as caught:
        download({"ASVspoof5.train.tsv": lines}).parse()
    assert f"ASVspoof5.train.tsv, line {number}: {fields}" in str(caught.value)


def test_a_key_that_is_none_is_named(download):
    with pytest.raises(LabError, match=r"ASVspoof5\.train\.tsv, line 2: 'real' is none of bonafide, spoof"):
        download({"ASVspoof5.train.tsv": TRAIN.replace("bonafide -", "real -")}).parse()


def test_a_line_that_stands_twice_is_refused(download):
    with pytest.raises(LabError, match="1 utterances are listed twice, such as asvspoof5-T_0000000000"):
        download({"ASVspoof5.train.tsv": TRAIN + TRAIN.splitlines()[0]}).prepare()


def test_unknown_codecs_and_attacks_are_remarked_and_kept(download):
    changed = EVAL.replace("C05", "C12").replace("A26 spoof", "A05 spoof")
    parsed = download({**LISTS, "ASVspoof5.eval.track_1.tsv": changed}).parse()
    assert [(finding.code, finding.number) for finding in parsed.findings] == [
        ("unknown_attack", 2),
        ("unknown_codec", 1),
    ]
    assert parsed.findings[0].text.endswith("A05")
    assert rows(parsed)["E_0009538969"]["codec"] == "C12"
    assert rows(parsed)["E_0009538969"]["attack"] == "asvspoof5/A05"


def test_a_bona_fide_line_with_an_attack_is_remarked(download):
    parsed = download({"ASVspoof5.train.tsv": TRAIN.replace("bonafide bonafide", "A05 bonafide")}, ["flac_T"]).parse()
    assert "unknown_attack" in codes(parsed)
    assert rows(parsed)["T_0000000011"]["attack"] == "bonafide"


def test_a_download_of_some_splits(download):
    parsed = download({"ASVspoof5.train.tsv": TRAIN, "ASVspoof5.eval.track_1.tsv": EVAL}, ["flac_T", "flac_D"]).parse()
    assert set(parsed.table["split"].to_pylist()) == {"train"}
    assert [finding.text for finding in parsed.findings] == [
        "dev: left out, since there is no list ASVspoof5.dev.track_1.tsv",
        "test: left out, since there is no folder flac_E_eval or flac_E",
    ]


def test_counts_are_compared_for_the_splits_that_are_there(tmp_path):
    found = make_asvspoof5.make(tmp_path)
    shutil.rmtree(found["root"] / "flac_E_eval")
    manifest = ASVspoof5(**found, work=tmp_path / "work").prepare()
    compared = [finding.text for finding in manifest.findings if finding.code == "counts"]
    assert compared[0] == "train: 12 bonafide utterances, 18,797 published"
    assert {text.partition(":")[0] for text in compared} == {"train", "dev"}


@pytest.mark.parametrize("lists", [{}, {"ASVspoof5.eval.track_1.tsv": EVAL}])
def test_a_download_of_no_whole_split_is_refused(download, lists):
    with pytest.raises(LabError, match=r"disk: no split is complete \(train: .*\.tsv.*ASVspoof5_protocols\.tar\.gz"):
        download(lists, ["flac_T", "flac_D"]).parse()


def test_every_combination_of_places(tmp_path):
    """Lists beside the audio, and the other name of the evaluation's folder."""
    found = make_asvspoof5.make(tmp_path)
    expected = ASVspoof5(**found, work=tmp_path / "a").prepare()
    protocols = found["root"] / "ASVspoof5_protocols"
    for path in protocols.iterdir():
        path.rename(found["root"] / path.name)
    protocols.rmdir()
    (found["root"] / "flac_E_eval").rename(found["root"] / "flac_E")
    moved = ASVspoof5(**found, work=tmp_path / "b").prepare()
    assert moved.table.drop(["path"]).equals(expected.table.drop(["path"]))
    assert len(moved) == 80  # files of Track 2 lie in the same folders


def test_the_evaluation_in_full_size(tmp_path):
    found = make_asvspoof5.make_full(tmp_path)
    parsed = ASVspoof5(**found, work=tmp_path / "work").parse()
    counts = parsed.table.group_by("label").aggregate([([], "count_all")]).to_pylist()
    assert {row["label"]: row["count_all"] for row in counts} == dict(enumerate(ASVspoof5.published["test"]))
    assert codes(parsed) == ["absent", "absent"]
    assert len(parsed.table["group"].unique()) == 138_688 // 4 + 542_086 // 4
    assert parsed.table.nbytes < 150e6


def test_prepare_says_what_is_there(lab):
    found = make_asvspoof5.make(lab.folder)
    status, printed = lab("prepare", "data=asvspoof5", f"data.root={found['root']}", "data.workers=1")
    assert status == 0, printed
    assert re.search(r"test\W+asvspoof5/A17\W+8\W", printed)
    assert "80 utterances in corpora/asvspoof5/manifest-" in printed
    assert "! test: 16 bonafide utterances, 138,688 published" in printed
    assert sorted(path.name for path in found["root"].iterdir()) == [
        "ASVspoof5_protocols",
        "flac_D",
        "flac_E_eval",
        "flac_T",
    ]
