"""How activations may be read: in 32 or in 16 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.cpu import wide_vectors_pay

#: How activations may be read.
PRECISIONS = ("fp32", "bf16", "fp16")


def check_precision(precision: str, dtype: Any) -> str:
    """Return the precision, if this machine and this network can have it.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        How activations are to be read.
    dtype : dtype
        The network's type of values.

    Returns
    -------
    str
        ``precision``.

    Raises
    ------
    ParameterError
        If not.
    """
    if precision not in PRECISIONS:
        raise ParameterError("precision", precision, f"one of {', '.join(PRECISIONS)}")
    if precision != "fp32" and np.dtype(dtype) != np.float32:
        raise ParameterError("precision", precision, f"fp32, with values of {np.dtype(dtype)}")
    if precision != "fp32" and not wide_vectors_pay():
        raise ParameterError("precision", precision, "fp32 on a CPU without AVX2 or NEON")
    return precision
