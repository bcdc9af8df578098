"""Plain NumPy twins of the kernels and algorithms. Nothing of sparsecpu is imported here.

Everything is dense, in the users' order, and as close to the equations as it gets.
"""

from naive.attending import attention, attention_backward
from naive.images import average_pool, conv2d, conv2d_backward, max_pool, unfold
from naive.layers import batch_norm, layer_norm, linear, linear_backward, relu, rms_norm
from naive.layout import at_nonzeros, bf16, dense, from_planes, from_tiles, to_planes, to_tiles
from naive.masked_dense import MaskedDense, cosine_rate, largest_remainders, water_fill_by_sweeps
from naive.masked_momentum import MaskedDenseAdamMomentum, MaskedDenseSparseMomentum
from naive.masked_rules import (
    MaskedDenseDeepR,
    MaskedDenseDSR,
    MaskedDenseGSE,
    MaskedDensePruning,
    MaskedDenseRigL,
    MaskedDenseSET,
)
from naive.training import adam, sgd, sigmoid_cross_entropy, softmax_cross_entropy, squared_error

__all__ = [
    "MaskedDense",
    "MaskedDenseAdamMomentum",
    "MaskedDenseDSR",
    "MaskedDenseDeepR",
    "MaskedDenseGSE",
    "MaskedDensePruning",
    "MaskedDenseRigL",
    "MaskedDenseSET",
    "MaskedDenseSparseMomentum",
    "adam",
    "at_nonzeros",
    "attention",
    "attention_backward",
    "average_pool",
    "batch_norm",
    "bf16",
    "conv2d",
    "conv2d_backward",
    "cosine_rate",
    "dense",
    "from_planes",
    "from_tiles",
    "largest_remainders",
    "layer_norm",
    "linear",
    "linear_backward",
    "max_pool",
    "relu",
    "rms_norm",
    "sgd",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
    "to_planes",
    "to_tiles",
    "unfold",
    "water_fill_by_sweeps",
]
