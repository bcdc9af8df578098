"""Weights of samples and classes, numbers beyond float32, and parameters of wrong types."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.utils.class_weight import compute_sample_weight

from sparsecpu import SparseMLPClassifier, SparseMLPRegressor, Trainer
from sparsecpu.errors import ConflictError, DataError, ParameterError, SparseCPUError
from sparsecpu.layers import Sequential, SparseLinear
from sparsecpu.losses import SoftmaxCrossEntropy

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
N = 40
X = RNG.standard_normal((N, 5))
CLASSES = np.arange(N) % 3
LABELS = (RNG.random((N, 4)) < 0.5).astype(int)
ESTIMATORS = [SparseMLPClassifier, SparseMLPRegressor]


def made(kind=SparseMLPClassifier, **options):
    options = {"max_iter": 2, "n_jobs": 1, **options}
    return kind((6,), density=0.5, random_state=0, **options)


def with_one(value):
    weights = np.ones(N)
    weights[7] = value
    return weights


BAD_WEIGHTS = [
    with_one(-1.0), with_one(np.nan), with_one(np.inf), with_one(1e300), with_one(1e-300),
    -np.ones(N), np.zeros(N), np.ones(N - 1), np.ones((N, 2)), "a", ["1"] * N, [b"1"] * N, -1,
    np.ones(N) + 1j, np.ones(N, "M8[D]"),
]  # fmt: skip


@pytest.mark.parametrize("weights", BAD_WEIGHTS, ids=lambda w: str(np.ravel(w)[:8])[:28])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_wrong_weights_are_refused_alike_everywhere(kind, weights):
    fitted = made(kind).fit(X, CLASSES)
    classes = {"classes": [0, 1, 2]} if kind is SparseMLPClassifier else {}
    texts = set()
    for call in (
        lambda: made(kind).fit(X, CLASSES, weights),
        lambda: made(kind).partial_fit(X, CLASSES, sample_weight=weights, **classes),
        lambda: fitted.score(X, CLASSES, weights),
    ):
        with pytest.raises(SparseCPUError) as caught:
            call()
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert len(texts.pop()) < 150


def test_a_trainer_refuses_negative_weights_by_place():
    trainer = Trainer(Sequential([SparseLinear(5, 3)]), loss=SoftmaxCrossEntropy(), epochs=1)
    for value in (-1.0, np.nan):
        with pytest.raises(DataError, match=r"sample_weight\[7\]"):
            trainer.fit(X, CLASSES, with_one(value))


def test_one_weight_stands_for_all():
    one, other = made().fit(X, CLASSES, 1.0), made().fit(X, CLASSES, np.ones(N))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.score(X, CLASSES, 2.0) == pytest.approx(one.score(X, CLASSES))


@pytest.mark.parametrize("weights", [{0: 2.0, 1: 0.5}, {0: 1, 1: 1, 2: 0}, "balanced", {}])
def test_class_weights_are_weights_of_samples(weights):
    """As scikit-learn computes them; with text for labels as well."""
    names = np.array(["a", "b", "c"])
    named = {str(names[c]): w for c, w in weights.items()} if weights != "balanced" else weights
    expected = made().fit(X, CLASSES, compute_sample_weight(weights, CLASSES)).predict_proba(X)
    for model, y in ((made(class_weight=weights), CLASSES),
                     (made(class_weight=named), names[CLASSES])):  # fmt: skip
        np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), expected)


@pytest.mark.parametrize(
    "weights",
    [{0: -1}, {0: np.nan}, {0: "1"}, {0: True}, {0: np.inf}, "Balanced", [{0: 1}], 1, True,
     {"0": 2.0}, np.ones(3)],
    ids=str,
)  # fmt: skip
def test_wrong_class_weights_are_refused(weights):
    with pytest.raises(ParameterError, match="class_weight"):
        made(class_weight=weights).fit(X, CLASSES)


def test_class_weights_that_leave_nothing_to_learn_or_have_no_meaning_are_refused():
    with pytest.raises(DataError, match="class_weight"):
        made(class_weight={0: 0, 1: 0, 2: 0}).fit(X, CLASSES)
    with pytest.raises(ConflictError, match="class_weight"):
        made(class_weight="balanced").fit(X, LABELS)
    with pytest.raises(ConflictError, match="class_weight"):
        made(class_weight={0: 2}).partial_fit(X, LABELS, classes=np.arange(4))


def beyond(value=1e39):
    x = X.copy()
    x[3, 2] = value
    return x


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array], ids=["array", "csr"])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_numbers_beyond_float32_are_refused_by_place(kind, form):
    fitted = made(kind).fit(X, CLASSES)
    for value in (1e39, -1e300):
        x = form(beyond(value))
        for call in (lambda x: made(kind).fit(x, CLASSES), fitted.predict,
                     lambda x: fitted.partial_fit(x, CLASSES)):  # fmt: skip
            with pytest.raises(DataError, match=r"\[3, 2\] is .*sample 3, feature 2"):
                call(x)
    assert np.isfinite(fitted.predict(form(beyond(1e30)))).all()


def test_float64_holds_them():
    model = made(dtype="float64", max_iter=1).fit(beyond(), CLASSES)
    assert set(model.predict(beyond())) <= {0, 1, 2}


def test_a_trainer_refuses_them_as_well():
    network = Sequential([SparseLinear(5, 3)])
    trainer = Trainer(network, loss=SoftmaxCrossEntropy(), epochs=1)
    for call in (lambda: trainer.fit(beyond(), CLASSES), lambda: network.predict(beyond())):
        with pytest.raises(DataError, match=r"x\[3, 2\] is"):
            call()


@pytest.mark.parametrize(
    "x", [X.astype("M8[s]"), X.astype("m8[s]"), X + 1j, (X + 1j).tolist(), np.zeros((N, 5), "V4"),
          np.full((N, 5), 10**400, object)],
    ids=["dates", "spans", "complex", "complex list", "records", "huge"],
)  # fmt: skip
def test_samples_that_are_no_numbers_are_refused(x):
    for kind in ESTIMATORS:
        with pytest.raises(DataError, match=r"^X holds") as caught:
            made(kind).fit(x, CLASSES)
        assert len(str(caught.value)) < 120


WRONG = [
    None, "3", "", "False", np.nan, np.inf, -1, 1j, [], [1, 2], {}, np.array([2, 3]), object(),
]  # fmt: skip
BAD_PARAMETERS = {
    "alpha": [*WRONG, True], "learning_rate_init": [*WRONG, 0, True],
    "power_t": [*WRONG, 11, 2**70],
    "momentum": [*WRONG, 1, 1.0], "beta_1": [*WRONG, 1], "beta_2": [*WRONG, 1.0],
    "epsilon": [*WRONG, 0], "tol": WRONG, "validation_fraction": [*WRONG, 0, 1, True],
    "n_iter_no_change": [w for w in WRONG if w is not np.inf] + [0, 2.5],
    "batch_size": [*WRONG, 0, True, 2.0], "max_iter": [*WRONG, 0, True, 2.0],
    "density": [*WRONG, 0, 2, True], "dropout": [*WRONG, 1, 1.0, True],
    "shuffle": [*WRONG, 0, 1], "early_stopping": [*WRONG, 1],
    "warm_start": [*WRONG, 1], "nesterovs_momentum": [*WRONG, 1], "batch_norm": [*WRONG, 1],
    "verbose": [*WRONG, 1.5],
    "solver": WRONG, "activation": WRONG, "learning_rate": WRONG, "distribution": WRONG,
    "topology": WRONG, "precision": WRONG, "comm": WRONG[1:], "random_state": WRONG[1:],
    "hidden_layer_sizes": [None, "3", "", np.nan, np.inf, -1, 0, 1j, {}, object(), (3, 0), [2.5]],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PARAMETERS)
def test_wrong_parameters_are_refused_by_name(name):
    for value in BAD_PARAMETERS[name]:
        for kind in ESTIMATORS:
            with pytest.raises(ParameterError, match=name) as caught:
                made(kind).set_params(**{name: value}).fit(X, CLASSES)
            text = str(caught.value)
            assert "array(" not in text
            assert len(text) < 250


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.longdouble])
def test_parameters_may_be_numbers_of_numpy(kind):
    options = {
        "alpha": kind(0.5), "learning_rate_init": kind(0.25), "validation_fraction": kind(0.25),
        "tol": kind(0.5), "density": kind(0.5), "dropout": kind(0.25), "early_stopping": np.True_,
        "batch_size": np.int64(8), "max_iter": np.int8(2), "hidden_layer_sizes": np.array([4]),
        "random_state": np.int64(1), "verbose": np.int64(0),
    }  # fmt: skip
    made().set_params(**options).fit(X, CLASSES)
