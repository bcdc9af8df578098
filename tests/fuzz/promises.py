"""What a data set or a network promises, whatever file it came from."""

import numpy as np


def check_dataset(data) -> None:
    """Assert that a data set is whole: shapes, types, classes, finite numbers."""
    assert data.task in ("classification", "regression")
    features = int(np.prod(data.input_shape))
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert x.shape[0] == len(y) > 0
        assert x.shape[1] == features > 0
        values = x.data if hasattr(x, "tocsr") else x
        assert values.dtype.kind in "fu"
        with np.errstate(over="ignore"):
            assert np.isfinite(values.astype(np.float32)).all(), "beyond float32"
        if data.task == "classification":
            assert y.dtype == np.int64
            assert y.min() >= 0
            assert y.max() < len(data.classes)
        else:
            assert y.dtype == np.float64
            assert y.ndim == 2
            assert np.isfinite(y).all()
    if data.task == "classification":
        assert len(np.unique(data.classes)) == len(data.classes) >= 2
        assert data.classes.dtype.kind in "iufUb"
        if data.classes.dtype.kind == "f":
            assert np.isfinite(data.classes).all()
    else:
        assert data.y_train.shape[1] == data.y_test.shape[1] >= 1
    assert data.n_outputs >= 1


def check_tensors(tensors, most: int = 1 << 22) -> None:
    """Read every tensor of a file, as far as it is small, and assert what it says of itself."""
    for name, tensor in tensors.items():
        assert isinstance(name, str)
        assert all(type(n) is int and n >= 0 for n in tensor.shape)
        if tensor.size <= most:
            values = tensor.values()
            assert values.shape == (tensor.size,)
            assert values.dtype.kind == "f"
            assert np.isfinite(values).all()
