"""The shortcut probe on cues whose worth is known."""

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation.audit.cues import CUE_GROUPS
from deepfake_lab.evaluation.audit.shortcuts import ALL_CUES, Outcome, Probe, concerns, joint, probe, worst
from deepfake_lab.evaluation.bootstrap import Interval
from deepfake_lab.types import SPLITS

COLUMNS = [column for columns in CUE_GROUPS.values() for column in columns]


def make_cues(count=100, splits=SPLITS, seed=0, **planted):
    """Cues that say nothing of the class, but for those `planted`: functions of (label, rng) that give a column."""
    rng = np.random.default_rng(seed)
    label = np.tile([0, 1], count * len(splits))
    frame = pd.DataFrame({column: rng.normal(size=len(label)) for column in COLUMNS})
    number = np.arange(len(label)) // 2
    described = {
        "split": np.repeat(splits, 2 * count),
        "label": label,
        "attack": np.where(label, np.where(number % 2, "hiss/A", "hiss/B"), "bonafide"),
        "group": [f"group {each}" for each in number],
        "container": "WAV PCM_16",
    }
    frame = frame.assign(**described)
    return frame.assign(**{column: make(label, rng) for column, make in planted.items()})


def some(*names):
    return {name: CUE_GROUPS[name] for name in names}


def found(probes, cue, split="test"):
    (one,) = [probe for probe in probes if (probe.cue, probe.split) == (cue, split)]
    return one


def codes(probes, threshold=0.4):
    return {concern.code: concern for concern in concerns(probes, threshold)}


def test_cues_that_say_nothing_are_at_chance():
    probes = probe(make_cues(count=60), replicates=50)
    assert {one.cue for one in probes} == {*CUE_GROUPS, ALL_CUES}
    assert all(0.3 < one.eer < 0.7 for one in probes)
    assert found(probes, "container").eer == pytest.approx(0.5, abs=0.01)
    assert not codes(probes)


@pytest.mark.parametrize(
    ("cue", "column"), [(name, column) for name, columns in CUE_GROUPS.items() for column in columns]
)
def test_a_cue_that_tells_the_class_is_found_alone_and_among_others(cue, column):
    values = {0: "FLAC PCM_16", 1: "WAV PCM_16"} if column == "container" else {0: 0.0, 1: 1.0}
    cues = make_cues(count=15, **{column: lambda label, rng: [values[one] for one in label]})
    probes = probe(cues, some(cue, "level" if cue == "peak" else "peak"), replicates=20)
    assert found(probes, cue).eer == 0
    assert found(probes, ALL_CUES).eer == 0
    assert worst(probes, "test")[0].cue == cue
    assert cue in codes(probes)["shortcut/test"].text


def test_multiples_of_a_hop_are_found_though_the_mean_is_the_same():
    def modulo(label, rng):
        return np.where(label, 0, rng.integers(256, size=len(label)))

    probes = probe(make_cues(samples_mod_256=modulo), some("samples mod 256"), replicates=20)
    assert found(probes, "samples mod 256").eer < 0.03


