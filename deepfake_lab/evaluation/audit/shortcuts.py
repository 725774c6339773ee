"""How far cues that are not about synthesis part the classes: a small classifier lives on each of them, and on all."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedGroupKFold

from deepfake_lab.evaluation.audit.cues import CUE_GROUPS
from deepfake_lab.evaluation.audit.verdict import Concern, Purpose
from deepfake_lab.evaluation.bootstrap import Interval, clustered_interval
from deepfake_lab.metrics.functional import eer
from deepfake_lab.types import BONAFIDE, SPLITS, SPOOF, Split

FloatArray: TypeAlias = NDArray[np.float64]

ALL_CUES: Final = "all together"
CHANCE: Final = 0.5
THRESHOLD: Final = 0.4
"""Equal error rate below which a cue counts as a shortcut."""
FOLDS: Final = 3
MIN_TRIALS: Final = 10
"""Utterances of each class without which nothing is probed."""


class Outcome(enum.Enum):
    """What a probe says of a split."""

    SHORTCUT = "shortcut"
    NONE = "none"
    UNSURE = "too few to tell"


class Probe(NamedTuple):
    """What a classifier that knows one group of cues is worth on one split.

    Attributes:
        cue: name in `CUE_GROUPS`, or `ALL_CUES`.
        split: where it was scored.
        fitted_on: "train", or "cross-validation" within the split itself, folds parted by group.
        eer: equal error rate: 0.5 is chance, far less a shortcut; more than 0.5 is none, for the cue then says the
            opposite of what it said where the classifier was fitted.
        interval: of the equal error rate, 95 %, over groups.
        systems: equal error rate of each synthesis system in the split, against all its bona fide utterances.
    """

    cue: str
    split: Split
    fitted_on: str
    eer: float
    interval: Interval
    systems: Mapping[str, float]

    def outcome(self, threshold: float = THRESHOLD) -> Outcome:
        """A shortcut lies below the threshold, and its interval excludes chance."""
        if self.eer >= threshold:
            return Outcome.NONE
        return Outcome.SHORTCUT if self.interval.high < CHANCE else Outcome.UNSURE


def probe(
    cues: pd.DataFrame,
    groups: Mapping[str, Sequence[str]] = CUE_GROUPS,
    *,
    seed: int = 0,
    replicates: int = 500,
) -> list[Probe]:
    """Probes each group of cues alone, then all together.

    Fitted on train, scored on dev and test, and by cross-validation within train. A split stands for itself, by
    cross-validation, where train lacks a class; a split that lacks one (or nearly) is left out.

    Args:
        cues: what `deepfake_lab.evaluation.audit.cues.measure` returns.
        groups: columns to probe together, by name.
        seed: of folds, of ties and of the bootstrap.
        replicates: of the bootstrap.
    """
    splits = {name: part for name in SPLITS if _probeable(part := cues[cues["split"] == name])}
    every = [column for columns in groups.values() for column in columns]
    features = _features(cues[every])
    return [
        Probe(name, split, fitted_on, *_equal_errors(splits[split], scores, seed, replicates))
        for name, columns in {**groups, ALL_CUES: every}.items()
        for split, fitted_on, scores in _scored(splits, features[list(columns)], seed)
    ]


def joint(probes: Sequence[Probe]) -> dict[Split, Probe]:
    """The probe of all cues together, by split."""
    return {probe.split: probe for probe in probes if probe.cue == ALL_CUES}


def worst(probes: Sequence[Probe], split: Split) -> list[Probe]:
    """Probes of single groups of cues on a split, the lowest equal error rate first."""
    single = [probe for probe in probes if probe.split == split and probe.cue != ALL_CUES]
    return sorted(single, key=lambda probe: probe.eer)


def concerns(probes: Sequence[Probe], threshold: float = THRESHOLD) -> Iterator[Concern]:
    """What the probes mean: a shortcut in dev or test spoils results, one in train alone misleads the detector."""
    deciding = joint(probes)
    train = deciding.pop("train") if len(deciding) > 1 and "train" in deciding else None
    for split, found in deciding.items():
        forbids = _spoilt(found)
        outcome = found.outcome(threshold)
        # of many cues on few utterances, one lies below the threshold by chance: its whole interval has to
        alone = [probe for probe in _shortcuts(probes, split, threshold) if probe.interval.high < threshold]
        if outcome is Outcome.SHORTCUT:
            yield Concern(f"shortcut/{split}", _clause(found, probes, threshold), forbids)
        elif alone:
            text = f"in {split} a cue that is not about synthesis parts the classes alone: {_named(alone)} EER"
            yield Concern(f"shortcut/{split}", text, forbids)
        elif outcome is Outcome.UNSURE:
            yield Concern(f"unsure/{split}", f"{_clause(found, probes, threshold)}, though that may be chance")
    if train and train.outcome(threshold) is Outcome.SHORTCUT:
        text = f"{_clause(train, probes, threshold)}: a random split of train would look better than it is"
        yield Concern("shortcut/train", text)


def _spoilt(found: Probe) -> tuple[Purpose, ...]:
    """What a shortcut spoils: training, if train has it too, and what is measured on test."""
    trained = found.fitted_on == "train" or found.split != "test"
    purposes: dict[Purpose, bool] = {"training": trained, "evaluation": found.split == "test"}
    return tuple(purpose for purpose, spoilt in purposes.items() if spoilt)


def _clause(found: Probe, probes: Sequence[Probe], threshold: float) -> str:
    low, high = found.interval
    naming = _named(_shortcuts(probes, found.split, threshold) or worst(probes, found.split)[:1])
    return (
        f"cues that are not about synthesis part the classes of {found.split} with an EER of {found.eer:.1%} "
        f"({low:.1%} to {high:.1%}; chance is 50%), most of all {naming}"
    )


def _shortcuts(probes: Sequence[Probe], split: Split, threshold: float) -> list[Probe]:
    return [probe for probe in worst(probes, split) if probe.outcome(threshold) is Outcome.SHORTCUT]


def _named(probes: Sequence[Probe]) -> str:
    return ", ".join(f"{probe.cue} ({probe.eer:.1%})" for probe in probes[:3])


def _probeable(part: pd.DataFrame) -> bool:
    counts = part["label"].value_counts()
    folds = part.groupby("label")["group"].nunique()
    return len(counts) == 2 and counts.min() >= MIN_TRIALS and folds.min() >= 2


def _features(cues: pd.DataFrame) -> pd.DataFrame:
    """Cues as numbers; names (of containers) become their place in the alphabet."""
    names = cues.select_dtypes(exclude="number").columns
    return cues.assign(**{name: pd.factorize(cues[name], sort=True)[0] for name in names})


def _scored(
    splits: dict[Split, pd.DataFrame], features: pd.DataFrame, seed: int
) -> Iterator[tuple[Split, str, FloatArray]]:
    """Scores of the rows of each split, higher = more bona fide."""
    train = splits.get("train")
    constant = (features.nunique() < 2).all()
    model = None if train is None or constant else _fitted(features.loc[train.index], train["label"], seed)
    for name, part in splits.items():
        here = features.loc[part.index]
        if constant:
            yield name, "train" if train is not None and name != "train" else "cross-validation", np.zeros(len(part))
        elif name == "train" or model is None:
            yield name, "cross-validation", _cross_validated(part, here, seed)
        else:
            yield name, "train", model.decision_function(here.to_numpy(np.float64))


def _fitted(features: pd.DataFrame, label: pd.Series[int], seed: int) -> HistGradientBoostingClassifier:
    model = HistGradientBoostingClassifier(
        max_iter=30,
        learning_rate=0.2,
        max_leaf_nodes=8,
        min_samples_leaf=max(3, min(20, len(label) // 20)),
        l2_regularization=1.0,
        early_stopping=False,
        class_weight="balanced",
        random_state=seed,
    )
    return model.fit(features.to_numpy(np.float64), label.to_numpy() == BONAFIDE)


def _cross_validated(part: pd.DataFrame, features: pd.DataFrame, seed: int) -> FloatArray:
    """Scores of each row by a model that has not seen its group; ranks within each fold, since scales differ."""
    label, group = part["label"], part["group"]
    folds = min(FOLDS, int(part.groupby("label")["group"].nunique().min()))
    scores = np.empty(len(part))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for fit, held_out in splitter.split(features, label, group):
        model = _fitted(features.iloc[fit], label.iloc[fit], seed)
        held = model.decision_function(features.iloc[held_out].to_numpy(np.float64))
        scores[held_out] = _ranks(held, label.iloc[held_out].to_numpy(), seed)
    return scores


def _ranks(scores: FloatArray, label: NDArray[np.int8], seed: int) -> FloatArray:
    """Ranks in (0, 1) that spread both classes evenly over equal scores, so that a constant is at chance.

    The official order of ties, bona fide first, would have it that a constant is wrong of every trial.
    """
    shuffled = np.random.default_rng(seed).permutation(len(scores))  # the manifest's order may say something
    trials = pd.DataFrame({"score": scores.round(9), "label": label}).iloc[shuffled]
    tied = trials.groupby(["score", "label"])["score"]
    place = ((tied.cumcount() + 0.5) / tied.transform("size")).sort_index().to_numpy()
    ranks = np.empty(len(scores))
    ranks[np.lexsort((place, scores.round(9)))] = (np.arange(len(scores)) + 0.5) / len(scores)
    return ranks


def _equal_errors(
    part: pd.DataFrame, scores: FloatArray, seed: int, replicates: int
) -> tuple[float, Interval, Mapping[str, float]]:
    """Equal error rate of all trials, its interval, and the rate of each synthesis system."""
    label, attack = part["label"].to_numpy(), part["attack"].to_numpy()
    interval = clustered_interval(
        _ranks(scores, label, seed), label, part["group"].to_numpy(), replicates=replicates, seed=seed
    )
    systems = {}
    for name in np.unique(attack[label == SPOOF]):
        rows = (label == BONAFIDE) | (attack == name)
        systems[str(name)] = _equal_error(scores[rows], label[rows], seed)
    return _equal_error(scores, label, seed), interval, systems


def _equal_error(scores: FloatArray, label: NDArray[np.int8], seed: int) -> float:
    ranks = _ranks(scores, label, seed)
    return eer(ranks[label == BONAFIDE], ranks[label == SPOOF])
