"""Layers: one file each. A new one is imported here; by that line everything knows its name."""

if __name__ == "layers":  # a bare name, which may be meant for somebody else's package
    raise ModuleNotFoundError("import sparsecpu.layers", name="layers")

from sparsecpu.layers.activations import (
    ACTIVATIONS,
    Activation,
    AllReLU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Tanh,
)
from sparsecpu.layers.attention import Attention
from sparsecpu.layers.base import KINDS, Layer, Spec
from sparsecpu.layers.batch_norm import BatchNorm
from sparsecpu.layers.branches import Parallel, Residual
from sparsecpu.layers.chain import Chain
from sparsecpu.layers.conv2d import SparseConv2d
from sparsecpu.layers.dropout import Dropout
from sparsecpu.layers.embedding import Embedding
from sparsecpu.layers.feed_forward import FeedForward
from sparsecpu.layers.flatten import Flatten
from sparsecpu.layers.layer_norm import LayerNorm
from sparsecpu.layers.linear import SparseLinear
from sparsecpu.layers.network.autotune import Choice, set_forms, tunable_layers
from sparsecpu.layers.network.predictor import Predictor
from sparsecpu.layers.patch_embedding import PatchEmbedding
from sparsecpu.layers.pooling import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from sparsecpu.layers.rms_norm import RMSNorm
from sparsecpu.layers.sequential import Sequential
from sparsecpu.layers.smooth_activations import GELU, SiLU
from sparsecpu.layers.subsample import Subsample
from sparsecpu.layers.token_pooling import ClassToken, MeanTokens

__all__ = [
    "ACTIVATIONS",
    "GELU",
    "KINDS",
    "Activation",
    "AllReLU",
    "Attention",
    "AvgPool2d",
    "BatchNorm",
    "Chain",
    "Choice",
    "ClassToken",
    "Dropout",
    "Embedding",
    "FeedForward",
    "Flatten",
    "GlobalAvgPool2d",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2d",
    "MeanTokens",
    "Parallel",
    "PatchEmbedding",
    "Predictor",
    "RMSNorm",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SparseConv2d",
    "SparseLinear",
    "Spec",
    "Subsample",
    "Tanh",
    "set_forms",
    "tunable_layers",
]
