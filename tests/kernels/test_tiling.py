"""Tiles: samples side by side, and back."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LANES

from sparsecpu.kernels.tiling import gather_samples, scatter_samples


@given(samples=st.integers(1, 70), features=st.integers(1, 40), lanes=st.sampled_from(LANES))
def test_layout(samples, features, lanes):
    rng = np.random.default_rng(samples)
    x = rng.standard_normal((90, features)).astype(np.float32)
    rows = rng.permutation(90)[:samples]
    offset, scale = rng.standard_normal((2, features)).astype(np.float32)
    out = np.full((-(-samples // lanes), features, lanes), np.nan, np.float32)
    padded = np.zeros(len(out) * lanes, np.int64)
    padded[:samples] = rows
    gather_samples(x, padded, samples, offset, scale, out)
    np.testing.assert_allclose(out, naive.to_tiles((x[rows] - offset) * scale, lanes), rtol=1e-6)
    gather_samples(x, padded, samples, offset[:0], scale[:0], out)
    np.testing.assert_array_equal(out, naive.to_tiles(x[rows], lanes))
    back = np.empty((samples, features), np.float32)
    scatter_samples(out, back)
    np.testing.assert_array_equal(back, x[rows])


@pytest.mark.parametrize("given", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("wanted", [np.float32, np.float64])
def test_samples_are_read_from_any_type(given, wanted, rng):
    x = rng.integers(0, 256, (50, 37)).astype(given)
    rows = rng.permutation(50)[:43]
    offset, scale = rng.standard_normal((2, 37)).astype(wanted)
    out = np.empty((2, 37, 32), wanted)
    gather_samples(x, np.r_[rows, [0] * 21], 43, offset, scale, out)
    want = naive.to_tiles((x[rows].astype(wanted) - offset) * scale, 32)
    np.testing.assert_allclose(out, want, rtol=1e-6)
