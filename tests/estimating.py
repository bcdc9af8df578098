"""Trains and predicts in the processes that import it."""

import os

import numpy as np

from sparsecpu import SparseMLPClassifier

X = np.random.default_rng(0).standard_normal((300, 40))
Y = (X[:, 0] > 0).astype(int)


def model(**options):
    """Return a classifier that two threads share, if there are two."""
    options = {"solver": "sgd", "max_iter": 2, "n_jobs": 2, "density": 0.3, **options}
    return SparseMLPClassifier((20,), random_state=0, **options)


def trained(number=0):
    """Return what a classifier that is trained here predicts, and who has trained it."""
    return os.getpid(), model().fit(X, Y).predict_proba(X).tobytes()


def predicted(fitted):
    """Return what a classifier that comes from elsewhere predicts."""
    return os.getpid(), fitted.predict_proba(X).tobytes()
