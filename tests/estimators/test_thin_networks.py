"""Densities that leave most neurons without a weight are told."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sparsecpu import SparseMLPClassifier

X = np.random.default_rng(3).standard_normal((40, 30))
Y = (X[:, 0] > 0).astype(int)


def test_too_low_a_density_is_told():
    with pytest.warns(UserWarning, match="of 60 outputs"):
        SparseMLPClassifier((60,), density=0.001, max_iter=1, random_state=0).fit(X, Y)


def test_no_word_at_the_usual_one():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        SparseMLPClassifier((60,), max_iter=1, random_state=0).fit(X[:, :1], Y)
