"""Which weights of a dense checkpoint stay: the largest, found tile by tile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.sparse.densities import DISTRIBUTIONS, allocate, check_density
from sparsecpu.topology.running_top import RunningTop
from sparsecpu.topology.selection import smallest_of_all

Entries = tuple[np.ndarray, np.ndarray]
#: One threshold for all layers, or one for each, of which the rule says how many it keeps.
RULES = ("global", *DISTRIBUTIONS)


def kept_entries(
    tensors: Sequence[Tensor], density: float | None, distribution: str = "global"
) -> list[Entries]:
    r"""Return the weights to keep: everything but zeros, or those of largest \|w\|.

    Parameters
    ----------
    tensors : sequence of Tensor
        Weights of each layer.
    density : float or None
        Fraction to keep over all layers, in (0, 1]; None for everything that is not 0.
    distribution : {"global", "uniform", "erk", "er"}
        One threshold for all layers, or a count for each.

    Returns
    -------
    list of tuple of ndarray
        Keys ``i * n_in + j`` (sorted) and values of each layer. With one threshold every layer
        keeps its largest. Of equal magnitudes those at earlier positions stay.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    """
    if density is None:
        return [_all(tensor) for tensor in tensors]
    check_density(density)
    if distribution not in RULES:
        raise ParameterError("distribution", distribution, f"one of {', '.join(RULES)}")
    if distribution == "global":
        return _together(tensors, density)
    counts = allocate([tensor.shape for tensor in tensors], density, distribution)
    return [_top(tensor, count) for tensor, count in zip(tensors, counts, strict=True)]


def _all(tensor: Tensor) -> Entries:
    parts = list(tensor.entries())
    keys = [keys for keys, _ in parts] or [np.empty(0, dtype=np.int64)]
    values = [values for _, values in parts] or [np.empty(0, dtype=np.float32)]
    return np.concatenate(keys), np.concatenate(values)


def _top(tensor: Tensor, count: int) -> Entries:
    top = RunningTop(count, np.float64)
    for keys, values in tensor.entries():
        top.add(keys, values)
    return top.result()


def _together(tensors: Sequence[Tensor], density: float) -> list[Entries]:
    """Return the largest over all layers, as if they were one."""
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
        found[i] = _top(tensors[i], 1)
    over = sum(len(keys) for keys, _ in found) - count
    if over > 0:  # others make room for the layers that would have been empty
        lost = smallest_of_all([values for _, values in found], over)
        found = [
            (np.delete(keys, gone), np.delete(values, gone))
            for (keys, values), gone in zip(found, lost, strict=True)
        ]
    return found
