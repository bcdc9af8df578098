"""How activations may be read: in 32 or in 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.cpu import wide_vectors_pay
from sparsecpu.registries.names import read_name
from sparsecpu.step.workspace import Workspace

#: How activations may be read.
PRECISIONS = {
    "fp32": "32 bits, which is the reference.",
    "bf16": "16 bits with the range of float32; weights, sums and gradients stay in 32.",
    "fp16": "16 bits with a smaller range and finer steps; weights, sums and gradients stay in 32.",
}


def check_precision(precision: str, dtype: Any) -> str:
    """Return the precision; refuse one that this machine or this type of values cannot have."""
    precision = read_name("precision", precision, PRECISIONS)
    if precision != "fp32" and np.dtype(dtype) != np.float32:
        raise ParameterError("precision", precision, f"fp32, with values of {np.dtype(dtype)}")
    if precision != "fp32" and not wide_vectors_pay():
        raise ParameterError("precision", precision, "fp32 on a CPU without AVX2 or NEON")
    return precision


def sixteen_bit_memory(
    workspace: Workspace, owner: Any, shape: tuple[int, ...], precision: str
) -> np.ndarray:
    """Return memory for a copy of float32 tiles in 16 bits; ``sixteen_bits.narrowed`` writes it."""
    from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

    return workspace.array(owner, precision, *narrow_shape(shape, precision))


def sixteen_bit_copy(workspace: Workspace, owner: Any, x: np.ndarray, precision: str) -> np.ndarray:
    """Return a copy of float32 tiles in 16 bits, bf16 or fp16, one per owner and precision."""
    from sparsecpu.kernels.vectors.sixteen_bits import narrowed

    return narrowed(x, sixteen_bit_memory(workspace, owner, x.shape, precision), precision)
