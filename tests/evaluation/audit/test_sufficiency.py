"""What a corpus holds, and what it lacks."""

import dataclasses

import pandas as pd
import pytest

from deepfake_lab.evaluation.audit.sufficiency import Contents, concerns, contents
from deepfake_lab.evaluation.audit.verdict import Concern, judge, reservations

NO_CUES = pd.DataFrame({"split": [], "label": [], "noise_floor_db": []})
PLENTY = Contents("train", 3000, 3000, 10.0, 4, 4, 40, 3000, 2, 25.0)
GOOD = [PLENTY, PLENTY._replace(split="dev", unseen=0), PLENTY._replace(split="test", unseen=2)]


def codes(*splits):
    return {concern.code: concern.forbids for concern in concerns(list(splits))}


def test_counts_what_a_manifest_holds(make_manifest):
    whole = make_manifest("train", 20, ("world", "piper"))
    (train,) = contents(whole, NO_CUES)
    assert (train.split, train.bonafide, train.spoof, train.systems, train.unseen) == ("train", 20, 40, 2, 0)
    assert (train.speakers, train.groups, train.codecs) == (1, 20, 0)
    assert train.hours == pytest.approx(3 * sum(0.5 * (2 + number % 3) for number in range(20)) / 3600)
    assert pd.isna(train.noise_spread_db)


def test_systems_that_train_lacks_are_unseen(make_manifest):
    import pyarrow as pa

    train, test = make_manifest("train", 3, ("world",)), make_manifest("test", 3, ("world", "piper"))
    both = dataclasses.replace(train, table=pa.concat_tables([train.table, test.table]))
    assert [part.unseen for part in contents(both, NO_CUES)] == [0, 1]
    assert [part.unseen for part in contents(test, NO_CUES)] == [2]


def test_noise_is_that_of_bona_fide_speech(make_manifest):
    cues = pd.DataFrame({"split": "train", "label": [0] * 101 + [1], "noise_floor_db": [*range(-100, 1), -300]})
    (train,) = contents(make_manifest("train"), cues)
    assert train.noise_spread_db == pytest.approx(90)


def test_plenty_raises_no_concern():
    assert codes(*GOOD) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"bonafide": 300, "spoof": 300}, {"small": ()}),
        ({"spoof": 30_000}, {"unbalanced": ()}),
        ({"systems": 1}, {"systems": ()}),
        ({"speakers": 1}, {"voices": ()}),
        ({"speakers": 0}, {"voices": ()}),
        ({"noise_spread_db": 3.0}, {"noise": ()}),
        ({"spoof": 9, "bonafide": 9000}, {"lacking/train/spoof": ("training",), "unbalanced": ()}),
    ],
)
def test_each_lack_in_train_is_named(change, expected):
    parts = [part._replace(bonafide=1500, spoof=1500) if "small" in expected else part for part in GOOD]
    assert codes(parts[0]._replace(**change), *parts[1:]) == expected


def test_a_test_split_without_new_systems_cannot_tell_generalisation():
    assert codes(*GOOD[:2], GOOD[2]._replace(unseen=0)) == {"nothing_unseen": ()}


def test_a_corpus_for_evaluation_alone_is_not_for_training():
    assert codes(GOOD[2]._replace(bonafide=6000, spoof=6000)) == {
        "lacking/train": ("training",),
        "lacking/dev": ("training",),
    }


@pytest.mark.parametrize(("lacking", "name"), [("spoof", "spoof"), ("bonafide", "bonafide")])
def test_one_class_is_said_and_nothing_else(lacking, name):
    assert codes(*(part._replace(**{lacking: 0}) for part in GOOD)) == {"one_class": ("training", "evaluation")}
    (concern,) = concerns([part._replace(**{lacking: 0}) for part in GOOD])
    assert name in concern.text


def test_verdicts_say_what_forbids_a_purpose():
    leak, small = Concern("leak", "groups cross splits", ("evaluation",)), Concern("small", "it is small")
    texts = [verdict.text for verdict in judge([leak, small])]
    assert texts == [
        "Fit for training: yes, with reservations.",
        "Fit for evaluation: no. Because groups cross splits.",
    ]
    assert reservations([leak, small]) == ("it is small",)
    assert [verdict.text for verdict in judge([])] == ["Fit for training: yes.", "Fit for evaluation: yes."]
