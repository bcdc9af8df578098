"""Training steps of PyTorch with SparseLab's layers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from sparsecpu.bench.cases import NetworkCase
from sparsecpu.bench.rivals.base import SPARSELAB
from sparsecpu.bench.rivals.steps.text import TorchTextStep
from sparsecpu.sparse.densities import allocate


class SparseLabStep(TorchTextStep):
    """PyTorch's language model, each linear layer exchanged for SparseLab's, as sparse as ours."""

    name, needs, how, dense, sparse = "SparseLab", "sparselab", SPARSELAB, False, True

    def make_network(self) -> Any:
        import torch

        network = super().make_network()
        dense = {n: m for n, m in network.named_modules() if isinstance(m, torch.nn.Linear)}
        shapes = ((module.out_features, module.in_features) for module in dense.values())
        densities = twin_densities(self.case, self.variant.sparsity, shapes)
        for (name, module), density in zip(dense.items(), densities, strict=True):
            if density < 1:
                parent, _, last = name.rpartition(".")
                setattr(network.get_submodule(parent), last, _sparse(module, density))
        return network

    def close(self) -> None:
        from sparselab import ops

        # Transposed copies are looked up by the address of a matrix: once that is gone, a matrix
        # of the next case may lie there, and would be given a copy that is not its own.
        ops._clear_transpose_cache()


def twin_densities(
    case: NetworkCase, sparsity: float, shapes: Iterable[tuple[int, int]]
) -> Iterator[float]:
    """Yield how dense the twin's layers of these shapes are; some are several of ours stacked."""
    ours = case.described().weight_shapes()
    counts = iter(zip(ours, allocate(ours, 1 - sparsity, case.distribution), strict=True))
    for n_out, n_in in shapes:
        rows = kept = 0
        while rows < n_out:
            shape, count = next(counts)
            rows, kept = rows + shape[0], kept + count
        yield kept / (n_out * n_in)


def _sparse(module: Any, density: float) -> Any:
    """Return SparseLab's layer in place of a dense one, with first values of its own."""
    from sparselab import SparseLinear

    with warnings.catch_warnings():  # PyTorch calls its own CSR tensors unfinished
        warnings.simplefilter("ignore")
        # No room for more weights: the optimizer would work through it, too.
        return SparseLinear(
            module.in_features, module.out_features, bias=module.bias is not None,
            sparsity=1 - density, padding_ratio=0.0,
        )  # fmt: skip
