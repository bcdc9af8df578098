"""A short run of ``tests/fuzz/api.py``: wrong arguments of the public API, at random."""

import numpy as np

from tests.fuzz import api


def test_wrong_arguments_are_refused_by_our_exceptions_alone():
    found = api.run(np.random.default_rng(20), 300)
    assert not found, found[0][2]
