"""A sparse linear layer for a few samples at a time: a dot product per row and sample."""

from __future__ import annotations

import numpy as np
from numba import prange

from sparsecpu.kernels.machine.compile import kernel
from sparsecpu.kernels.vectors.memory import at


@kernel(parallel=True, reorders=True)
def row_dots(indptr, indices, data, x, bias, y, relu, chunks):
    """Write ``y[s, i] = sum_k data[k] x[s, indices[k]] + bias[i]``, or its positive part.

    ``x`` is ``(samples, n_in)`` and ``y`` is ``(samples, n_out)``; an empty ``bias`` counts as
    zeros. Samples stay in the level-1 cache and values of neighbouring nonzeros are gathered, which
    LLVM writes as vector instructions.
    """
    samples, n_in = x.shape
    n_chunks = chunks.shape[0] - 1
    zero = data.dtype.type(0)
    for job in prange(samples * n_chunks):
        sample, chunk = job // n_chunks, job % n_chunks
        base = np.int64(sample) * n_in
        for i in range(chunks[chunk], chunks[chunk + 1]):
            summed = zero
            for k in range(indptr[i], indptr[i + 1]):
                summed += at(data, k) * at(x, base + np.int64(at(indices, k)))
            if bias.shape[0] > 0:
                summed += bias[i]
            y[sample, i] = max(summed, zero) if relu else summed
