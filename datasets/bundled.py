"""Small real data sets that come with scikit-learn.

All are in the public domain or under CC BY 4.0 (UCI Machine Learning Repository): digits (Alpaydin
and Kaynak), breast cancer (Wolberg, Street and Mangasarian), wine (Aeberhard and Forina), iris
(Fisher), diabetes (Efron, Hastie, Johnstone and Tibshirani).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.datasets.base import Dataset, split


def load_digits() -> Dataset:
    """Load 1797 handwritten digits of 8×8 pixels: 1437 to train on, 360 held out."""
    x, y = _read_digits()
    return split("digits", x.astype("float32"), y, "classification")


def _read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Read the file of scikit-learn's copy: importing scikit-learn takes longer than training."""
    spec = importlib.util.find_spec("sklearn")
    for folder in spec.submodule_search_locations or () if spec is not None else ():
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn import datasets  # the file lies elsewhere in this version

    return datasets.load_digits(return_X_y=True)


def load_breast_cancer() -> Dataset:
    """Load 569 tumours with 30 measurements and two classes."""
    from sklearn import datasets

    return _split("breast-cancer", datasets.load_breast_cancer, "classification")


def load_wine() -> Dataset:
    """Load 178 wines with 13 measurements and three classes."""
    from sklearn import datasets

    return _split("wine", datasets.load_wine, "classification")


def load_iris() -> Dataset:
    """Load 150 flowers with 4 measurements and three classes."""
    from sklearn import datasets

    return _split("iris", datasets.load_iris, "classification")


def load_diabetes() -> Dataset:
    """Load 442 patients with 10 measurements and the progression of their disease."""
    from sklearn import datasets

    return _split("diabetes", datasets.load_diabetes, "regression")


def _split(name: str, load: Callable[..., Any], task: str) -> Dataset:
    x, y = load(return_X_y=True)
    return split(name, x, y, task)
