r"""Sparse-IFT: dense layers replaced by larger sparse ones of the same FLOPs.

Each function takes a dense network's description and a sparsity s and returns a description; so
models, checkpoints and every topology algorithm work on the result. The first convolution and the
last layer stay as they are (but for their sizes), with norms and biases; they, and the low-rank
factors of ``sparse_doped``, are full patterns that topology leaves alone.

Thangarasa et al., Sparse-IFT: sparse iso-FLOP transformations for maximizing training efficiency
(2024), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers import KINDS
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.isoflop.descriptions import (
    WEIGHTS,
    Entry,
    Shape,
    behind,
    costs,
    fans,
    flops,
    kept_dense,
    rewrite,
    size_of,
)
from sparsecpu.registries import Registry
from sparsecpu.sparse.densities import allocate

#: Rounding errors in sizes that should be integers stay below this.
_SLACK = 1e-9
#: What may stand behind a layer and belongs to it in every branch.
_BEHIND = ("batch_norm", "relu")


def sparse_wide(
    architecture: Architecture, sparsity: float, distribution: str = "uniform"
) -> Architecture:
    r"""Multiply all widths by :math:`k = \sqrt{1 / (1 - s)}` and keep as many FLOPs as before.

    Layers that stay dense get wider too, so the rest is made sparser than s until the FLOPs of all
    together are those of the dense network.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s, in [0, 1).
    distribution : {"uniform", "erk", "er"}
        How the sparse layers share their weights.

    Returns
    -------
    Architecture
        FLOPs within 0.1 % of the dense network's.

    Raises
    ------
    ParameterError
        If the layers that stay dense take more than all FLOPs.
    """
    factor = math.sqrt(_scale(sparsity))
    kept = kept_dense(architecture)

    def widen(entry: Entry, number: int, shape: Shape) -> list[Entry]:
        size = "out_features" if entry["kind"] == "linear" else "out_channels"
        if number == kept[-1]:
            return [{**entry, "fixed": True}]
        wide = {**entry, size: int(entry[size] * factor + _SLACK)}
        return [{**wide, "fixed": True} if number in kept else wide]

    wide = rewrite(architecture, widen, lambda entry: _widen_shortcut(entry, factor))
    wide = replace(wide, name=f"{architecture.name}-wide-{sparsity:g}")
    return _match(wide, flops(architecture), distribution)


def sparse_parallel(architecture: Architecture, sparsity: float) -> Architecture:
    r"""Replace each layer by :math:`1 / (1 - s)` sparse ones, added up.

    A normalisation and a ReLU behind a layer go into every branch.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s; 1 / (1 - s) must be an integer.

    Returns
    -------
    Architecture
        The network.

    Raises
    ------
    ParameterError
        If 1 / (1 - s) is no integer.
    """
    scale = _scale(sparsity)
    if abs(scale - round(scale)) > 1e-6:
        raise ParameterError(
            "sparsity", sparsity, "0.5, 0.75, 0.9 or another 1 - 1/k, for parallel"
        )
    kept = kept_dense(architecture)

    def split(entry: Entry, number: int, shape: Shape) -> list[Entry]:
        if number in kept:
            return [{**entry, "fixed": True}]
        count, branches = round(scale), []
        size = size_of(entry, shape)
        for branch in range(count):
            nnz = size * (branch + 1) // count - size * branch // count
            # The sum has the variance of the layer that it stands for.
            gain = entry.get("gain", math.sqrt(2.0)) / math.sqrt(count)
            bias = entry.get("bias", True) and branch == 0
            branches.append([{**entry, "nnz": nnz, "gain": gain, "bias": bias}])
        return [{"kind": "parallel", "branches": branches}]

    found = rewrite(architecture, split, lambda entry: entry, _pull_into_branches)
    return replace(found, name=f"{architecture.name}-parallel-{sparsity:g}")


def sparse_factorized(architecture: Architecture, sparsity: float) -> Architecture:
    r"""Replace each layer W by :math:`V \sigma(U x)`, both sparse, with a norm between them.

    The inner size is :math:`r = \lceil d_{in} d_{out} / ((1 - s)(d_{in} + d_{out})) \rceil`; for a
    convolution U has its kernel and V is 1x1, with :math:`d_{in} = k^2 f_{in}`.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s, in [0, 1).

    Returns
    -------
    Architecture
        The network.
    """
    _scale(sparsity)
    kept = kept_dense(architecture)

    def factor(entry: Entry, number: int, shape: Shape) -> list[Entry]:
        if number in kept:
            return [{**entry, "fixed": True}]
        rank = factorized_rank(*fans(entry, shape), sparsity)
        first, second = _factors(entry, rank)
        first, second = (
            {**e, "nnz": max(1, round((1 - sparsity) * size_of(e, at)))}
            for e, at in ((first, shape), (second, behind(first, shape)))
        )
        return [{**first, "bias": False}, {"kind": "batch_norm"}, {"kind": "relu"}, second]

    found = rewrite(architecture, factor, lambda entry: entry)
    return replace(found, name=f"{architecture.name}-factorized-{sparsity:g}")


def sparse_doped(architecture: Architecture, sparsity: float) -> Architecture:
    r"""Replace each layer W by a sparse one plus a dense product V U of low rank.

    The rank is :math:`r = \lfloor s\, d_{in} d_{out} / (d_{in} + d_{out}) \rfloor`.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s, in [0, 1).

    Returns
    -------
    Architecture
        The network.
    """
    _scale(sparsity)
    kept = kept_dense(architecture)

    def dope(entry: Entry, number: int, shape: Shape) -> list[Entry]:
        if number in kept:
            return [{**entry, "fixed": True}]
        # Both branches have half of the variance.
        gain = entry.get("gain", math.sqrt(2.0)) / math.sqrt(2.0)
        own = {**entry, "nnz": max(1, round((1 - sparsity) * size_of(entry, shape))), "gain": gain}
        rank = doped_rank(*fans(entry, shape), sparsity)
        if rank == 0:
            return [{**own, "gain": entry.get("gain", math.sqrt(2.0))}]
        first, second = _factors(entry, rank)
        first = {**first, "nnz": None, "bias": False, "fixed": True, "gain": 1.0}
        second = {**second, "nnz": None, "bias": False, "fixed": True, "gain": gain}
        return [{"kind": "parallel", "branches": [[own], [first, second]]}]

    found = rewrite(architecture, dope, lambda entry: entry)
    return replace(found, name=f"{architecture.name}-doped-{sparsity:g}")


#: The members of the family by the name that users give.
TRANSFORMS: Registry[Callable[..., Architecture]] = Registry(
    "ift",
    {
        "wide": sparse_wide,
        "parallel": sparse_parallel,
        "factorized": sparse_factorized,
        "doped": sparse_doped,
    },
)


def factorized_rank(d_in: int, d_out: int, sparsity: float) -> int:
    """Return the inner size of ``sparse_factorized``.

    Parameters
    ----------
    d_in, d_out : int
        Inputs (of a convolution: per pixel) and outputs.
    sparsity : float
        s.

    Returns
    -------
    int
        r.
    """
    exact = d_in * d_out * _scale(sparsity) / (d_in + d_out)
    return math.ceil(exact * (1 - _SLACK))  # 576.0000001 is 576


def doped_rank(d_in: int, d_out: int, sparsity: float) -> int:
    """Return the rank of ``sparse_doped``.

    Parameters
    ----------
    d_in, d_out : int
        Inputs (of a convolution: per pixel) and outputs.
    sparsity : float
        s.

    Returns
    -------
    int
        r.
    """
    return math.floor(sparsity * d_in * d_out / (d_in + d_out) * (1 + _SLACK))


def _scale(sparsity: float) -> float:
    if not (isinstance(sparsity, (int, float)) and 0.0 <= sparsity < 1.0):
        raise ParameterError("sparsity", sparsity, "a number in [0, 1)")
    scale = 1.0 / (1.0 - sparsity)
    return round(scale) if abs(scale - round(scale)) < _SLACK * scale else scale


def _widen_shortcut(entry: Entry, factor: float) -> Entry:
    if entry["kind"] != "subsample":
        return entry
    return {**entry, "channels": int(entry["channels"] * factor + _SLACK)}


def _pull_into_branches(entries: list[Entry]) -> list[Entry]:
    """Move a norm and a ReLU that stand behind parallel branches into each of them."""
    found: list[Entry] = []
    for entry in entries:
        last = found[-1] if found else None
        if last is not None and last["kind"] == "parallel" and entry["kind"] in _BEHIND:
            ends = last["branches"][0][-1]["kind"]
            if ends in (*WEIGHTS, "batch_norm") and ends != entry["kind"]:
                found[-1] = {**last, "branches": [[*b, dict(entry)] for b in last["branches"]]}
                continue
        found.append(entry)
    return found


def _factors(entry: Entry, rank: int) -> tuple[Entry, Entry]:
    """Return the two layers that a layer is cut into."""
    if entry["kind"] == "linear":
        return {**entry, "out_features": rank}, dict(entry)
    pointed = {"kernel_size": 1, "stride": 1, "padding": 0}
    return {**entry, "out_channels": rank}, {**entry, **pointed}


def _match(architecture: Architecture, wanted: int, distribution: str) -> Architecture:
    """Give the layers that are not fixed as many weights as FLOPs allow."""
    layers = costs(architecture)
    free = [(e, c, s) for e, c, s in layers if not e.get("fixed")]
    spent = 2 * sum(cost for entry, cost, _ in layers if entry.get("fixed"))
    if not free or spent >= wanted:
        raise ParameterError("sparsity", architecture.name, "less: dense layers take all FLOPs")
    shapes = [
        KINDS[e["kind"]].trace(s, {k: v for k, v in e.items() if k != "kind"})[1][0]
        for e, _, s in free
    ]
    pixels = np.array([math.prod(behind(e, s)[1:]) for e, _, s in free], dtype=np.int64)

    def counts(density: float) -> list[int]:
        return allocate(shapes, density, distribution)

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if spent + 2 * int(np.dot(counts(max(middle, 1e-12)), pixels)) > wanted:
            high = middle
        else:
            low = middle
    given = iter(counts(max(low, 1e-12)))

    def set_nnz(entry: Entry, number: int, shape: Shape) -> list[Entry]:
        return [entry if entry.get("fixed") else {**entry, "nnz": next(given)}]

    return rewrite(architecture, set_nnz, lambda entry: entry)
