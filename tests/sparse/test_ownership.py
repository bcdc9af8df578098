"""Patterns, values and slots always fit: what would not is refused, and nothing has changed."""

import copy
import os
import pickle
import signal

import numpy as np
import pytest

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.sparse import parameter as module
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern


def made(seed=0):
    rng = np.random.default_rng(seed)
    p = SparseParameter(Pattern.random((5, 8), 12, rng), rng.standard_normal(12))
    p.slot("momentum")[:] = np.arange(12)
    p.grad[:] = 1
    return p


def everything(p):
    return {"indices": p.pattern.indices.copy(), **{n: v.copy() for n, v in p.vectors().items()}}


def free(p, count):
    return np.setdiff1d(np.arange(p.pattern.size), p.pattern.keys())[:count]


WRONG_REWIRING = {
    "a value too few": lambda p, new: ([0, 1], new, {"data": [1.0]}),
    "a value for all": lambda p, new: ([0, 1], new, {"momentum": np.float32(1)}),
    "text": lambda p, new: ([0, 1], new, {"data": ["a", "b"]}),
    "no name": lambda p, new: ([0, 1], new, {3: [1.0, 2.0]}),
    "a late bad slot": lambda p, new: ([0, 1], new, {"data": [1.0, 2.0], "momentum": [[1.0, 2.0]]}),
    "a place too far": lambda p, new: ([0, 12], new, {}),
    "a place from the end": lambda p, new: ([0, -1], new, {}),
    "places as floats": lambda p, new: ([0.0, 1.0], new, {}),
    "a mask": lambda p, new: (np.zeros(12, bool), new, {}),
    "a key too far": lambda p, new: ([0, 1], [new[0], 40], {}),
    "a key below 0": lambda p, new: ([0, 1], [new[0], -1], {}),
    "a key twice": lambda p, new: ([0, 1], [new[0], new[0]], {}),
    "a key that is there": lambda p, new: ([0, 1], p.pattern.keys()[2:4], {}),
    "keys as floats": lambda p, new: ([0, 1], new * 1.0, {}),
    "a key beyond int64": lambda p, new: ([0, 1], [new[0], 1 << 64], {}),
}


@pytest.mark.parametrize("wrong", WRONG_REWIRING.values(), ids=WRONG_REWIRING)
def test_a_refused_rewiring_changes_nothing(wrong):
    p = made()
    before = everything(p)
    with pytest.raises(PatternError):
        p.rewire_keys(*wrong(p, free(p, 2)))
    after = everything(p)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def test_rows_and_columns_come_in_pairs():
    p = made()
    with pytest.raises(PatternError, match="2 rows and 1 columns"):
        p.rewire([], [0, 1], [0])
    with pytest.raises(PatternError, match="rows of new positions"):
        p.rewire([], [5], [0])


def test_memory_that_is_not_there_changes_nothing(monkeypatch):
    p, taken = made(), []

    def scarce(shape, dtype):
        taken.append(shape)
        if len(taken) == 3:
            raise MemoryError
        return np.empty(shape, dtype)

    before = everything(p)
    monkeypatch.setattr(module, "aligned_empty", scarce)
    with pytest.raises(MemoryError):
        p.rewire_keys([0], free(p, 3))
    for name, old in before.items():
        np.testing.assert_array_equal(everything(p)[name], old)


