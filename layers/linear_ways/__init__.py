"""The ways in which a linear layer computes, each in a file of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.layers.linear_ways.base import Way, check_tiles
from sparsecpu.layers.linear_ways.dense_product import DenseProduct
from sparsecpu.layers.linear_ways.grouped_pairs import GroupedPairs, pairs_pay
from sparsecpu.layers.linear_ways.grouped_product import GroupedProduct
from sparsecpu.layers.linear_ways.lean_groups import LeanGroups
from sparsecpu.layers.linear_ways.lean_product import LeanProduct
from sparsecpu.layers.linear_ways.single_samples import SingleSamples
from sparsecpu.layers.linear_ways.sparse_product import SparseProduct
from sparsecpu.step.context import Context


def choose_way(layer: Any, x: np.ndarray, ctx: Context) -> Way:
    """Prepare the way in which a linear layer is to compute passes like this one."""
    check_tiles(x, layer.in_features, layer.weight.data.dtype, "x")
    pattern = layer.weight.pattern
    if pattern.suits_blas or layer.form == "dense" or (ctx.predicts and pattern.is_full):
        return DenseProduct(layer, x, ctx)
    if x.shape[2] == 1:
        return SingleSamples(layer, x, ctx)
    if pattern.group > 1:
        if not ctx.lean and pairs_pay(layer, x, ctx):
            return GroupedPairs(layer, x, ctx)
        return (LeanGroups if ctx.lean else GroupedProduct)(layer, x, ctx)
    return (LeanProduct if ctx.lean else SparseProduct)(layer, x, ctx)
