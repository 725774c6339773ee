import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation.official import read_asv, read_official, write_official
from deepfake_lab.evaluation.scores import COLUMNS
from deepfake_lab.types import LabError

SCORES = {"E_0000000001": 2.5, "E_0000000002": -1.25, "E_0000000003": 0.1, "E_0000000004": -3.0}
ASVSPOOF5 = """E_1607 E_0000000001 M - - - - bonafide bonafide -
E_1607 E_0000000002 M - - - AC1 A26 spoof -
E_0002 E_0000000003 F C05 2 E_0000000001 - bonafide bonafide -
E_0002 E_0000000004 F C05 2 E_0000000002 AC1 A26 spoof -
"""
ASVSPOOF2021_LA = """LA_0009 E_0000000001 alaw ita_tx - bonafide notrim eval
LA_0009 E_0000000002 alaw ita_tx A07 spoof notrim eval
LA_0010 E_0000000003 none loc_tx - bonafide notrim progress
LA_0010 E_0000000004 none loc_tx A08 spoof notrim progress
"""
ASVSPOOF2021_DF = "\n".join(
    f"LA_0023 {name} nocodec asvspoof {attack} notrim eval traditional_vocoder - - - -"
    for name, attack in zip(SCORES, ("- bonafide", "A14 spoof", "- bonafide", "A15 spoof"), strict=True)
)
ASVSPOOF2019 = "\n".join(
    f"LA_0039 {name} - {attack}"
    for name, attack in zip(SCORES, ("- bonafide", "A11 spoof", "- bonafide", "A12 spoof"), strict=True)
)
KEYS_TSV = "filename\tcm-label\n" + "\n".join(
    f"{name}\t{label}" for name, label in zip(SCORES, ("bonafide", "spoof") * 2, strict=True)
)


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text if text.endswith("\n") else text + "\n")
        return tmp_path / name

    return write


@pytest.fixture
def scores(write):
    return write("scores.txt", "\n".join(f"{name} {score}" for name, score in SCORES.items()))


@pytest.mark.parametrize(
    ("key", "corpus", "attacks", "codecs"),
    [
        (ASVSPOOF5, "asvspoof5", ["A26", "A26"], ["-", "-", "C05", "C05"]),
        (ASVSPOOF2021_DF, "asvspoof2021_df", ["A14", "A15"], ["nocodec"] * 4),
        (ASVSPOOF2019, "asvspoof2019_la", ["A11", "A12"], ["-"] * 4),
        (KEYS_TSV, "scores", ["-", "-"], ["-"] * 4),
    ],
)
def test_every_key_that_the_challenges_hand_out(write, scores, key, corpus, attacks, codecs):
    table = read_official(scores, write("key.txt", key))
    assert tuple(table.columns) == COLUMNS
    assert table["score"].tolist() == list(SCORES.values())
    assert table["label"].tolist() == [0, 1, 0, 1]
    assert table["attack"].tolist() == ["bonafide", f"{corpus}/{attacks[0]}", "bonafide", f"{corpus}/{attacks[1]}"]
    assert table["codec"].tolist() == codecs
    assert set(table["corpus"]) == {corpus}


def test_coded_copies_share_the_group_of_their_original(write, scores):
    table = read_official(scores, write("key.txt", ASVSPOOF5))
    assert table["group"].tolist() == ["E_0000000001", "E_0000000002"] * 2
    assert table["speaker"].tolist() == ["E_1607", "E_1607", "E_0002", "E_0002"]


def test_published_numbers_are_of_the_evaluation_subset(write, scores):
    key = write("key.txt", ASVSPOOF2021_LA)
    assert len(read_official(scores, key)) == 2
    assert len(read_official(scores, key, subset="progress")) == 2
    assert len(read_official(scores, key, subset="all")) == 4
    with pytest.raises(LabError, match="no trials of subset=hidden"):
        read_official(scores, key, subset="hidden")


