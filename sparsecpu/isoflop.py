"""Sparse-IFT: dense layers replaced by larger sparse ones of the same FLOPs."""

from sparsecpu.networks.isoflop.costs import compare_costs, cost_table
from sparsecpu.networks.isoflop.placed_layers import activations, flops
from sparsecpu.networks.isoflop.transforms import (
    TRANSFORMS,
    doped_rank,
    factorized_rank,
    sparse_doped,
    sparse_factorized,
    sparse_parallel,
)
from sparsecpu.networks.isoflop.wide import sparse_wide

__all__ = [
    "TRANSFORMS",
    "activations",
    "compare_costs",
    "cost_table",
    "doped_rank",
    "factorized_rank",
    "flops",
    "sparse_doped",
    "sparse_factorized",
    "sparse_parallel",
    "sparse_wide",
]
