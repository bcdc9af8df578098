"""Targets of every type in an archive: read as they are meant, or refused in one line."""

import warnings

import numpy as np
import pytest

from sparsecpu.datasets import read_npz
from sparsecpu.errors import DataError, DataWarning

RNG = np.random.default_rng(0)
N = 60
X = RNG.standard_normal((N, 5))
CLASSES = np.arange(N) % 3
LABELS = (RNG.random((N, 4)) < 0.5).astype(int)
ONE_HOT = np.eye(3, dtype=int)[CLASSES]


@pytest.fixture
def archive(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


def classes_of(dataset):
    return dataset.classes[np.concatenate([dataset.y_train, dataset.y_test])]


@pytest.mark.parametrize("kind", [int, float, bool, np.uint8])
@pytest.mark.parametrize("task", ["auto", "classification"])
def test_one_hot_rows_are_classes_and_that_is_said(archive, kind, task):
    path = archive(x=X, y=ONE_HOT.astype(kind))
    with pytest.warns(DataWarning, match=r"classes 0 to 2.*--task regression") as caught:
        found = read_npz(path, task=task)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = read_npz(path, task="regression")
        plain = read_npz(archive(x=X, y=CLASSES))
    assert (found.task, found.classes.tolist()) == ("classification", [0, 1, 2])
    np.testing.assert_array_equal(found.y_train, plain.y_train)
    np.testing.assert_array_equal(found.x_test, plain.x_test)
    assert (numbers.task, numbers.y_train.shape[1]) == ("regression", 3)


@pytest.mark.filterwarnings("ignore::sparsecpu.errors.DataWarning")
def test_one_hot_rows_of_two_parts(archive):
    parts = {"x_train": X[:40], "x_test": X[40:], "y_train": ONE_HOT[:40]}
    found = read_npz(archive(**parts, y_test=ONE_HOT[40:]))
    np.testing.assert_array_equal(found.y_test, CLASSES[40:])
    np.testing.assert_array_equal(
        read_npz(archive(**parts, y_test=CLASSES[40:])).y_test, CLASSES[40:]
    )
    with pytest.raises(DataError, match="y_test"):
        read_npz(archive(**parts, y_test=LABELS[40:]))
    numbers = {**parts, "y_train": RNG.standard_normal((40, 3))}
    assert read_npz(archive(**numbers, y_test=ONE_HOT[40:])).task == "regression"


@pytest.mark.parametrize("kind", [int, float, bool])
def test_several_labels_are_refused_but_as_numbers(archive, kind):
    path = archive(x=X, y=LABELS.astype(kind))
    for task in ("auto", "classification"):
        with pytest.raises(DataError, match="several labels"):
            read_npz(path, task=task)
    assert read_npz(path, task="regression").y_train.shape == (48, 4)


def test_columns_of_numbers_are_no_classes(archive):
    path = archive(x=X, y=np.c_[CLASSES, CLASSES])
    assert read_npz(path).task == "regression"
    with pytest.raises(DataError, match="one label per sample"):
        read_npz(path, task="classification")


@pytest.mark.parametrize(
    "y", [CLASSES + 1j, CLASSES.astype("M8[s]"), CLASSES.astype("m8[s]"), CLASSES.astype(object),
          np.zeros(N, [("a", "i4")]), np.zeros((N, 2, 2)), np.array(3), np.array([["a", "b"]] * N)],
    ids=["complex", "dates", "spans", "objects", "records", "cube", "number", "text pairs"],
)  # fmt: skip
def test_what_nobody_can_mean_is_refused_in_one_line(archive, y):
    path = archive(x=X, y=y)
    with pytest.raises(DataError, match=r"y|header") as caught:
        read_npz(path)
    text = str(caught.value).replace(str(path), "")
    assert len(text) < 150
    assert "array(" not in text.replace("asarray(", "")


def test_a_type_that_is_not_read_is_no_damage(archive):
    with pytest.raises(DataError, match="y holds elements of type") as caught:
        read_npz(archive(x=X, y=CLASSES.astype("M8[s]")))
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_targets_beyond_float32_are_refused_by_place(archive, value):
    y = RNG.standard_normal(N)
    y[7] = value
    with pytest.raises(DataError, match=r"sample 8, target 1 is"):
        read_npz(archive(x=X, y=y))


def test_messages_show_labels_as_people_write_them(archive):
    with pytest.raises(DataError) as caught:
        read_npz(archive(x=X, y=np.array(["a", "b", "c"])[CLASSES]), task="regression")
    assert "('a')" in str(caught.value)
