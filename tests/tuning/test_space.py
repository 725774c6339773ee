import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from deepfake_lab.tuning.space import as_text, corners, describe, read_space
from deepfake_lab.types import LabError


def test_entries_become_distributions():
    space = read_space(
        {
            "optim.lr": {"low": 1e-4, "high": 1e-2, "log": True},
            "model.encoder.dropout": {"low": 0, "high": 0.5, "step": 0.1},
            "model.encoder.layers": {"low": 1, "high": 4},
            "loader.batch_size": [16, 32],
            "left.out": None,
        }
    )
    assert space == {
        "optim.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "model.encoder.dropout": FloatDistribution(0, 0.5, step=0.1),
        "model.encoder.layers": IntDistribution(1, 4),
        "loader.batch_size": CategoricalDistribution([16, 32]),
    }
    assert "optim.lr: 0.0001 to 0.01, logarithmic" in describe(space)
    assert "dropout: 0 to 0.5, step 0.1" in describe(space)
    assert "batch_size: 16, 32" in describe(space)


def test_corners_hold_both_ends_and_every_choice():
    space = read_space({"a": {"low": 1, "high": 4}, "b": ["x", "y", "z"]})
    assert corners(space) == [{"a": 1, "b": "x"}, {"a": 4, "b": "y"}, {"a": 1, "b": "z"}]


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (3, "3 is neither range nor list"),
        ({"low": 1}, "a range has low and high"),
        ({"low": 1, "high": 2, "lgo": True}, "not low, high, lgo"),
        ({"low": "a", "high": 2}, "must hold numbers"),
        ({"low": False, "high": True}, "must hold numbers"),
        ({"low": 0.0, "high": float("inf")}, "must hold numbers"),
        ({"low": 1, "high": 2, "log": 1}, "log true or false"),
        ({"low": 2, "high": 1}, "low=2 must be below high=1"),
        ({"low": 1, "high": 1}, "low=1 must be below high=1"),
        ({"low": 0, "high": 1.0, "log": True}, "needs low > 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "takes no step"),
        ({"low": 0, "high": 5, "step": 2}, "step=2 must lead from low=0 to high=5"),
        ({"low": 0, "high": 5, "step": -1}, "step=-1 must lead"),
        ([16], "two or more values"),
        ([16, 16], "each once"),
        ([[16, 32], [8, 16]], "write a list as text"),
    ],
)
def test_nonsense_is_refused(entry, complaint):
    with pytest.raises(LabError, match=rf"sweep\.space: key.*{re.escape(complaint)}"):
        read_space({"key": entry})


@pytest.mark.parametrize("key", ["data", "data.root", "metric", "seed", "+stages", "tracking.uri"])
def test_what_makes_trials_comparable_is_not_searched(key):
    with pytest.raises(LabError, match=r"not to be searched"):
        read_space({key: ["a", "b"]})


def test_an_empty_space_is_refused():
    with pytest.raises(LabError, match="nothing is left"):
        read_space({"optim.lr": None})


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["mel", "cqt"])))
def test_a_value_survives_the_command_line(value):
    assert OverridesParser.create().parse_override(f"key={as_text(value)}").value() == value
