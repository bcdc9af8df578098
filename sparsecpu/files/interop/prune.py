"""Chooses the weights of a dense checkpoint that stay: the largest, found tile by tile."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sparsecpu.files.interop.tensors import Tensor
from sparsecpu.registries.names import read_name
from sparsecpu.sparse.densities import DISTRIBUTIONS, allocate, check_density
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.topology.best_shared import BestShared

Entries = tuple[np.ndarray, np.ndarray]
#: One threshold for all layers, or a rule that says how many weights each layer keeps.
RULES = ("global", *DISTRIBUTIONS)


def kept_entries(
    tensors: Sequence[Tensor],
    density: float | None,
    distribution: str = "global",
    groups: Sequence[int] | None = None,
) -> list[Entries]:
    r"""Return the sorted keys and the values that stay of each tensor: nonzeros, or largest \|w\|.

    ``density`` is the fraction to keep over all layers, None for all nonzeros. ``distribution`` is
    one threshold for all layers (``"global"``) or a rule that gives each layer a number of weights.
    Every layer keeps at least its largest weight; of equal magnitudes, those at earlier positions
    stay. ``groups`` are the sizes of the groups of rows, 1 by default: shared columns stay or go as
    a whole, by the means over their rows, zeros among them included; their weights are as many as
    there should be, to within one group.
    """
    groups = [1] * len(tensors) if groups is None else groups
    if density is None:
        return [_nonzeros(tensor, group) for tensor, group in zip(tensors, groups, strict=True)]
    check_density(density)
    distribution = read_name("distribution", distribution, RULES)
    if distribution == "global":
        best = _largest_overall(tensors, groups, density)
    else:
        counts = allocate([tensor.shape for tensor in tensors], density, distribution)
        best = [
            _offered([tensor], [group], max(count, group)).result()[0]
            for tensor, group, count in zip(tensors, groups, counts, strict=True)
        ]
    return [
        found if group == 1 else _whole(tensor, group, found[0])
        for tensor, group, found in zip(tensors, groups, best, strict=True)
    ]


def _nonzeros(tensor: Tensor, group: int) -> Entries:
    parts = list(tensor.shared(group))
    keys = [keys for keys, _ in parts] or [np.empty(0, dtype=np.int64)]
    values = [values for _, values in parts] or [np.empty(0, dtype=np.float32)]
    if group > 1:
        return _whole(tensor, group, np.concatenate(keys))
    return np.concatenate(keys), np.concatenate(values)


def _whole(tensor: Tensor, group: int, shared: np.ndarray) -> Entries:
    """Return the keys and values of all that some shared columns stand for."""
    n_out, n_in = _matrix_shape(tensor)
    groups = Pattern.from_keys((-(-n_out // group), n_in), shared)
    pattern = Pattern.of_groups(n_out, group, groups)
    return pattern.keys(), tensor.at(pattern)


def _matrix_shape(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[0], math.prod(tensor.shape[1:])


def _offered(tensors: Sequence[Tensor], groups: Sequence[int], count: int) -> BestShared:
    """Return what has found the largest entries over some layers, as if they were one.

    Shared columns are ranked by means over their rows: sums would favour large groups.
    """
    best = BestShared([_matrix_shape(tensor) for tensor in tensors], groups, count)
    for layer, (tensor, group) in enumerate(zip(tensors, groups, strict=True)):
        for keys, scores in tensor.shared(group):
            best.offer(layer, keys, scores if group == 1 else scores / best.weights_of(layer, keys))
    return best


def _largest_overall(
    tensors: Sequence[Tensor], groups: Sequence[int], density: float
) -> list[Entries]:
    """Return the keys and scores of the largest over all layers, each of which has one at least."""
    count = max(round(density * sum(tensor.size for tensor in tensors)), len(tensors))
    best = _offered(tensors, groups, count)
    found = best.result()
    for i, (keys, _) in enumerate(found):
        if not len(keys):
            found[i] = _offered(tensors[i : i + 1], groups[i : i + 1], groups[i]).result()[0]
    held = [best.weights_of(i, keys) for i, (keys, _) in enumerate(found)]
    over = sum(int(own.sum()) for own in held) - count
    return found if over <= 0 else _without_smallest(found, held, over)


def _without_smallest(
    found: list[Entries], held: list[np.ndarray], over: int
) -> list[Entries]:  # fmt: skip
    """Take away the smallest that have so many weights too many; each layer keeps its largest.

    Layers that would have been empty got one each: the others give as many.
    """
    magnitudes = [np.abs(scores) for _, scores in found]
    for own in magnitudes:
        if len(own):
            own[np.argmax(own)] = np.inf
    order = np.argsort(np.concatenate(magnitudes), kind="stable")
    enough = 1 + int(np.searchsorted(np.cumsum(np.concatenate(held)[order]), over))
    most = sum(int(np.isfinite(own).sum()) for own in magnitudes)
    stays = np.ones(len(order), dtype=bool)
    stays[order[: min(enough, most)]] = False
    parts = np.split(stays, np.cumsum([len(own) for own in magnitudes])[:-1])
    return [(keys[own], scores[own]) for (keys, scores), own in zip(found, parts, strict=True)]
