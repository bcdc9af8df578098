"""How a network reads its inputs: standardised over the training samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import DataError


def standardise(network: Any, x: Any, scaling: str) -> None:
    """Let a network read its inputs with mean 0 and variance 1 over the training samples.

    Of many samples, the first 10,000 count. ``scaling`` is ``feature``, ``channel``, ``global``
    (all numbers alike) or ``none``. ``DataError`` for sparse samples, which would not stay so.
    """
    if scaling == "none":
        return
    if hasattr(x, "tocsr"):
        raise DataError("sparse samples cannot be standardised; use scaling 'none'")
    rows = np.arange(min(x.shape[0], 10_000), dtype=np.int64)
    array, at = network.samples(x).take_samples(rows)
    sample = np.asarray(array[at], dtype=np.float64)
    mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    if scaling != "feature":
        groups = network.input_shape[0] if scaling == "channel" else 1
        parts = sample.reshape(len(sample), groups, -1)
        each = sample.shape[1] // groups
        mean = np.repeat(parts.mean(axis=(0, 2)), each)
        deviation = np.repeat(parts.std(axis=(0, 2)), each)
    deviation[deviation == 0] = 1.0
    network.offset = mean.astype(network.dtype)
    network.scale = (1.0 / deviation).astype(network.dtype)