def test_equal_scores_are_a_diagonal():
    """6 of 10 spoofs have what no bona fide utterance has: m = FA where 0.4 (1 - m) = m, which is at 2/7."""
    cues = make_cues(count=200, bit_depth=lambda label, rng: label * (np.arange(len(label)) // 2 % 10 < 6))
    cues = cues.sort_values("label", kind="stable", ignore_index=True)  # as many lists are: it must not matter
    assert found(probe(cues, some("bit depth"), replicates=20), "bit depth").eer == pytest.approx(2 / 7, abs=0.01)


def test_each_system_has_its_own_rate():
    def one_system(label, rng):
        return label * (np.arange(len(label)) // 2 % 2) + 0.001 * rng.normal(size=len(label))

    probes = probe(make_cues(peak_db=one_system), some("peak", "container"), replicates=20)
    assert found(probes, "container").systems == pytest.approx({"hiss/A": 0.5, "hiss/B": 0.5}, abs=0.02)
    systems = found(probes, "peak").systems
    assert systems["hiss/A"] < 0.05
    assert systems["hiss/B"] > 0.3


def test_what_was_fitted_where_is_said():
    fitted = {one.split: one.fitted_on for one in probe(make_cues(count=20), some("peak", "container"), replicates=20)}
    assert fitted == {"train": "cross-validation", "dev": "train", "test": "train"}


def test_a_corpus_for_evaluation_alone_is_probed_within_itself():
    cues = make_cues(splits=["test"], duration_s=lambda label, rng: label + 0.4 * rng.normal(size=len(label)))
    probes = probe(cues, some("duration", "container"), replicates=50)
    assert {(one.split, one.fitted_on) for one in probes} == {("test", "cross-validation")}
    assert found(probes, "duration").eer == pytest.approx(0.106, abs=0.06)  # normal distributions 2.5 deviations apart
    assert codes(probes)["shortcut/test"].forbids == ("evaluation",)


def test_cross_validation_keeps_groups_whole():
    """Each group has one label and a duration of its own: who has seen the group knows the label."""
    rng = np.random.default_rng(0)
    cues = make_cues(count=200, splits=["test"])
    group = np.arange(len(cues)) // 20
    label = rng.permutation(np.arange(20) % 2)[group]
    cues = cues.assign(group=group.astype(str), label=label, duration_s=rng.permutation(20)[group] + 0.0)
    cues["attack"] = np.where(cues["label"], "hiss/A", "bonafide")
    assert found(probe(cues, some("duration"), replicates=20), "duration").eer > 0.3


@pytest.mark.parametrize("lacking", [0, 1])
def test_one_class_gives_nothing_to_probe(lacking):
    cues = make_cues(count=20)
    assert probe(cues[cues["label"] == lacking].reset_index(drop=True)) == []
    partly = cues[(cues["label"] == lacking) | (cues["split"] != "dev")].reset_index(drop=True)
    assert {one.split for one in probe(partly, some("peak"), replicates=20)} == {"train", "test"}
    assert not codes([])


def test_the_same_seed_gives_the_same_probes():
    cues = make_cues(count=20)
    again = [probe(cues, some("peak", "level"), replicates=20) for _ in range(2)]
    assert again[0] == again[1]


def one(eer, interval, cue=ALL_CUES, split="test", fitted_on="train"):
    return Probe(cue, split, fitted_on, eer, Interval(*interval), {})


def test_a_shortcut_lies_below_the_threshold_and_not_by_chance():
    assert one(0.35, (0.3, 0.45)).outcome() is Outcome.SHORTCUT
    assert one(0.35, (0.2, 0.52)).outcome() is Outcome.UNSURE
    assert one(0.41, (0.38, 0.45)).outcome() is Outcome.NONE
    assert one(0.41, (0.38, 0.45)).outcome(0.45) is Outcome.SHORTCUT
    assert one(0.9, (0.85, 0.95)).outcome() is Outcome.NONE


def test_shortcuts_forbid_by_the_split_in_which_they_work():
    single = one(0.1, (0.05, 0.2), "duration", "dev")
    dev = codes([single, one(0.2, (0.1, 0.3), split="dev"), one(0.5, (0.4, 0.6))])
    assert {code: concern.forbids for code, concern in dev.items()} == {"shortcut/dev": ("training",)}
    assert "duration (10.0%)" in dev["shortcut/dev"].text


def test_a_shortcut_of_train_alone_is_a_reservation():
    train = one(0.17, (0.1, 0.2), split="train", fitted_on="cross-validation")
    single = one(0.1, (0.05, 0.2), "duration", "train", "cross-validation")
    assert codes([single, train, one(0.53, (0.5, 0.6))])["shortcut/train"].forbids == ()
    assert codes([single, train])["shortcut/train"].forbids == ("training",)  # there is nothing else to go by


def test_one_of_many_cues_must_be_certain_to_forbid():
    both = one(0.45, (0.4, 0.5))
    assert not codes([one(0.38, (0.33, 0.42), "level"), both])
    assert codes([one(0.28, (0.25, 0.32), "level"), both])["shortcut/test"].forbids == ("training", "evaluation")


def test_what_may_be_chance_is_said():
    unsure = codes([one(0.35, (0.2, 0.52)), one(0.45, (0.3, 0.6), "level")])
    assert unsure["unsure/test"].forbids == ()
    assert joint([one(0.35, (0.2, 0.52))])["test"].eer == 0.35
