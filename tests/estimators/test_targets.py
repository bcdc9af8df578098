"""What ``y`` may be: it is learnt as it is meant, or refused in one short line."""

import datetime
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.errors import DataError, SparseCPUError
from sparsecpu.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
N = 40
X = RNG.standard_normal((N, 5))
CLASSES = np.arange(N) % 3
LABELS = (RNG.random((N, 4)) < 0.5).astype(int)


def made(kind=SparseMLPClassifier, **options):
    return kind((6,), density=0.5, max_iter=2, random_state=0, n_jobs=1, **options)


#: What nobody can mean.
BAD = {
    "bytes": np.array([b"a", b"b", b"c"])[CLASSES],
    "complex": CLASSES + 1j,
    "records": np.zeros(N, [("a", "i4")]),
    "void": np.zeros(N, "V4"),
    "mixed": np.array(["a", 1, 2.5], object)[CLASSES],
    "none": np.array(["a", None, "b"], object)[CLASSES],
    "NA": pd.array([1, None] * (N // 2), dtype="Int64"),
    "dates": [datetime.date(2020, 1, 1)] * N,
    "ragged": [[1, 2]] * (N - 1) + [[1]],
    "dictionary": {"a": 1},
    "number": 3,
    "cube": np.zeros((N, 2, 2)),
    "huge": CLASSES.astype(object) * 10**400,
    "nan": np.where(CLASSES > 0, np.nan, 1.0),
    "short": CLASSES[:-1],
}
#: Beside these, what is wrong for one of them.
BAD_FOR = {
    SparseMLPClassifier: {"fractions": CLASSES + 0.5, "pairs": np.c_[CLASSES, CLASSES]},
    SparseMLPRegressor: {
        "text": np.array(["1", "2", "3"])[CLASSES],
        "text objects": np.array(["1", "2", "3"], object)[CLASSES],
        "days": CLASSES.astype("M8[D]"),
        "too large": np.where(np.arange(N) == 7, 1e39, 0.0),
    },
}
CASES = [(kind, name, y) for kind, more in BAD_FOR.items() for name, y in {**BAD, **more}.items()]


@pytest.mark.parametrize(("kind", "name", "y"), CASES, ids=lambda value: str(value)[:14])
def test_what_nobody_can_mean_is_refused_in_one_short_line(kind, name, y):
    model = made(kind)
    calls = [lambda: model.fit(X, y)]
    if kind is SparseMLPRegressor:
        calls.append(lambda: model.partial_fit(X, y))
    else:
        calls.append(lambda: model.partial_fit(X, y, classes=np.arange(3)))
    for call in calls:
        with pytest.raises(ValueError) as caught:
            call()
        text = str(caught.value)
        assert len(text) < 250
        assert "\n" not in text
        assert "array(" not in text
        if name not in ("nan", "NA", "short", "fractions"):  # which scikit-learn says well enough
            assert isinstance(caught.value, SparseCPUError)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, 5, 9], object), np.array(["a", "b", "c"], object), np.array(["a", "bb", "c"]),
        np.array([1.0, 2.0, 4.0]), np.array([0, 255, 7], np.uint8), np.array(["x", "y", "z"], "T"),
        np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "M8[D]"), pd.Series(["u", "v", "w"]),
        pd.Categorical(["u", "v", "w"]),
    ],
    ids=lambda labels: str(labels.dtype),
)  # fmt: skip
def test_labels_of_any_type_come_back(labels):
    y = labels[CLASSES]
    model = made().fit(X, y)
    assert set(model.predict(X).tolist()) <= set(np.asarray(y).tolist())
    assert 0 <= model.score(X, y) <= 1


def test_truth_values_are_two_classes():
    y = np.array([True, False], object)[CLASSES % 2]
    assert made().fit(X, y).predict(X).dtype == bool


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", [int, float, bool])
def test_sparse_labels_are_learnt_as_dense_ones(form, kind):
    thin = sparse.csr_array(LABELS.astype(kind)).asformat(form)
    one, other = made().fit(X, LABELS), made().fit(X, thin)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(one.classes_, other.classes_)
    assert one.score(X, LABELS) == other.score(X, thin)


def test_sparse_labels_in_parts_and_with_early_stopping():
    thin = sparse.csr_matrix(LABELS)
    part = made().partial_fit(X, thin, classes=np.arange(4))
    np.testing.assert_array_equal(
        part.predict_proba(X), made().partial_fit(X, LABELS, np.arange(4)).predict_proba(X)
    )
    assert made(early_stopping=True).fit(X, thin).predict(X).shape == LABELS.shape
    image = SparseCNNClassifier("lenet-300-100", image_shape=(1, 28, 28), max_iter=1, n_jobs=1)
    pixels = RNG.standard_normal((N, 784)).astype(np.float32)
    assert image.fit(pixels, thin).predict(pixels).shape == LABELS.shape


def test_truth_values_are_labels_and_others_are_not():
    one, other = made().fit(X, LABELS), made().fit(X, LABELS.astype(bool))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    with pytest.raises(DataError, match=r"y\[\d+, \d\] is 2"):
        made().fit(X, LABELS + 1)


def test_parts_and_warm_starts_keep_to_the_kind_of_the_first_targets():
    with pytest.raises(DataError, match="one label per sample"):
        made().partial_fit(X, CLASSES, [0, 1, 2]).partial_fit(X, LABELS)
    warm = made(warm_start=True).fit(X, LABELS)
    for wrong in (CLASSES, LABELS[:, :3]):
        with pytest.raises(DataError, match="expected"):
            warm.fit(X, wrong)
    with pytest.raises(DataError, match="as before"):
        made(SparseMLPRegressor).partial_fit(X, CLASSES).partial_fit(X, LABELS)


def test_one_hot_labels_are_told_what_they_are_learnt_as():
    with pytest.warns(UserWarning, match="argmax"):
        model = made().fit(X, np.eye(3)[CLASSES])
    assert model.predict(X).shape == (N, 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="every row")
        made().fit(X, LABELS)
        made().partial_fit(X[:2], np.eye(4)[:2], classes=np.arange(4))


@pytest.mark.parametrize(
    "y", [CLASSES.astype(object), [Decimal("1.5")] * N, sparse.csr_array(LABELS), CLASSES > 0],
    ids=["objects", "decimals", "sparse", "bool"],
)  # fmt: skip
def test_numbers_of_any_type_are_regressed(y):
    model = made(SparseMLPRegressor).fit(X, y)
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy(), SigmoidCrossEntropy(), SquaredError()])
@pytest.mark.parametrize("name", [n for n in BAD if n not in ("nan", "short", "NA")])
def test_losses_refuse_the_same(loss, name):
    with pytest.raises(SparseCPUError) as caught:
        loss.prepare(BAD[name], 3)
    assert len(str(caught.value)) < 250


def test_a_softmax_says_how_to_make_classes_of_one_hot_labels():
    with pytest.raises(SparseCPUError, match="argmax"):
        SoftmaxCrossEntropy().prepare(np.eye(3)[CLASSES], 3)
