"""Layers: one file each. A new one is imported here and, by that line, known to descriptions."""

from sparsecpu.layers.activations import (
    GELU,
    AllReLU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Tanh,
)
from sparsecpu.layers.base import KINDS, Layer, Spec
from sparsecpu.layers.batch_norm import BatchNorm
from sparsecpu.layers.dropout import Dropout
from sparsecpu.layers.flatten import Flatten
from sparsecpu.layers.linear import SparseLinear
from sparsecpu.layers.sequential import Sequential

__all__ = [
    "GELU",
    "KINDS",
    "AllReLU",
    "BatchNorm",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LeakyReLU",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "SparseLinear",
    "Spec",
    "Tanh",
]
