"""Files in svmlight format."""

import contextlib

import numpy as np

from sparsecpu.datasets import open_data
from sparsecpu.datasets.matching import Layout
from sparsecpu.datasets.samples import read_rows
from sparsecpu.errors import DataError
from tests.fuzz.alter_table import alter_table
from tests.fuzz.promises import check_dataset
from tests.fuzz.target import Target

_FILES = (
    [[f"{i % 2}", f"{1 + i % 3}:0.5", "4:1e-2", f"{5 + i}:-2"] for i in range(6)],
    [[f"{i / 7:.3f}", "qid:1", "0:1", f"{2 + i}:3", "#", "a", "note"] for i in range(6)],
    [["+1", "3:1"], ["-1", "1:1", "2:1"], ["+1"], ["-1", "7:.5"], ["+1", "1:2"], ["-1", "1:3"]],
)
_ENTRIES = (
    "0:1", "-1:2", "1:nan", "1:inf", "1:1e39", "2147483647:1", "2147483648:1", "9999999999999:1",
    "1:1 1:2", "5:1 2:1", ":", "1:", ":1", "1:2:3", "qid:", "qid:x", "qid:99999999999999999999",
    "1.5:2", "0x1:1", "# \0", "1:1_0", "1,2", "1" * 400 + ":1", "1:" + "9" * 400,
)  # fmt: skip


class Svmlight(Target):
    """``open_data`` and what reads samples for a model, on an .svm."""

    name = "svmlight"

    def valid(self):
        return [{"it.svm": _text(rows)} for rows in _FILES]

    def case(self, rng):
        rows = [list(row) for row in rng.choice(_FILES)]
        if rng.random() < 0.6:
            row = rng.choice(rows)
            row.insert(rng.randrange(len(row) + 1), rng.choice(_ENTRIES))
            if rng.random() < 0.3:
                return {"it.svm": _text(rows)}
        return {"it.svm": alter_table(rng, rows, " ")}

    def read(self, folder):
        path = folder / "it.svm"
        data = open_data(str(path))
        check_dataset(data)
        features = data.x_train.shape[1]
        found = read_rows(path, Layout(features, first_feature=data.first_feature), scored=True)
        assert found.x.shape == (len(data.y_train) + len(data.y_test), features)
        assert (found.x[np.flatnonzero(data.held)] != data.x_test).nnz == 0
        wider = read_rows(path, Layout(features + 3, first_feature=data.first_feature))
        assert wider.x.shape[1] == features + 3
        assert (wider.x[:, :features] != found.x).nnz == 0
        with contextlib.suppress(DataError):  # as it may be when it does not know how they count
            assert read_rows(path, Layout(features)).x.shape == found.x.shape


def _text(rows):
    return "".join(" ".join(row) + "\n" for row in rows).encode()


TARGET = Svmlight()
