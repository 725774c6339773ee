"""Overlap between splits and between corpora."""

from pathlib import Path

import pytest

from deepfake_lab.data.manifest import Manifest
from deepfake_lab.evaluation.audit.overlap import (
    audio_concerns,
    between_corpora,
    between_splits,
    corpus_concerns,
    repeated,
    split_concerns,
    two_labels,
)


def manifest(*rows, name="hiss"):
    """One utterance a row, which says its split and whatever else matters."""
    complete = [
        {
            "key": f"{name}-{number}",
            "path": f"{number}.wav",
            "frames": 8000,
            "sample_rate": 16_000,
            "channels": 1,
            "label": 0,
            "group": f"{name}/{number}",
            "corpus": name,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    for row in complete:
        row["attack"] = f"{name}/A" if row["label"] else "bonafide"
    return Manifest.from_rows(complete, Path("audio"), name)


def shared(overlaps):
    return {(one.column, one.here, one.there): one.examples for one in overlaps if one.shared}


@pytest.mark.parametrize("column", ["speaker", "group", "audio_hash"])
@pytest.mark.parametrize(("here", "there"), [("train", "dev"), ("train", "test"), ("dev", "test")])
def test_what_occurs_in_two_splits_is_found(column, here, there):
    rows = [{"split": here, column: "x/1"}, {"split": there, column: "x/1"}, {"split": there, column: "x/2"}]
    overlaps = between_splits(manifest(*rows))
    assert shared(overlaps) == {(column, here, there): ("x/1",)}
    (found,) = [one for one in overlaps if one.shared]
    assert (found.shared, found.utterances, found.total, found.known) == (1, 1, 2, True)
    (concern,) = split_concerns(overlaps)
    forbidden = {"train": ("training",), "test": ("evaluation",)}
    expected = (*forbidden.get(here, ()), *forbidden.get(there, ()))
    assert concern.forbids == (() if column == "speaker" else expected)
    assert "x/1" in concern.text


def test_the_unknown_is_nobody():
    overlaps = between_splits(manifest({"split": "train"}, {"split": "test"}))
    assert not shared(overlaps)
    assert {one.column: one.known for one in overlaps} == {"speaker": False, "group": True, "audio_hash": False}
    assert two_labels(manifest({"split": "train"}, {"split": "train", "label": 1})) == []
    assert repeated(manifest({"split": "train"}, {"split": "train"})) == 0


def test_the_same_audio_under_both_labels_is_refused():
    rows = [{"split": "train", "audio_hash": "ab", "label": label} for label in (0, 1)]
    (contradiction, copies) = audio_concerns(manifest(*rows, {"split": "train", "audio_hash": "cd"}))
    assert contradiction.forbids == ("training", "evaluation")
    assert "ab" in contradiction.text
    assert "cd" not in contradiction.text
    assert copies.text.startswith("1 utterances repeat")


def test_copies_are_counted_within_a_split():
    rows = [{"split": split, "audio_hash": "ab"} for split in ("train", "train", "train", "test")]
    assert repeated(manifest(*rows)) == 2


def test_a_training_corpus_inside_an_evaluation_corpus_is_found():
    inner = manifest({"split": "train", "group": "lj/1", "audio_hash": "ab"}, {"split": "dev", "group": "lj/2"})
    outer = manifest(
        {"split": "test", "group": "lj/1", "audio_hash": "ab"},
        {"split": "test", "group": "lj/2"},
        {"split": "test", "group": "lj/3"},
        name="other",
    )
    overlaps = between_corpora(("hiss", inner), ("other", outer))
    assert shared(overlaps) == {
        ("group", "hiss train+dev", "other test"): ("lj/1", "lj/2"),
        ("audio_hash", "hiss train+dev", "other test"): ("ab",),
    }
    found = list(corpus_concerns(overlaps, ("ljspeech",), ("ljspeech", "vctk")))
    assert [concern.code for concern in found] == ["against/group", "against/audio_hash", "against/lineage"]
    assert [concern.forbids for concern in found] == [("evaluation",), ("evaluation",), ()]
    assert "ljspeech" in found[-1].text
    assert "vctk" not in found[-1].text


def test_only_what_is_trained_on_and_what_is_measured_on_is_compared():
    inner = manifest({"split": "train", "group": "lj/1"}, {"split": "test", "group": "lj/2"})
    outer = manifest({"split": "train", "group": "lj/1"}, {"split": "test", "group": "lj/2"}, name="other")
    assert not shared(between_corpora(("hiss", inner), ("other", outer)))
    whole = manifest({"split": "test", "group": "lj/1"})
    assert shared(between_corpora(("hiss", whole), ("whole", whole))) == {("group", "hiss", "whole test"): ("lj/1",)}


def test_corpora_of_different_origin_raise_no_concern():
    apart = between_corpora(("a", manifest({"split": "train"}, name="a")), ("b", manifest({"split": "test"}, name="b")))
    assert not list(corpus_concerns(apart, ("vctk",), ("mls",)))
