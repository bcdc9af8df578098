"""``group`` of the estimators: rows of their layers share columns, through every way to train."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.errors import ParameterError
from sparsecpu.networks import group_choice
from sparsecpu.networks.description import mlp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def data(rng):
    x = rng.standard_normal((64, 12))
    return x, (x[:, 0] > 0).astype(int)


def made(group=4, kind=SparseMLPClassifier, **options):
    options = {"max_iter": 3, "topology": "static", "density": 0.3, "n_jobs": 1,
               "distribution": "uniform", **options}  # fmt: skip
    return kind((24, 16), group=group, random_state=0, **options)


def groups_of(model):
    return [p.pattern.group for p in model.network_.sparse_parameters().values()]


def same(one, other):
    found = other.network_.parameters()
    for name, p in one.network_.parameters().items():
        np.testing.assert_array_equal(found[name].data, p.data)


def test_it_is_a_parameter_like_others(data):
    model = made(8)
    assert model.get_params()["group"] == 8
    assert clone(model).group == 8
    model.set_params(group=4).fit(*data)
    assert groups_of(model) == [4, 4, 4]
    assert model.group_ == 4
    assert made(1).fit(*data).density_ == pytest.approx(model.density_, abs=0.02)
    again = pickle.loads(pickle.dumps(model))
    assert groups_of(again) == [4, 4, 4]
    np.testing.assert_array_equal(again.predict(data[0]), model.predict(data[0]))


def test_it_learns(rng):
    x = rng.standard_normal((300, 12))
    y = x[:, :2].sum(axis=1)
    options = {"max_iter": 150, "tol": 0, "learning_rate_init": 0.02}
    assert made(**options).fit(x, y > 0).score(x, y > 0) > 0.9
    assert made(**options, kind=SparseMLPRegressor).fit(x, y).score(x, y) > 0.8


def test_training_in_parts_goes_on_after_a_pickle(data):
    x, y = data
    whole, broken = (made(solver="sgd").partial_fit(x, y, classes=[0, 1]) for _ in range(2))
    broken = pickle.loads(pickle.dumps(broken))
    for model in (whole, broken):
        model.partial_fit(x, y)
    same(whole, broken)
    assert groups_of(broken) == [4, 4, 4]


def test_a_warm_start_goes_on_with_the_network_that_is_there(data):
    model = made(warm_start=True).fit(*data)
    network = model.network_
    model.set_params(group=1).fit(*data)
    assert model.network_ is network
    assert groups_of(model) == [4, 4, 4]
    assert groups_of(model.set_params(warm_start=False).fit(*data)) == [1, 1, 1]


@pytest.mark.parametrize("group", [0, 3, "4", "dense", None, True, 1.5, [4], ["x", 1, 1], {4}])
def test_wrong_values_are_refused_when_it_fits(group, data):
    model = made(group)
    assert model.get_params()["group"] is group
    with pytest.raises(ParameterError, match="group"):
        model.fit(*data)
    assert not hasattr(model, "network_")


def test_auto_takes_what_is_fastest_and_says_so(data, monkeypatch):
    times = iter([{"1": 4.0, "2": 2.0, "4": 1.0, "8": 0.99}, {"1": 2.0, "2": 3.0, "dense": 1.0}])
    monkeypatch.setattr(group_choice, "race", lambda *args: next(times, {"1": 1.0}))
    model = made("auto").fit(*data)
    assert model.group_ == [4, "dense", 1]  # 8 is not worth 1 %
    assert groups_of(model) == [4, 1, 1]
    assert [x.form for x in model.network_.layers if x.has_two_forms] == [
        "sparse", "dense", "sparse"
    ]  # fmt: skip
    assert model.group == "auto"
    same(model, made(model.group_).fit(*data))


def test_estimators_of_images_have_it(rng):
    def described(shape, outputs):  # without a convolution, whose kernels take long to compile
        return mlp(shape, (16,), outputs)

    x, y = rng.standard_normal((8, 1, 8, 8)), np.arange(8) % 2
    model = SparseCNNClassifier(described, group=4, max_iter=1, topology="static", n_jobs=1)
    assert groups_of(model.set_params(distribution="uniform").fit(x, y)) == [4, 4]
    with pytest.raises(ParameterError, match="group"):
        model.set_params(group=3).fit(x, y)
