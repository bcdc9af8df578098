"""``partial_fit`` is one run: copies, pickles, and other numbers of samples do not disturb it."""

import contextlib
import copy
import io
import pickle

import joblib
import numpy as np
import pytest

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.errors import ParameterError, SparseCPUError
from sparsecpu.topology import SET

pytestmark = pytest.mark.filterwarnings("ignore::sparsecpu.errors.DivergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((300, 40)).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
CLASSES = {"classes": [0, 1, 2]}


def dumped(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


COPIES = [copy.deepcopy, dumped, lambda model: pickle.loads(pickle.dumps(model))]


def parts(calls):
    """Yield samples of as many calls, not as many in each: row numbers."""
    for call in range(calls):
        size = (33, 7, 64, 1, 96)[call % 5]
        yield (np.arange(size) * 7 + call) % len(X)


def facts(model):
    """All that training has made, and where it has come to."""
    arrays = {}
    for name, p in model.network_.parameters().items():
        arrays |= {name: p.data, **{f"{name} {slot}": v for slot, v in p.slots.items()}}
        if hasattr(p, "pattern"):
            arrays[f"{name} columns"] = p.pattern.indices
    made = {name: array.tobytes() for name, array in (arrays | model.network_.buffers()).items()}
    return made, model.loss_curve_, model.n_iter_, model.t_


MODELS = {
    topology: SparseMLPClassifier(
        (30, 20), density=0.3, topology=topology, solver=solver, dropout=0.1, batch_norm=True,
        batch_size=4, random_state=1, max_iter=100,
    )
    for topology, solver in (("sparse-momentum", "adam"), ("rigl", "sgd"), ("deep-r", "adam"),
                             ("dsr", "sgd"))
} | {
    "half precision": SparseMLPRegressor((20,), precision="bf16", batch_size=4, random_state=1),
    "images": SparseCNNClassifier("lenet-5-caffe", image_shape=(1, 28, 28), batch_size=4,
                                  random_state=1, max_iter=20, topology="gse"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_copies_go_on_as_the_model_itself(name):
    x = X if name != "images" else np.resize(X, (len(X), 784))
    y, first = (LABELS * 1.0, {}) if name == "half precision" else (LABELS, CLASSES)
    alone, model, copies = copy.deepcopy(MODELS[name]), copy.deepcopy(MODELS[name]), []
    for call, rows in enumerate(parts(4 if name == "images" else 8)):
        for one in (alone, model, *copies):
            one.partial_fit(x[rows], y[rows], **first)
        if call < len(COPIES):
            copies.append(COPIES[call](copies[-1] if call == 1 else model))
    expected = facts(alone)
    assert all(facts(one) == expected for one in (model, *copies))


@pytest.mark.parametrize("topology", ["deep-r", "sparse-momentum"])
def test_the_first_part_is_a_fit_of_one_epoch(topology):
    options = dict(topology=topology, max_iter=1, random_state=0, batch_size=2, density=0.3)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        fitted = SparseMLPClassifier((20,), **options).fit(X, LABELS)
    first = SparseMLPClassifier((20,), **options).partial_fit(X, LABELS, **CLASSES)
    assert facts(first) == facts(fitted)


@pytest.mark.parametrize(
    ("wrong", "factor"),
    [(dict(early_stopping=True, validation_fraction=0.003), 1), (dict(topology="no rule"), 1),
     (dict(dtype="float64"), 1e300)], ids=["nothing to hold out", "no topology", "beyond float32"],
)  # fmt: skip
def test_parts_go_on_behind_a_warm_start_that_is_refused(wrong, factor):
    """Its network stays in the type that it was made in, whatever ``dtype`` says by then."""
    topology = SET(update_every=3, prune_rate=0.3)
    model = SparseMLPClassifier((20,), density=0.3, topology=topology, batch_size=16,
                                random_state=0).partial_fit(X, LABELS, **CLASSES)  # fmt: skip
    alone, before = copy.deepcopy(model), model.get_params()
    with pytest.raises(SparseCPUError):
        model.set_params(warm_start=True, **wrong).fit(X * np.float64(factor), LABELS)
    model.set_params(**before)
    for one in (alone, model):
        one.partial_fit(X, LABELS).partial_fit(X, LABELS)
    assert facts(model) == facts(alone)


def test_each_call_has_batches_of_its_own_size():
    model = SparseMLPClassifier((10,), random_state=0).partial_fit(X[:7], LABELS[:7], **CLASSES)
    model.partial_fit(X, LABELS)
    assert model._progress.steps == 1 + 2  # of at most 200 samples, whatever the first call had
    model.set_params(batch_size=30).partial_fit(X, LABELS)
    assert model._progress.steps == 3 + 10


@pytest.mark.parametrize(
    "change", [dict(alpha=10.0), dict(learning_rate_init=0.1), dict(topology=SET(prune_rate=0.9)),
               dict(solver="sgd"), dict(shuffle=False)], ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_parameters_that_change_act_in_copies_and_without(change):
    model = SparseMLPClassifier((20,), density=0.3, topology=SET(update_every=5, prune_rate=0.1),
                                batch_size=8, random_state=0)  # fmt: skip
    model.partial_fit(X, LABELS, **CLASSES)
    as_before, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    for one in (model, again):
        one.set_params(**change).partial_fit(X, LABELS).partial_fit(X, LABELS)
    as_before.partial_fit(X, LABELS).partial_fit(X, LABELS)
    assert facts(model) == facts(again) != facts(as_before)


def test_a_call_that_is_broken_off_leaves_the_next_one_whole(monkeypatch):
    model = SparseMLPClassifier((20,), batch_size=10, random_state=0)
    model.partial_fit(X[:50], LABELS[:50], **CLASSES)
    forward, passes = model.network_.forward, iter(range(100))

    def interrupted(*arguments):
        if next(passes) == 3:
            raise KeyboardInterrupt
        return forward(*arguments)

    monkeypatch.setattr(model.network_, "forward", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        model.partial_fit(X[:100], LABELS[:100])
    monkeypatch.undo()
    before = model._progress.steps
    model.partial_fit(X[:20], LABELS[:20])
    trained = model._progress.steps - before
    assert trained in (2, 5)  # both batches, perhaps counted with the three before


@pytest.mark.parametrize("again", COPIES)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_warm_start_goes_on_as_without_a_copy(again):
    model = SparseMLPClassifier((20,), density=0.3, warm_start=True, early_stopping=True,
                                max_iter=2, random_state=np.random.RandomState(0))  # fmt: skip
    copied = again(model.fit(X, LABELS))
    assert facts(copied.fit(X, LABELS).fit(X, LABELS)) == facts(model.fit(X, LABELS).fit(X, LABELS))
    copied = again(model.set_params(early_stopping=False))
    assert facts(copied.partial_fit(X, LABELS)) == facts(model.partial_fit(X, LABELS))


def test_weights_by_class_hold_for_every_part():
    """Also where a part lacks a class that has a weight, and has one that has none."""
    model = SparseMLPClassifier((20,), class_weight={0: 3.0, 2: 5.0}, random_state=0)
    plain = SparseMLPClassifier((20,), random_state=0)
    for rows in (np.flatnonzero(LABELS == 1), np.flatnonzero(LABELS < 2), np.arange(300)):
        weights = np.array([3.0, 1.0, 5.0])[LABELS[rows]]
        model.partial_fit(X[rows], LABELS[rows], **CLASSES)
        plain.partial_fit(X[rows], LABELS[rows], sample_weight=weights, **CLASSES)
    assert facts(model) == facts(plain)


def test_balanced_weights_are_refused_in_parts():
    with pytest.raises(ParameterError, match="class_weight"):
        SparseMLPClassifier(class_weight="balanced").partial_fit(X, LABELS, **CLASSES)
