"""ASVspoof 2019 LA: its lines, its splits, its speakers."""

import make_asvspoof2019_la
import pytest

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.asvspoof2019 import ASVspoof2019LA
from deepfake_lab.types import LabError


@pytest.fixture
def corpus(tmp_path):
    return ASVspoof2019LA(**make_asvspoof2019_la.make(tmp_path), work=tmp_path / "work")


def protocol(corpus, ending):
    return corpus.root / "ASVspoof2019_LA_cm_protocols" / f"ASVspoof2019.LA.cm.{ending}.txt"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_the_release_become_rows(corpus, end):
    lines = "LA_0039 LA_E_2834763 - A11 spoof", "LA_0014 LA_E_8877452 - - bonafide"
    protocol(corpus, "eval.trl").write_bytes(end.join(lines).encode())
    parsed = corpus.parse()
    assert parsed.findings == []
    fake, real = (row for row in parsed.table.to_pylist() if row["split"] == "test")
    assert fake == {
        "key": "asvspoof2019_la-LA_E_2834763",
        "path": "ASVspoof2019_LA_eval/flac/LA_E_2834763.flac",
        "label": 1,
        "attack": "asvspoof2019_la/A11",
        "codec": "-",
        "spoof_spans": "-",
        "speaker": "vctk/LA_0039",
        "group": "vctk/LA_0039",
        "gender": "-",
        "language": "en",
        "split": "test",
        "corpus": "asvspoof2019_la",
    }
    assert (real["label"], real["attack"], real["speaker"]) == (0, "bonafide", "vctk/LA_0014")


def test_it_can_be_trained_on_and_measured(corpus):
    manifest = corpus.prepare()
    assert manifest.counts() == {"train": (12, 12), "dev": (12, 12), "test": (12, 12)}
    assert {finding.code for finding in guards.check(manifest)} == {"counts", "small_corpus"}


@pytest.mark.parametrize("line", ["LA_0079 LA_T_1138215 - bonafide", "LA_0079 LA_T_1138215 - - bonafide x"])
def test_wrong_numbers_of_fields_are_named(corpus, line):
    path = protocol(corpus, "train.trn")
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(LabError, match=rf"train\.trn\.txt, line 25: {len(line.split())} fields, expected 5: '{line}'"):
        corpus.parse()


def test_a_system_of_another_split_is_remarked(corpus):
    path = protocol(corpus, "train.trn")
    path.write_text(path.read_text().replace(" A01 ", " A07 "))
    (finding,) = corpus.parse().findings
    assert (finding.code, finding.number) == ("unknown_attack", 6)


def test_a_missing_list_is_named(corpus):
    protocol(corpus, "dev.trl").unlink()
    with pytest.raises(LabError, match=r"ASVspoof2019\.LA\.cm\.dev\.trl\.txt: no such file"):
        corpus.parse()
