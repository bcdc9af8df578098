"""What jobs summed over their pixels, lane by lane, added up."""

import numpy as np
import pytest

from sparsecpu.kernels.conv.channel_sums import add_jobs
from sparsecpu.kernels.machine.threads import use_threads


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1, 3, 2, 1), (5, 4, 2, 8), (3, 1, 2, 21), (40, 200, 2, 8)])
def test_sums_of_jobs_and_lanes(shape, dtype, rng):
    """In float64 whatever the parts are, and with the same bits on any number of threads."""
    parts, found = rng.standard_normal(shape).astype(dtype), []
    for threads in (1, 2):
        out = np.full((2, shape[1]), np.nan)
        with use_threads(threads):
            add_jobs(parts, out)
        found.append(out)
    np.testing.assert_allclose(found[0], parts.astype(float).sum(axis=(0, 3)).T, atol=1e-12)
    np.testing.assert_array_equal(*found)
