"""One or two samples through a whole network in one compiled call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.kernels.machine.cpu import wide_vectors_pay
from sparsecpu.layers.activations import AllReLU, Identity, LeakyReLU, ReLU
from sparsecpu.layers.dropout import Dropout
from sparsecpu.layers.flatten import Flatten
from sparsecpu.layers.linear import SparseLinear
from sparsecpu.step.lanes import LANES_ALIKE

if TYPE_CHECKING:
    from sparsecpu.layers.sequential import Sequential

#: What each kind of layer multiplies negative numbers by in prediction; it keeps positive ones.
_SLOPES: dict[type, Callable[[Any], float]] = {
    Identity: lambda layer: 1.0,
    Dropout: lambda layer: 1.0,
    Flatten: lambda layer: 1.0,
    ReLU: lambda layer: 0.0,
    LeakyReLU: lambda layer: layer.alpha,
    AllReLU: lambda layer: layer.alpha,
}

#: Weights from which on several threads may share a sample, layer by layer.
_MOST = 4_000_000


class DotChain:
    """A chain of linear layers with ReLUs and the like between them, bound to its weights.

    The kernel reads weights where they are, so that it sees what becomes of them; arrays that were
    replaced since show in ``is_current``. Where ``alike``, it adds up as tiles do, which takes more
    time. Full layers always predict the same bits here as in a tile.
    """

    def __init__(self, network: Sequential, *, alike: bool = False) -> None:
        self.network, self._bound = network, [_arrays(layer) for layer in _linear(network)]
        self.layers = np.array([_addresses(layer) for layer in _linear(network)], dtype=np.int64)
        self.in_order = alike or all(x.weight.pattern.is_full for x in _linear(network))
        self.in_groups = any(x.weight.pattern.group > 1 for x in _linear(network))
        self.slopes = np.ones(len(self.layers), dtype=network.dtype)
        done = 0
        for layer in network.layers:
            if type(layer) is SparseLinear:
                done += 1
            elif done:
                self.slopes[done - 1] *= _SLOPES[type(layer)](layer)
        self.work_shape = 2, max(network.widths)

    @staticmethod
    def suits(network: Sequential, *, alike: bool = False) -> bool:
        """Return True if the kernel knows every layer, and none is better left to another.

        Its one thread is enough. The threads that there are have no say in it: their number would
        change the order of sums.
        """
        if alike and not _adds_up_as_tiles(network):
            return False
        if sum(layer.weight.nnz for layer in _linear(network)) >= _MOST:
            return False
        may_bend = False  # one activation behind each linear layer
        for layer in network.layers:
            if type(layer) is SparseLinear:
                weight, may_bend = layer.weight, True
                if layer.form == "dense" or weight.pattern.suits_blas:
                    return False
                if weight.data.dtype != network.dtype:
                    return False
            elif type(layer) not in _SLOPES:
                return False
            elif _SLOPES[type(layer)](layer) != 1.0:
                if not may_bend:
                    return False
                may_bend = False
        return any(_linear(network))

    def is_current(self) -> bool:
        """Return True if all arrays are still those that addresses were taken of."""
        for layer, pattern, data, bias in self._bound:
            weight = layer.weight
            if weight.pattern is not pattern or weight.data is not data or layer.form == "dense":
                return False
            if (None if layer.bias is None else layer.bias.data) is not bias:
                return False
        return True

    def __call__(self, array: Any, rows: np.ndarray, work: np.ndarray, out: np.ndarray) -> None:
        """Write what samples ``array[rows[i]]`` become into ``out[i]``."""
        from sparsecpu.kernels.linear.row_dots import chain_of_row_dots

        offset, scale = self.network.offset, self.network.scale
        chain = chain_of_row_dots(self.in_order, self.in_groups)
        chain(self.layers, self.slopes, array, rows, offset, scale, work, out)


def _linear(network: Sequential) -> list[SparseLinear]:
    return [layer for layer in network.layers if type(layer) is SparseLinear]


def _adds_up_as_tiles(network: Sequential) -> bool:
    """Return True if no layer has blocks of columns, and tiles are not those of portable kernels.

    This kernel knows neither's order. Where rows stand in groups, blocks change no order.
    """
    size = LANES_ALIKE * network.dtype.itemsize
    patterns = [layer.weight.pattern for layer in _linear(network)]
    blocks = [len(pattern.blocks(size)[0]) for pattern in patterns if pattern.group == 1]
    return wide_vectors_pay() and all(count == 1 for count in blocks)


def _arrays(layer: SparseLinear) -> tuple[Any, ...]:
    bias = None if layer.bias is None else layer.bias.data
    return layer, layer.weight.pattern, layer.weight.data, bias


def _addresses(layer: SparseLinear) -> tuple[int, ...]:
    """Return a row of ``layers``, as ``kernels.linear.row_dots`` reads it."""
    pattern, weight, bias = layer.weight.pattern, layer.weight, layer.bias
    arrays = pattern.groups.indptr, pattern.groups.indices, weight.data
    return (
        *(array.ctypes.data for array in arrays),
        0 if bias is None else bias.data.ctypes.data,
        layer.out_features,
        not pattern.is_full,
        pattern.group,
    )
