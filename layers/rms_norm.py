"""Normalisation by the root mean square."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.layers.norm_of_samples import NormOfSamples


class RMSNorm(NormOfSamples):
    r"""Divide each sample by the root mean square of its features.

    :math:`y = \gamma\,x/\sqrt{\overline{x^2}+\epsilon}`.

    Parameters
    ----------
    features : int
        Number of features.
    epsilon : float
        Added to the mean square.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Zhang and Sennrich, Root mean square layer normalization (2019).
    """

    kind = "rms_norm"

    def __init__(self, features: int, *, epsilon: float = 1e-6, dtype: Any = np.float32) -> None:
        super().__init__(features, epsilon=epsilon, dtype=dtype)
