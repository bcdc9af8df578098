"""What a number is, and which ones arguments take."""

import fractions
import math

import numpy as np
import pytest

from sparsecpu import SparseMLPClassifier
from sparsecpu.errors import ParameterError
from sparsecpu.registries.numbers import above_zero, at_least_zero, below_one, is_number, whole
from sparsecpu.topology import TOPOLOGIES

NONE = ["a", b"1", None, True, np.True_, 1j, [1], {}, (1,), math.nan, math.inf, -math.inf, 10**400]


def test_numbers_are_what_a_float_holds():
    third = fractions.Fraction(1, 3)
    for value in (0, -2, 1.5, np.float32(2), np.int8(3), np.uint64(2**63), third):
        assert is_number(value)
    assert not any(map(is_number, NONE))


def test_rules_return_what_they_take_and_name_what_they_refuse():
    rules = {above_zero: ([1, 0.5], [0, -1]), at_least_zero: ([0, 3], [-0.1]),
             below_one: ([0, 0.99], [1, -0.1])}  # fmt: skip
    for rule, (good, bad) in rules.items():
        assert [rule("rate", value) for value in good] == good
        for value in bad + NONE:
            with pytest.raises(ParameterError, match="rate is"):
                rule("rate", value)
    for value in [1.5, *NONE]:
        with pytest.raises(ParameterError):
            whole("count", value, 0)


@pytest.mark.parametrize(("name", "option"), [
    ("deep-r", "shrinkage"), ("deep-r", "noise"), ("gradual", "begin"), ("gradual", "end"),
    ("gradual", "density"), ("dsr", "threshold"), ("gse", "subset"),
    ("sparse-momentum", "growth_memory"), ("sparse-momentum", "candidate_factor"),
])  # fmt: skip
def test_algorithms_take_numbers_alone(name, option):
    for value in NONE:
        with pytest.raises(ParameterError):
            TOPOLOGIES[name](**{option: value})


@pytest.mark.parametrize(("name", "values"), [
    ("hidden_layer_sizes", ["a", None, [[3], [4]], (8, "x"), (2.5,), (math.inf,)]),
    ("dtype", ["int8", "zzz", None, 3]),
    ("learning_rate_init", NONE), ("alpha", NONE), ("beta_1", NONE), ("solver", [[], {}, 3]),
])  # fmt: skip
def test_estimators_refuse_what_is_none(name, values):
    x, y = np.eye(6), np.arange(6) % 2
    for value in values:
        with pytest.raises(ParameterError, match=name):
            SparseMLPClassifier(max_iter=1, **{name: value}).fit(x, y)
