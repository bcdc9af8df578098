"""First values of the weights, scaled by how many inputs each output really has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries.names import read_name
from sparsecpu.registries.numbers import is_number
from sparsecpu.sparse.pattern import Pattern

#: Standard deviation gained back per nonlinearity (ReLU halves the second moment).
GAINS = {"relu": math.sqrt(2.0), "all_relu": math.sqrt(2.0), "leaky_relu": math.sqrt(2.0)}

#: Times the square root of 3, this still is a float32.
_LARGEST_GAIN = 1e38


def scaled_uniform(
    pattern: Pattern,
    rng: np.random.Generator,
    *,
    gain: float = math.sqrt(2.0),
    fan: str = "sparse",
    dtype: Any = np.float32,
) -> np.ndarray:
    r"""Draw values from :math:`U(-1, 1)\,g\sqrt{3 / \text{fan-in}}`.

    With the row's own fan-in (``"sparse"``) the variance of the outputs does not depend on the
    density; with ``"dense"``, as masks on dense tensors have it, deep networks start with outputs
    near 0.
    """
    fan = read_name("fan", fan, ("sparse", "dense"))
    if not is_number(gain) or not abs(gain) <= _LARGEST_GAIN:
        raise ParameterError("gain", gain, f"a number of at most {_LARGEST_GAIN:g}")
    fan_in = pattern.fan_in
    per_row = np.maximum(fan_in, 1) if fan == "sparse" else np.full(len(fan_in), pattern.shape[1])
    bound = np.repeat((gain * np.sqrt(3.0 / per_row)).astype(dtype), fan_in)
    values = rng.random(pattern.nnz, dtype=dtype)
    values *= 2
    values -= 1
    values *= bound
    return values
