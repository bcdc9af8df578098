"""Problems that are generated, in any size."""

from __future__ import annotations

from sparsecpu.datasets.base import Dataset, checked_count, split

_SAMPLES = 5_000


def make_classification(samples: int | None = None, features: int = 100) -> Dataset:
    """Generate a classification problem: ten classes, a fifth of the features informative.

    A fifth of the samples is held out for testing.

    Parameters
    ----------
    samples : int, optional
        Training and test samples together; 5,000 by default.
    features : int
        Features per sample.

    Raises
    ------
    DataError
        If ``samples`` is below 10.
    """
    from sklearn import datasets

    x, y = datasets.make_classification(
        checked_count(samples, _SAMPLES), features,
        n_informative=features // 5, n_redundant=0, n_classes=10,
        n_clusters_per_class=1, class_sep=2.0, random_state=0,
    )  # fmt: skip
    return split("make:classification", x.astype("float32"), y, "classification")


def make_regression(samples: int | None = None, features: int = 100) -> Dataset:
    """Generate a regression problem: Friedman's first function, and features that do not matter.

    A fifth of the samples is held out for testing.

    Parameters
    ----------
    samples : int, optional
        Training and test samples together; 5,000 by default.
    features : int
        Features per sample.

    Raises
    ------
    DataError
        If ``samples`` is below 10.

    Notes
    -----
    Friedman, Multivariate adaptive regression splines (1991).
    """
    from sklearn import datasets

    x, y = datasets.make_friedman1(
        checked_count(samples, _SAMPLES), features, noise=0.5, random_state=0
    )
    return split("make:regression", x.astype("float32"), y, "regression")
