r"""How well a pattern mixes: the spectral gap of its bipartite graph, beside Ramanujan's bound."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np

from sparsecpu.sparse.pattern import Pattern


def spectral_gap(pattern: Pattern) -> dict[str, Any]:
    r"""Return the two largest singular values of a pattern's 0-1 matrix, and Ramanujan's bound.

    The nonzeros are the edges of a graph between outputs and inputs. The gap :math:`\sigma_1 -
    \sigma_2` says how fast signals mix. In a Ramanujan graph, as good as a biregular one can be,
    :math:`\sigma_2 \leq \sqrt{d_{out} - 1} + \sqrt{d_{in} - 1}` with the weights per output and per
    input; patterns are not quite regular, so means stand for these.

    The keys are ``sigma1, sigma2, gap, bound, margin``. The margin is the bound less sigma2, at
    least 0 for a Ramanujan graph. Patterns with fewer than two rows or columns have sigma2 = 0.

    Thangarasa et al., Sparse-IFT (2024), section 4; Hoory, Linial and Wigderson, Expander graphs
    and their applications (2006), for the bound. Computed with SciPy's sparse eigensolver.
    """
    n_out, n_in = pattern.shape
    by_row, by_column = pattern.nnz / n_out, pattern.nnz / n_in
    bound = sum(np.sqrt(max(d - 1.0, 0.0)) for d in (by_row, by_column))
    first, second = _two_largest(pattern)
    return {
        "sigma1": first, "sigma2": second, "gap": first - second, "bound": float(bound),
        "margin": float(bound) - second,
    }  # fmt: skip


def _two_largest(pattern: Pattern) -> tuple[float, float]:
    smaller = min(pattern.shape)
    if pattern.nnz == 0 or smaller == 1:
        return float(np.sqrt(pattern.nnz)), 0.0
    matrix = pattern.to_scipy(np.ones(pattern.nnz))
    if smaller == 2:  # the sparse solver finds fewer values than there are
        gram = (matrix @ matrix.T if pattern.shape[0] == 2 else matrix.T @ matrix).tocsr()
        values = np.linalg.eigvalsh([[gram[0, 0], gram[0, 1]], [gram[1, 0], gram[1, 1]]])
    else:
        from scipy.sparse.linalg import LinearOperator, eigsh

        wide = pattern.shape[1] > pattern.shape[0]
        inner, outer = (matrix.T, matrix) if wide else (matrix, matrix.T)
        gram = LinearOperator((smaller, smaller), lambda v: outer @ (inner @ v), dtype=np.float64)
        # Within an invariant subspace it goes on from a random vector: with a seed, equal patterns
        # have equal digits. SciPy before 1.17 takes none.
        seeded = {"rng": np.random.default_rng(0)} if "rng" in signature(eigsh).parameters else {}
        values = eigsh(gram, k=2, v0=np.ones(smaller), return_eigenvectors=False, **seeded)
    second, first = np.sqrt(np.maximum(np.sort(values), 0.0))
    return float(first), float(second)
