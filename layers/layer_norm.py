"""Layer normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.layers.norm_of_samples import NormOfSamples


class LayerNorm(NormOfSamples):
    r"""Normalise each sample over its features.

    :math:`y = \gamma (x-\mu)/\sqrt{\sigma^2+\epsilon} + \beta`, with mean and variance of the
    sample, in training and in prediction.

    Parameters
    ----------
    features : int
        Number of features.
    epsilon : float
        Added to the variance.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Ba, Kiros and Hinton, Layer normalization (2016). With :math:`h = (x-\mu)/\sqrt{\sigma^2 +
    \epsilon}` and :math:`g = \gamma\,dy`, the gradient is
    :math:`dx = (g - \bar g - h\,\overline{g h}) / \sqrt{\sigma^2+\epsilon}`.
    """

    kind = "layer_norm"
    centred = True

    def __init__(self, features: int, *, epsilon: float = 1e-5, dtype: Any = np.float32) -> None:
        super().__init__(features, epsilon=epsilon, dtype=dtype)
