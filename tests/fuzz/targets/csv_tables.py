"""Tables of comma-separated values."""

import numpy as np

from sparsecpu.datasets import open_data, read_samples
from sparsecpu.errors import DataError
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
        refused = None
        try:
            data = open_data(str(path))
        except DataError as error:
            refused = error
        else:
            check_dataset(data)
            features = data.x_train.shape[1]
            x = read_samples(path, features)
            assert x.shape == (len(data.y_train) + len(data.y_test), features)
            assert np.isfinite(x).all()
            assert np.isin(data.x_test, x).all()
        if refused is not None:
            raise refused


def _text(rows):
    return "".join(",".join(row) + "\n" for row in rows).encode()


TARGET = Csv()
