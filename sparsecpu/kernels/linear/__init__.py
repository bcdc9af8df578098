"""The products of a sparse linear layer; each in wide vectors, or portable where these do badly."""

from __future__ import annotations

from collections.abc import Callable

from sparsecpu.kernels.linear import portable, wide
from sparsecpu.kernels.linear.finishes import BACK, BACK_PLUS, BACK_TIMES, GATED, PLAIN, PLUS, RELU
from sparsecpu.kernels.machine.cpu import wide_vectors_pay

__all__ = [
    "BACK", "BACK_PLUS", "BACK_TIMES", "GATED", "PLAIN", "PLUS", "RELU", "gradient_kernel",
    "matmul_kernel",
]  # fmt: skip


def matmul_kernel(lanes: int) -> Callable:
    """Return the kernel of ``y = W x + bias`` and of ``dx = W' dy``, as in ``wide``."""
    return (wide if wide_vectors_pay() else portable).matmul_kernel(lanes)


def gradient_kernel(lanes: int) -> Callable:
    """Return the kernel of dW at the nonzeros, as in ``wide``."""
    return (wide if wide_vectors_pay() else portable).gradient_kernel(lanes)