def test_ctrl_c_waits_until_a_rewiring_is_whole(monkeypatch):
    p, real = made(), module.move
    wanted = made()
    wanted.rewire_keys([0], free(wanted, 3))

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        real(*arguments)

    monkeypatch.setattr(module, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        p.rewire_keys([0], free(p, 3))
    assert p.pattern == wanted.pattern
    for name, vector in wanted.vectors().items():
        np.testing.assert_array_equal(p.vectors()[name], vector)


@pytest.mark.parametrize("name", ["data", "grad"])
def test_assigned_vectors_are_written_into_place(name):
    for p in (made(), Parameter(np.arange(12))):
        held, new = getattr(p, name), np.arange(12)[::-1]
        setattr(p, name, new)
        assert getattr(p, name) is held
        np.testing.assert_array_equal(held, new)
        for wrong in (np.zeros(11), np.zeros((12, 1)), 3, None, ["a"] * 12, np.zeros(12) + 1j):
            with pytest.raises(PatternError, match=name):
                setattr(p, name, wrong)
        np.testing.assert_array_equal(held, new)


def test_assigned_values_reach_the_second_copy():
    p = made()
    assert p.transposed_data.sum() != 12
    p.data = np.ones(12)
    np.testing.assert_array_equal(p.transposed_data, 1)


def test_slots_have_the_length_of_the_values():
    p = made()
    held = p.slots["momentum"]
    p.slots["momentum"] = np.ones(12, np.float64)
    assert p.slot("momentum") is held
    p.slots.update(second=range(12))
    assert p.slot("second").dtype == np.float32
    for change in (
        lambda: p.slots.update(momentum=np.ones(13)), lambda: p.slots.setdefault("new", np.ones(1)),
        lambda: p.slots.__setitem__("momentum", 1.0), lambda: setattr(p, "slots", {"a": [1]}),
    ):  # fmt: skip
        with pytest.raises(PatternError):
            change()
    p.rewire_keys([0, 1, 2], [])
    with pytest.raises(PatternError):
        p.slots["momentum"] = np.ones(12)
    p.slots |= {"momentum": np.ones(9)}


def test_a_pattern_is_replaced_by_one_that_fits():
    p = made()
    other = Pattern.random((5, 8), 12, np.random.default_rng(5))
    p.pattern = other
    assert p.pattern is other
    for wrong in (Pattern.full((5, 8)), Pattern.random((8, 5), 12, np.random.default_rng(0)), None):
        with pytest.raises(ParameterError, match="rewire"):
            p.pattern = wrong


def test_restored_vectors_fit_or_nothing_is_restored():
    p, before = made(), everything(made())
    full = Pattern.full((5, 8))
    for pattern, vectors in (
        (full, {"data": np.ones(12)}), (full, {"grad": np.ones(40)}), (None, {"data": np.ones(12)}),
        (full, {"data": np.ones(40), "momentum": np.ones(39)}),
    ):  # fmt: skip
        with pytest.raises(PatternError):
            p.restore(pattern, vectors)
        for name, old in before.items():
            np.testing.assert_array_equal(everything(p)[name], old)
    frozen = np.ones(40)[::1]
    frozen.setflags(write=False)
    p.restore(full, {"data": frozen, "momentum": np.arange(80)[::2]})
    p.data[0] = 5  # a copy: read-only, strided and integer arrays are of no use to kernels
    assert frozen[0] == 1
    assert p.slot("momentum").flags.c_contiguous


def test_a_pattern_owns_its_arrays():
    base = np.array([9, 0, 1, 2, 9], np.int32)
    pattern = Pattern((3, 4), np.arange(4), base[1:4])
    base[:] = 1000
    assert pattern.indices.tolist() == [0, 1, 2]
    for array in (pattern.indptr, pattern.indices, pattern.transposed.perm):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    with pytest.raises(PatternError, match="never changes"):
        pattern.indices = base


def test_copies_of_patterns_stay_frozen_and_valid():
    pattern = Pattern.random((5, 8), 12, np.random.default_rng(0))
    for copied in (copy.copy(pattern), copy.deepcopy(pattern), pickle.loads(pickle.dumps(pattern))):
        assert copied == pattern
        assert not copied.indices.flags.writeable
        with pytest.raises(ValueError, match="WRITEABLE"):
            copied.indptr.setflags(write=True)


def test_pickles_from_before_are_read():
    """Attributes alone, with arrays that can be written."""
    state = {"shape": (2, 3), "indptr": np.array([0, 1, 2]), "indices": np.array([2, 0], np.int32)}
    old = Pattern.__new__(Pattern)
    old.__setstate__({**state, "columns": 3, "_blocks": {}, "_chunks": {}})
    assert old == Pattern((2, 3), [0, 1, 2], [2, 0])
    assert not old.indices.flags.writeable


def test_copies_of_parameters_are_whole():
    p = made()
    assert len(p.transposed_data) == 12
    for other in (pickle.loads(pickle.dumps(p)), copy.deepcopy(p)):
        for name, vector in p.vectors().items():
            np.testing.assert_array_equal(other.vectors()[name], vector)
            assert other.vectors()[name].ctypes.data % 64 == 0
        other.data = np.zeros(12)
        assert p.data.any()
        assert not other.transposed_data.any()


@pytest.mark.parametrize("keys", [[3, 1], [1, 1], [-1, 2], [0, 12], [0.5, 1.5], [[0, 1]]])
def test_keys_are_checked(keys):
    with pytest.raises(PatternError, match="keys"):
        Pattern.from_keys((3, 4), keys)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, "O", None, 3, "x"])
def test_values_are_float32_or_float64(dtype):
    with pytest.raises(ParameterError, match="dtype"):
        Parameter(np.zeros(3), dtype)
