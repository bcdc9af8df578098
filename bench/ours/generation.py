"""Our next token of a language model: streams that have half a block behind them."""

from __future__ import annotations

import numpy as np

from sparsecpu.bench.cases import NetworkCase, Variant
from sparsecpu.errors import ParameterError
from sparsecpu.layers.network.generation import Writer


class OurToken:
    """One token more of each stream, always at the same place; drawing it is not timed."""

    def __init__(
        self, case: NetworkCase, variant: Variant, x: np.ndarray, precision: str = "fp32"
    ) -> None:
        if precision != "fp32":
            raise ParameterError("precision", precision, "fp32: language models write in no other")
        self.network = case.sparse(variant).build(np.random.default_rng(0))
        self.writer, self.half = Writer(self.network, case.batch, 1), case.sizes[0] // 2
        self.writer.begin(np.zeros((1, self.half), np.int64))
        self.token = x

    def predict(self) -> object:
        """Return the outputs, shape (streams, vocabulary)."""
        self.writer.memory.count = self.half
        return self.writer.go_on(self.token)
