"""Exceptions come back whole from copies, pickles and other processes."""

import copy
import inspect
import multiprocessing
import pickle

import numpy as np
import pandas as pd
import pytest
import raising
from joblib.externals.loky import ProcessPoolExecutor
from scipy import sparse
from sklearn.model_selection import GridSearchCV

from sparsecpu import SparseMLPClassifier, errors

#: How to make each class that takes more than a message.
ARGUMENTS = {
    "ParameterError": ("density", 2.0, "a number in (0, 1]"),
    "ConflictError": ("lean", "rigl", "which needs stored gradients"),
    "DivergedError": (7, float("inf"), 0.5, "layer 0.weight"),
    "MissingExtraError": ("torch", "reading .pt files", "torch"),
    "ForkError": (),
    "InUseError": ("trains it",),
    "NotFiniteError": (),
}
#: With all warnings.
EXCEPTIONS = {
    name: ARGUMENTS.get(name, ("a message",))
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, errors.SparseCPUError | Warning)
}


def assert_same(error, name):
    there = getattr(errors, name)(*EXCEPTIONS[name])
    assert type(error) is type(there)
    assert (str(error), error.args) == (str(there), there.args)
    for attribute, value in vars(there).items():
        assert getattr(error, attribute) == value


@pytest.mark.parametrize("name", EXCEPTIONS)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_copies_are_whole(name, again):
    error = getattr(errors, name)(*EXCEPTIONS[name])
    error.add_note("while reading the third file")
    found = again(error)
    assert_same(found, name)
    assert found.__notes__ == ["while reading the third file"]


def test_what_cannot_be_pickled_comes_back_as_its_text():
    error = errors.ParameterError("loss", (1, lambda: 0, np.arange(3)), "a loss")
    found = pickle.loads(pickle.dumps(error))
    assert str(found) == str(error)
    assert found.value[0] == 1
    assert found.value[2] == "array([0, 1, 2])"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(5), "5"), (np.float32(0.5), "0.5"), (np.str_("a"), "'a'"), (np.True_, "True"),
        (np.array(3), "3"), (np.arange(3), "[0, 1, 2]"), ([np.int64(3), (np.float64(1),)],
        "[3, (1.0,)]"), ({np.str_("a"): np.uint8(1)}, "{'a': 1}"), (np.longdouble(1.5), "1.5"),
        (np.datetime64("2020-01-01"), "2020-01-01"), (np.zeros((2, 3)), "an array of float64, "
        "shape (2, 3)"), (pd.DataFrame({"a": [1, 2]}), "a DataFrame"), (object(), "an object"),
        (10**5000, "an integer of 16610 bits"), ("a\nb", "'a\\nb'"),
        (sparse.csr_array((3, 4)), "a csr_array of float64, shape (3, 4)"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_messages_show_values_as_people_write_them(value, text):
    assert str(errors.ParameterError("n", value, "a number")) == f"n is {text}; expected a number"


@pytest.mark.parametrize("value", [np.arange(5000.0), [1] * 5000, "x" * 5000, [[[[[1]]]]] * 50,
                                   dict.fromkeys(range(5000)), np.zeros(5000, "U9")],
                         ids=lambda value: type(value).__name__)  # fmt: skip
def test_messages_never_show_all_of_much(value):
    assert len(str(errors.ParameterError("n", value, "an integer"))) < 250


def test_an_import_error_keeps_its_message():
    error = errors.MissingExtraError(*ARGUMENTS["MissingExtraError"])
    assert pickle.loads(pickle.dumps(error)).msg == error.msg == str(error)


def test_processes_that_are_spawned_hand_them_back():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        waiting = {n: pool.apply_async(raising.made, (n, a)) for n, a in EXCEPTIONS.items()}
        for name, result in waiting.items():
            with pytest.raises(getattr(errors, name)) as caught:
                result.get(timeout=60)
            assert_same(caught.value, name)


def test_loky_hands_them_back():
    with ProcessPoolExecutor(1) as pool:
        waiting = {n: pool.submit(raising.made, n, a) for n, a in EXCEPTIONS.items()}
        for name, result in waiting.items():
            assert_same(result.exception(timeout=60), name)


def test_a_grid_search_says_what_was_wrong():
    x, y = np.random.default_rng(0).standard_normal((20, 2)), np.arange(20) % 2
    search = GridSearchCV(SparseMLPClassifier(max_iter=1), {"density": [3.0]}, cv=2, n_jobs=2,
                          error_score="raise")  # fmt: skip
    with pytest.raises(errors.ParameterError) as caught:
        search.fit(x, y)
    assert (caught.value.name, caught.value.value) == ("density", 3.0)


def test_who_catches_value_errors_catches_training_that_diverged():
    error = errors.DivergedError(3, float("nan"), 1.0)
    assert isinstance(error, ValueError)
    assert isinstance(error, ArithmeticError)  # as it has always been
