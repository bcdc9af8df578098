"""Random patterns for hypothesis, edge cases included."""

import numpy as np
from hypothesis import strategies as st

from sparsecpu.sparse.pattern import Pattern

LANES = (16, 32, 64, 128)


@st.composite
def patterns(draw, most=40):
    """Draw a pattern that may have empty rows, a full row, no nonzeros or all of them."""
    shape = (draw(st.integers(1, most)), draw(st.integers(1, most)))
    size = shape[0] * shape[1]
    nnz = draw(st.sampled_from([0, 1, size // 10, size // 2, size - 1, size]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pattern = Pattern.random(shape, max(nnz, 0), rng)
    if draw(st.booleans()):  # one full row among the rest
        row = int(rng.integers(shape[0]))
        keys = np.union1d(pattern.keys(), row * shape[1] + np.arange(shape[1]))
        pattern = Pattern.from_keys(shape, keys)
    return pattern


@st.composite
def patterns_in_groups(draw, group, most=40):
    """Draw a pattern of rows in groups: the last may have fewer, some no columns, one all."""
    n_out = draw(st.integers(1, most))
    shared = draw(patterns(most))
    shape = -(-n_out // group), shared.shape[1]
    keys = shared.keys()
    shared = Pattern.from_keys(shape, keys[keys < shape[0] * shape[1]])
    return Pattern.of_groups(n_out, group, shared)
