"""Batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_zeros
from sparsecpu.layers.base import Layer, Spec
from sparsecpu.layers.batch_norm_of_features import NormOfFeatures
from sparsecpu.layers.images.batch_norm_of_images import NormOfImages
from sparsecpu.layers.required import filled
from sparsecpu.registries.numbers import float_type, is_number, whole
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.step.context import Context


class BatchNorm(Layer):
    r"""Normalise each feature, or each channel of images, over the batch.

    :math:`y = \gamma (x-\mu)/\sqrt{\sigma^2+\epsilon} + \beta`. In training :math:`\mu` and
    :math:`\sigma^2` are those of the batch, and running averages are kept for prediction (of the
    unbiased variance, as PyTorch does). Of images nothing is written: y is left pending, a factor,
    a shift and a centre per channel that the next layer applies while it reads; see
    ``sparsecpu.layers.images.planes``.

    Parameters
    ----------
    features : int
        Number of features, or of channels.
    momentum : float
        Weight of a new batch in the running averages, in (0, 1].
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
    Ioffe and Szegedy, Batch normalization (2015), algorithm 1.
    """

    kind = "batch_norm"
    filled = ("features", "dtype")
    keeps_size = ("gamma", "beta", "running_mean", "running_variance")

    def __init__(
        self,
        features: int,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        dtype: Any = np.float32,
    ) -> None:
        if not (is_number(momentum) and 0.0 < momentum <= 1.0):
            raise ParameterError("momentum", momentum, "a number in (0, 1]")
        if not (is_number(epsilon) and epsilon > 0.0):
            raise ParameterError("epsilon", epsilon, "a number above 0")
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        features, dtype = whole("features", features, 1, 2**31 - 1), float_type(dtype)
        self.gamma = Parameter(np.ones(features), dtype)
        self.beta = Parameter(np.zeros(features), dtype)
        self.running_mean = aligned_zeros(features, dtype)
        self.running_variance = aligned_copy(np.ones(features), dtype)
        self._form: NormOfFeatures | NormOfImages = NormOfFeatures(self)

    @classmethod
    def build(cls, shape: tuple[int, ...], options: dict[str, Any], **context: Any) -> Layer:
        layer = cls(shape[0], **options, dtype=context["dtype"])
        return filled(layer, context.get("parameters"))

    def plan(self, spec: Spec) -> Spec:
        if spec.shape[0] != self.gamma.nnz or len(spec.shape) not in (1, 3):
            expected = f"({self.gamma.nnz},) or ({self.gamma.nnz}, height, width)"
            raise ParameterError("input shape", spec.shape, expected)
        if spec.length is not None:
            raise ParameterError("input", "tokens", "samples; LayerNorm and RMSNorm take tokens")
        self._form = NormOfImages(self) if len(spec.shape) == 3 else NormOfFeatures(self)
        return Spec(spec.shape, needs_gradient=True)

    @property
    def reads_moments(self) -> bool:
        return self._form.reads_moments

    def absorb_relu(self) -> bool:
        """Leave a ReLU pending along with the factor and shift of images."""
        return self._form.absorb_relu()

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        return self._form.forward(x, ctx)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        return self._form.backward(dy, saved, ctx)

    def remember(self, mean: np.ndarray, variance: np.ndarray, count: int) -> None:
        """Move the running averages by mean and variance of a batch, each of count numbers."""
        unbiased = count / max(count - 1, 1)
        means, variances = self.running_mean, self.running_variance
        with np.errstate(over="ignore"):  # infinity is what the trainer notices
            for running, new in ((means, mean), (variances, unbiased * variance)):
                running[...] = (1.0 - self.momentum) * running.astype(float) + self.momentum * new

    def parameters(self) -> dict[str, Parameter]:
        return {"gamma": self.gamma, "beta": self.beta}

    def buffers(self) -> dict[str, np.ndarray]:
        return {"running_mean": self.running_mean, "running_variance": self.running_variance}