@pytest.mark.parametrize("form", ["asvspoof5", "asvspoof2021", "asvspoof2019"])
def test_what_is_written_is_read(make_table, tmp_path, form):
    table = make_table({"test": ("world", "piper")}, sentences=5)
    table["key"] = "openprompts-" + table["key"]
    files = write_official(table, tmp_path / "official", form)
    key = None
    if form == "asvspoof5":
        key = files[1]
    elif form == "asvspoof2021":
        key = write_official(table, tmp_path / "keyed")[1]
    read = read_official(files[0], key)
    assert read["score"].tolist() == table["score"].tolist()  # every bit
    assert read["label"].tolist() == table["label"].tolist()
    assert b"\r" not in files[0].read_bytes()


def test_the_files_are_those_of_the_official_scorers(make_table, tmp_path):
    table = make_table({"test": ("world",)}, sentences=2)
    table["key"] = "openprompts-" + table["key"]
    scores, keys = write_official(table, tmp_path)
    first = table.iloc[0]
    assert scores.read_text().splitlines()[:2] == ["filename\tcm-score", f"test-bonafide-0\t{float(first['score'])!r}"]
    assert keys.read_text().splitlines()[:2] == ["filename\tcm-label", "test-bonafide-0\tbonafide"]
    (scores,) = write_official(table, tmp_path, "asvspoof2021")
    assert scores.read_text().splitlines()[0] == f"test-bonafide-0 {float(first['score'])!r}"
    (scores,) = write_official(table, tmp_path, "asvspoof2019")
    rows = np.genfromtxt(scores, dtype=str)  # as the official code reads it
    assert rows[:, 1].tolist() == ["-", "-", "world", "world"]
    assert rows[:, 2].tolist() == ["bonafide"] * 2 + ["spoof"] * 2


def test_keys_must_be_unique(make_table, tmp_path):
    table = make_table({"test": ("world",)})
    with pytest.raises(LabError, match="1 trials share their key with another, such as test-bonafide-0"):
        write_official(pd.concat([table, table[:1]]), tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("E_0000000001 1\nE_0000000002 2\nE_0000000003 3", "1 trials have no score, such as E_0000000004"),
        ("\n".join(f"E_000000000{n} {n}" for n in range(1, 6)), r"1 trials are not in .*key.txt, such as E_0000000005"),
        ("\n".join(f"E_000000000{n} {n}" for n in (1, 2, 3, 4, 4)), "1 trials have more than one score, such as E_00"),
        ("E_0000000001 nan\n" + "\n".join(f"E_000000000{n} 1" for n in (2, 3, 4)), "NaN or no number, such as E_0000"),
        ("E_0000000001 inf\n" + "\n".join(f"E_000000000{n} 1" for n in (2, 3, 4)), "NaN or infinite, such as E_000000"),
        ("a b c", "begins with 'a b c', which no challenge has"),
    ],
)
def test_broken_scores_are_refused_by_name(write, lines, message):
    with pytest.raises(LabError, match=message) as caught:
        read_official(write("scores.txt", lines), write("key.txt", ASVSPOOF5))
    assert "scores.txt" in str(caught.value)


def test_a_key_is_needed_and_must_be_one(write, scores):
    with pytest.raises(LabError, match="holds no key"):
        read_official(scores)
    with pytest.raises(LabError, match="7 fields, expected 5 or 6 or 8 or 10 or 13"):
        read_official(scores, write("key.txt", "a b c d e f g"))
    with pytest.raises(LabError, match="4 trials are in the key more than once"):
        read_official(scores, write("key.txt", ASVSPOOF5 + ASVSPOOF5))


def test_errors_of_the_speaker_verification(write):
    lines = [f"- target {score}" for score in (3, 2, 1, -1)] + [f"- nontarget {score}" for score in (-3, -2, 0, 2.5)]
    lines += [f"A07 spoof {score}" for score in (2, 2.2, 0.9, -4, -5)]
    asv = read_asv(write("asv.txt", "\n".join(lines)))
    assert asv == pytest.approx((0.25, 0.25, 0.6))  # accepted from a score between 0 and 1
    with pytest.raises(LabError, match="has no trials of one of target, nontarget, spoof"):
        read_asv(write("asv.txt", lines[0]))
