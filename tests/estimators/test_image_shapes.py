"""The shapes in which images may come, and those in which they may not."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from sparsecpu import SparseCNNClassifier
from sparsecpu.errors import DataError, ParameterError
from sparsecpu.models import resnet
from sparsecpu.networks.description import Architecture, LayerSpec

Y = np.arange(20) % 2
X = np.random.default_rng(0).standard_normal((20, 3 * 8 * 8)).astype(np.float32)


def tiny(shape, n_outputs):
    layers = [LayerSpec("conv2d", {"out_channels": 4, "kernel_size": 3}), LayerSpec("flatten"),
              LayerSpec("linear", {"out_features": n_outputs, "nnz": None})]  # fmt: skip
    return Architecture(shape, tuple(layers))


def fitted(x, **options):
    model = SparseCNNClassifier(tiny, random_state=0, **options)
    return model.partial_fit(x, Y, classes=[0, 1])


@pytest.mark.parametrize("given", [(8, 24), [8, 24], (1, 8, 24), (np.int64(8), np.int64(24))])
def test_grey_images_of_any_shape_are_the_same(given):
    wanted = fitted(X.reshape(20, 1, 8, 24)).predict_proba(X)
    for x in (X, X.reshape(20, 8, 24), X.reshape(20, 1, 8, 24), X.reshape(20, 8, 24).tolist()):
        model = fitted(x, image_shape=given)
        assert model.image_shape_ == (1, 8, 24)
        for again in (X, X.reshape(20, 8, 24), X.reshape(20, 1, 8, 24)):
            np.testing.assert_array_equal(model.predict_proba(again), wanted)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("given", [None, "first", "last"])
def test_channels_last_are_refused_with_the_transpose_that_is_needed(channels, given):
    x = np.zeros((20, 12, 10, channels), np.float32)
    shape = {None: None, "first": (channels, 12, 10), "last": (12, 10, channels)}[given]
    with pytest.raises((DataError, ParameterError)) as caught:
        fitted(x, image_shape=shape)
    right = f"({channels}, 12, 10)" if given == "last" else "X.transpose(0, 3, 1, 2)"
    assert right in str(caught.value)
    with pytest.raises(DataError, match="transpose"):
        fitted(x.transpose(0, 3, 1, 2)).predict(x)


@pytest.mark.parametrize(
    "given", [192, "8x24", (8.0, 24), (-8, -24), (0, 8), (8,), (1, 1, 8, 24), (8, "24"), ()]
)
def test_shapes_that_are_none_are_refused(given):
    with pytest.raises(ParameterError, match="image_shape"):
        fitted(X, image_shape=given)


@pytest.mark.parametrize(
    ("x", "given"),
    [(X, (8, 23)), (X.reshape(20, 8, 24), (24, 8)), (X.reshape(20, 3, 64), (3, 8, 8)), (X, None),
     (X.reshape(20, 2, 2, 6, 8), None), (csr_array(X), (3, 8, 8)),
     (pd.DataFrame(X[:, :64], columns=[f"{'ab'[i % 2]}{i}" for i in range(64)]), None)],
)  # fmt: skip
def test_samples_that_do_not_have_the_shape_are_refused(x, given):
    with pytest.raises(DataError, match=r"^X "):
        fitted(x, image_shape=given)


def test_a_table_of_pixels_is_one_of_images():
    table = pd.DataFrame(X[:, :64], columns=[f"pixel_{i // 8}_{i % 8}" for i in range(64)])
    assert fitted(table).image_shape_ == (1, 8, 8)
    other = pd.DataFrame(X[:, :64], columns=[f"{'ab'[i % 2]}{i}" for i in range(64)])
    assert fitted(other, image_shape=(8, 8)).image_shape_ == (1, 8, 8)


def test_descriptions_refuse_channels_last():
    assert resnet((3, 32, 32), depth=8).input_shape == (3, 32, 32)
    with pytest.raises(ParameterError, match=r"\(3, 32, 32\)"):
        resnet((32, 32, 3), depth=8)
