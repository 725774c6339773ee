"""In-the-Wild: persons with commas in their names, labels in the release's own words, evaluation alone."""

import csv

import make_in_the_wild
import pytest

from deepfake_lab.data import guards
from deepfake_lab.data.corpora.in_the_wild import InTheWild
from deepfake_lab.types import LabError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_in_the_wild.make(tmp_path_factory.mktemp("disk"))["root"]


@pytest.fixture
def own(tmp_path):
    """A copy to spoil."""
    return make_in_the_wild.make(tmp_path, clips=4)["root"]


def parsed(root):
    return InTheWild(root, "unused").parse().table.to_pylist()


def spoil(root, old, new):
    meta = root / "meta.csv"
    meta.write_text(meta.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")


def test_every_line_is_a_row(root):
    with (root / "meta.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    found = [(row["path"], row["speaker"], row["group"], row["label"], row["attack"]) for row in parsed(root)]
    assert found == [
        (
            line["file"],
            f"in_the_wild/{line['speaker']}",
            f"in_the_wild/{line['speaker']}",
            int(line["label"] == "spoof"),
            "in_the_wild/unknown" if line["label"] == "spoof" else "bonafide",
        )
        for line in lines
    ]
    assert {speaker for _, speaker, *_ in found} == {f"in_the_wild/{name}" for name in make_in_the_wild.SPEAKERS}


def test_it_is_for_evaluation_alone(root, tmp_path):
    manifest = InTheWild(root, tmp_path, workers=1).prepare()
    assert manifest.counts() == {"train": (0, 0), "dev": (0, 0), "test": (30, 30)}
    codes = {finding.code for finding in guards.check(manifest, stages=["test"])}
    assert "counts" in codes  # 60 clips are not the 31,779 of the release
    with pytest.raises(LabError, match=r"stages=\[test\]"):
        guards.check(manifest)


def test_an_unknown_label_is_named_with_its_line(own):
    spoil(own, "bona-fide", "genuine")
    with pytest.raises(LabError, match=r"meta\.csv, line 2: 'genuine' is none of bona-fide, spoof"):
        parsed(own)


def test_another_list_is_recognised_by_its_columns(own):
    spoil(own, "file,speaker,label", "path,who,label")
    with pytest.raises(LabError, match=r"meta\.csv: no column file, speaker"):
        parsed(own)


def test_a_line_with_a_field_too_few(own):
    spoil(own, '1.wav,"Eva, the Second",spoof', "1.wav,spoof")
    with pytest.raises(LabError, match=r"meta\.csv, line 3: 2 fields, expected 3: '1\.wav,spoof'"):
        parsed(own)


def test_a_clip_listed_twice(own, tmp_path):
    spoil(own, "1.wav", "0.wav")
    with pytest.raises(LabError, match=r"listed twice, such as in_the_wild-0"):
        InTheWild(own, tmp_path / "work").prepare()
