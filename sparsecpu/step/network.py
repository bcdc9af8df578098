"""What a step needs of a network."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context
from sparsecpu.step.sequences import BatchSource


class Network(Protocol):
    """What the trainer needs of a network; ``layers.Sequential`` has it."""

    n_outputs: int

    @property
    def dtype(self) -> np.dtype:
        """Type of values and activations."""
        ...

    def parameters(self) -> dict[str, Parameter]:
        """Return all parameters by name."""
        ...

    def buffers(self) -> dict[str, np.ndarray]:
        """Return all buffers by name."""
        ...

    def sparse_parameters(self) -> dict[str, SparseParameter]:
        """Return the parameters that have a pattern."""
        ...

    def samples(self, x: Any) -> BatchSource:
        """Return samples as something to fetch batches from."""
        ...

    def lanes(self, batch: int) -> int:
        """Return the width of the tiles."""
        ...

    def tokens(self, batch: int) -> int:
        """Return how many lanes this many samples fill at most."""
        ...

    def gather(
        self, samples: BatchSource, rows: np.ndarray, lanes: int, ctx: Context
    ) -> np.ndarray:
        """Read samples into the input buffer."""
        ...

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Compute the outputs."""
        ...

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> Any:
        """Compute the gradients."""
        ...
