"""Our compiled prediction, and SciPy's with the same weights."""

from __future__ import annotations

import numpy as np

from sparsecpu.bench.cases import NetworkCase, Variant
from sparsecpu.sparse.parameter import SparseParameter


class OurPrediction:
    """A prediction of one batch: ``x`` of float32, shape (batch, features)."""

    def __init__(
        self, case: NetworkCase, variant: Variant, x: np.ndarray, precision: str = "fp32"
    ) -> None:
        self.network = case.sparse(variant).build(np.random.default_rng(0))
        self.predictor = self.network.compile(case.batch, threads=case.threads, precision=precision)
        self.x, self.out = x, np.empty((len(x), self.network.n_outputs), np.float32)
        weights = self.network.parameters().values()
        self.matrices = [p.to_scipy() for p in weights if isinstance(p, SparseParameter)]
        self.transposed = np.ascontiguousarray(x.T)

    def predict(self) -> object:
        """Return the outputs, shape (batch, outputs)."""
        return self.predictor(self.x, out=self.out)

    def scipy(self) -> object:
        """Return the outputs by SciPy's CSR products, without biases, shape (outputs, batch)."""
        h = self.transposed
        for matrix in self.matrices:
            z = matrix @ h
            h = np.maximum(z, 0)
        return z
