"""Chooses the weights of a dense checkpoint that stay: the largest, found tile by tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.sparse.densities import DISTRIBUTIONS, allocate, check_density
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.selection import smallest_of_all

Entries = tuple[np.ndarray, np.ndarray]
#: One threshold for all layers, or a rule that says how many weights each layer keeps.
RULES = ("global", *DISTRIBUTIONS)


def kept_entries(
    tensors: Sequence[Tensor], density: float | None, distribution: str = "global"
) -> list[Entries]:
    r"""Return the sorted keys and the values that stay of each tensor: nonzeros, or largest \|w\|.

    ``density`` is the fraction to keep over all layers, None for all nonzeros. ``distribution`` is
    one threshold for all layers (``"global"``) or a rule that gives each layer a number of weights.
    Every layer keeps at least its largest weight; of equal magnitudes, those at earlier positions
    stay.
    """
    if density is None:
        return [_nonzeros(tensor) for tensor in tensors]
    check_density(density)
    if distribution not in RULES:
        raise ParameterError("distribution", distribution, f"one of {', '.join(RULES)}")
    if distribution == "global":
        return _largest_overall(tensors, density)
    counts = allocate([tensor.shape for tensor in tensors], density, distribution)
    return [_largest(tensor, count) for tensor, count in zip(tensors, counts, strict=True)]


def _nonzeros(tensor: Tensor) -> Entries:
    parts = list(tensor.entries())
    keys = [keys for keys, _ in parts] or [np.empty(0, dtype=np.int64)]
    values = [values for _, values in parts] or [np.empty(0, dtype=np.float32)]
    return np.concatenate(keys), np.concatenate(values)


def _largest(tensor: Tensor, count: int) -> Entries:
    top = RunningTop(count, np.float64)
    for keys, values in tensor.entries():
        top.add(keys, values)
    return top.result()


def _largest_overall(tensors: Sequence[Tensor], density: float) -> list[Entries]:
    """Return the largest entries over all layers, as if they were one."""
    sizes = [tensor.size for tensor in tensors]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    count = max(round(density * sum(sizes)), len(tensors))
    top = RunningTop(count, np.float64)
    for tensor, start in zip(tensors, edges, strict=False):
        for keys, values in tensor.entries():
            top.add(keys + start, values)
    keys, values = top.result()
    cuts = np.searchsorted(keys, edges)
    found = [
        (keys[a:b] - start, values[a:b])
        for a, b, start in zip(cuts[:-1], cuts[1:], edges, strict=False)
    ]
    empty = [i for i, (keys, _) in enumerate(found) if not len(keys)]
    for i in empty:
        found[i] = _largest(tensors[i], 1)
    over = sum(len(keys) for keys, _ in found) - count
    if over > 0:  # layers that would have been empty got one each: others give as many
        lost = smallest_of_all([values for _, values in found], over)
        found = [
            (np.delete(keys, gone), np.delete(values, gone))
            for (keys, values), gone in zip(found, lost, strict=True)
        ]
    return found
