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
def grouped(draw, most=30, group=None):
    """Draw a pattern whose rows stand in groups; the last group may have fewer, some none at all.

    Shared columns may be none or all, and so may those of one group.
    """
    group, n_out = group or draw(st.sampled_from([2, 4, 8])), draw(st.integers(1, most))
    n_in = draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.random((-(-n_out // group), n_in)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    mask[rng.integers(len(mask))] = draw(st.booleans())
    return Pattern.of_groups(n_out, group, Pattern.from_keys(mask.shape, np.flatnonzero(mask)))
