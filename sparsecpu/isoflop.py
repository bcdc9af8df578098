"""Sparse-IFT: dense layers replaced by larger sparse ones of the same FLOPs."""

from sparsecpu.networks.isoflop import (
    TRANSFORMS,
    activations,
    compare_costs,
    cost_table,
    doped_rank,
    factorized_rank,
    flops,
    sparse_doped,
    sparse_factorized,
    sparse_parallel,
    sparse_wide,
)

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
