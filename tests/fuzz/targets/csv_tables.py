"""Tables of comma-separated values."""

import warnings
from unittest import mock

import numpy as np

from sparsecpu.datasets import open_data, read_samples
from sparsecpu.datasets.tables import rows
from sparsecpu.errors import DataError, DataWarning
from tests.fuzz.alter_table import alter_table
from tests.fuzz.promises import check_dataset
from tests.fuzz.target import Target

_TABLES = (
    [["1", "2", "0"], ["3", "4", "1"], ["5", "6", "0"], ["7", "8", "1"], ["1", "3", "0"]],
    [["a", "b", "y"], *([f"{i}.5", f"-{i}e-2", "no" if i % 2 else "yes"] for i in range(6))],
    [["y", "height", "width"], *([f"{i / 7:.4f}", f"{i}", f"{i * i}"] for i in range(7))],
    [["p", "q", "r", "s", "class"], *([f"{i * j % 5}" for j in range(4)] + [f"{i % 3}"]
     for i in range(8))],
)  # fmt: skip


class Csv(Target):
    """``open_data`` and ``read_samples`` on a .csv."""

    name = "csv"

    def valid(self):
        return [{"it.csv": _text(rows)} for rows in _TABLES]

    def case(self, rng):
        return {"it.csv": alter_table(rng, rng.choice(_TABLES))}

    def read(self, folder):
        path = folder / "it.csv"
        data, other = _read(path, 1 << 60), _read(path, 0)
        if isinstance(data, DataError):
            assert str(other) == str(data), "large tables are refused for another reason"
            raise data
        check_dataset(data)
        assert np.array_equal(data.x_train, other.x_train), "large tables are read differently"
        assert np.array_equal(data.y_train, other.y_train), "large tables are read differently"
        if data.columns.dropped or data.columns.categories:
            return
        features = data.x_train.shape[1]
        x = read_samples(path, features)
        assert x.shape == (len(data.y_train) + len(data.y_test), features)
        assert np.isfinite(x).all()
        assert np.isin(data.x_test, x).all()


def _read(path, fast_from):
    """Return the data set, or the refusal; tables of so many bytes are read by a kernel."""
    with mock.patch.object(rows, "FAST_FROM", fast_from), warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        try:
            return open_data(str(path))
        except DataError as error:
            return error


def _text(rows):
    return "".join(",".join(row) + "\n" for row in rows).encode()


TARGET = Csv()
