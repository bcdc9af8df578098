"""What an estimator is given it neither changes nor keeps."""

import contextlib
import copy
import gc
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sparsecpu import SparseCNNClassifier, SparseMLPClassifier, SparseMLPRegressor
from sparsecpu.errors import DataError, DivergedError
from sparsecpu.topology import SET

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:Training interrupted"),
    pytest.mark.filterwarnings("ignore::sparsecpu.errors.DivergenceWarning"),
]
SHAPES = {SparseMLPClassifier: (40,), SparseMLPRegressor: (40,), SparseCNNClassifier: (1, 28, 28)}


def make(kind, **options):
    first = ("lenet-5-caffe",) if kind is SparseCNNClassifier else ((10,),)
    return kind(*first, max_iter=2, random_state=0, **options)


def data(kind):
    x = np.random.default_rng(0).standard_normal((60, *SHAPES[kind])).astype(np.float32)
    return x, np.arange(60) % 2


def part(model, x, y, **more):
    first = {} if isinstance(model, SparseMLPRegressor) else {"classes": [0, 1]}
    return model.partial_fit(x, y, **first, **more)


def interrupted(model, x, y):
    """A Ctrl-C in the second step."""
    ends, passes = type(model)._build, iter(range(100))

    def build(self, *arguments):
        ends(self, *arguments)
        forward = self.network_.forward

        def stop(*arguments):
            if next(passes) == 1:
                raise KeyboardInterrupt
            return forward(*arguments)

        self.network_.forward = stop

    model._build = build.__get__(model)
    with contextlib.suppress(KeyboardInterrupt):
        model.set_params(batch_size=10).fit(x, y)
    del model._build
    vars(getattr(model, "network_", model)).pop("forward", None)


def diverged(model, x, y):
    with pytest.raises(DivergedError):
        model.set_params(learning_rate_init=1e30, solver="sgd", batch_size=10).fit(x, y)


def refused(model, x, y):
    with pytest.raises((DataError, ValueError)):
        model.fit(x, y[:-1])


ENDS = {
    "fit": lambda model, x, y: model.fit(x, y),
    "part": part,
    "parts": lambda model, x, y: part(part(model, x[:40], y[:40]), x, y),
    "warm start": lambda model, x, y: model.set_params(warm_start=True).fit(x, y).fit(x, y),
    "fit and part": lambda model, x, y: part(model.fit(x, y), x, y),
    "early stopping": lambda model, x, y: model.set_params(early_stopping=True).fit(x, y),
    "diverged": diverged,
    "refused": refused,
    "interrupted": interrupted,
}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("end", ENDS)
def test_no_pickle_has_samples_in_it(kind, end):
    """Nor much beside the network, of which there are values, gradients, two moments, columns."""
    x, y = data(kind)
    model = make(kind)
    ENDS[end](model, x, y)
    pickled = pickle.dumps(model)
    for sample in x.reshape(60, -1):
        for dtype in (np.float32, np.float64):
            assert sample[:6].astype(dtype).tobytes() not in pickled
    if hasattr(model, "network_"):
        pixels = x[0].size * 2 * 4 if kind is SparseCNNClassifier else 0  # how they are scaled
        assert len(pickled) < 24 * model.network_.nnz + pixels + 20_000
    del pickled, sample
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None  # nobody holds them in this process either


def sealed(array):
    array.setflags(write=False)
    return array


def disordered(x):
    """The same samples in CSR: columns out of order, some entries in two halves, read-only."""
    csr = sparse.csr_array(x)
    twice = [np.repeat(csr.data / 2, 2), np.repeat(csr.indices, 2)]
    for row in range(csr.shape[0]):
        here = slice(2 * csr.indptr[row], 2 * csr.indptr[row + 1])
        for array in twice:
            array[here] = array[here][::-1].copy()
    return sparse.csr_array((*map(sealed, twice), sealed(csr.indptr * 2)), shape=csr.shape)


FORMS = {
    "array": sealed,
    "float64": lambda x: sealed(x.astype(np.float64)),
    "columns": lambda x: sealed(np.asfortranarray(x)),
    "integers": lambda x: sealed((x * 10).astype(np.int64)),
    "frame": lambda x: pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])]),
    "sparse": disordered,
}


def arrays_of(x):
    if sparse.issparse(x):
        return [x.data, x.indices, x.indptr]
    return [x.to_numpy() if isinstance(x, pd.DataFrame) else x]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", SHAPES)
def test_what_is_given_stays_as_it_is(kind, form):
    if (kind, form) == (SparseCNNClassifier, "sparse"):
        pytest.skip("images are not sparse")
    x, y = data(kind)
    x = FORMS[form](x.reshape(60, -1))
    y, weights = sealed(y), sealed(np.linspace(0, 1, 60))
    before = [array.copy() for array in arrays_of(x)]
    options = {} if kind is SparseMLPRegressor else {"class_weight": {0: 1.0, 1: 2.0}}
    topology = SET(prune_rate=0.2)
    plan = copy.deepcopy(vars(topology))
    model = make(kind, topology=topology, early_stopping=True, **options)
    model.fit(x, y, sample_weight=weights)
    model.predict(x)
    part(model.set_params(early_stopping=False), x, y, sample_weight=weights)
    for old, array in zip(before, arrays_of(x), strict=True):
        np.testing.assert_array_equal(array, old)
    np.testing.assert_array_equal(y, np.arange(60) % 2)
    np.testing.assert_array_equal(weights, np.linspace(0, 1, 60))
    assert vars(topology) == plan
    assert options in ({}, {"class_weight": {0: 1.0, 1: 2.0}})
