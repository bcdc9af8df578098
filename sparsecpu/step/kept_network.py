"""A copy of all that training changes in a network, to put back later or to keep in a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.checked_arrays import Arrays, behind, same_names, take
from sparsecpu.step.pattern_arrays import pattern_arrays, take_pattern


class KeptNetwork:
    """Values, slots and patterns of a network's parameters, and its buffers.

    Each parameter has its vectors by name (``data`` and slots), and a pattern if it is sparse.
    """

    def __init__(
        self,
        vectors: dict[str, dict[str, np.ndarray]],
        patterns: dict[str, Pattern],
        buffers: dict[str, np.ndarray],
    ) -> None:
        self.vectors, self.patterns, self.buffers = vectors, patterns, buffers

    @classmethod
    def of(cls, network: Any) -> KeptNetwork:
        """Return a copy of what a network has now."""
        parameters = network.parameters()
        vectors = {
            name: {key: v.copy() for key, v in {"data": p.data, **p.slots}.items()}
            for name, p in parameters.items()
        }
        patterns = {n: p.pattern for n, p in parameters.items() if isinstance(p, SparseParameter)}
        return cls(vectors, patterns, {n: b.copy() for n, b in network.buffers().items()})

    def put_back(self, network: Any) -> None:
        """Give the network all of it, with gradients of zero."""
        for name, parameter in network.parameters().items():
            vectors = self.vectors[name]
            if isinstance(parameter, SparseParameter):
                parameter.restore(self.patterns[name], vectors)
                continue
            slots = dict(vectors)
            parameter.data = slots.pop("data")
            parameter.slots, parameter.grad = slots, np.zeros_like(parameter.data)
        for name, buffer in network.buffers().items():
            buffer[...] = self.buffers[name]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays by name."""
        found = {f"buffer/{name}": buffer for name, buffer in self.buffers.items()}
        for name, vectors in self.vectors.items():
            found |= {f"vector/{name}/{key}": array for key, array in vectors.items()}
        for name, pattern in self.patterns.items():
            own = pattern_arrays(pattern)
            found |= {f"pattern/{name}/{key}": array for key, array in own.items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Arrays, network: Any) -> KeptNetwork:
        """Return what ``arrays`` gave for a network like this one, checked."""
        vectors, patterns, buffers = {}, {}, {}
        for name, parameter in network.parameters().items():
            count = parameter.nnz
            if isinstance(parameter, SparseParameter):
                patterns[name] = take_pattern(arrays, f"pattern/{name}/", parameter.shape)
                count = patterns[name].nnz
            own = behind(arrays, f"vector/{name}/")
            same_names(own, ("data", *parameter.slots), name)
            dtype = parameter.data.dtype
            vectors[name] = {key: aligned_copy(take(own, key, dtype, (count,))) for key in own}
        for name, buffer in network.buffers().items():
            buffers[name] = take(behind(arrays, "buffer/"), name, buffer.dtype, buffer.shape).copy()
        return cls(vectors, patterns, buffers)
