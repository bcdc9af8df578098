"""Arrays in memory as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import FileFormatError, PatternError
from sparsecpu.files.interop.tensors import Tensor, array_tensor, sparse_tensor, unreadable
from sparsecpu.sparse.matrices import canonical_csr


def mapping_tensors(arrays: Any) -> dict[str, Tensor]:
    """Return arrays, SciPy matrices and PyTorch tensors as tensors by name."""
    found: dict[str, Tensor] = {}
    for name, array in arrays.items():
        if isinstance(array, Tensor):
            found[name] = array
        elif hasattr(array, "tocsr"):
            try:
                found[name] = sparse_tensor(name, canonical_csr(array, name))
            except PatternError as error:
                raise FileFormatError(str(error)) from error
        elif hasattr(array, "detach"):
            from sparsecpu.files.interop.torch_files import torch_tensor

            found[name] = torch_tensor(name, array)
        else:
            found[name] = _dense(name, array)
    return found


def _dense(name: str, array: Any) -> Tensor:
    try:
        return array_tensor(name, np.asarray(array))
    except (TypeError, ValueError, OverflowError) as error:
        return unreadable(name, (), f"is not an array of numbers ({error})")
