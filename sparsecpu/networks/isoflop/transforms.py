r"""Sparse-IFT: dense layers replaced by larger sparse ones of the same FLOPs.

Each function takes a dense network's description and a sparsity s and returns a description; so
models, checkpoints and every topology algorithm work on the result. The first convolution and the
last layer stay dense, and so do norms and biases; these layers, and the low-rank factors of
``sparse_doped``, have full patterns that topology leaves alone.

Thangarasa et al., Sparse-IFT: sparse iso-FLOP transformations for maximizing training efficiency
(2024), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from sparsecpu.errors import ParameterError
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.isoflop.placed_layers import (
    WEIGHTED,
    Entry,
    PlacedLayer,
    fixed,
    replace_sparse,
)
from sparsecpu.networks.isoflop.scale import SLACK, scale_of
from sparsecpu.networks.isoflop.wide import sparse_wide
from sparsecpu.registries import Registry

#: Kinds of layers behind a layer that go into every branch with it.
_BEHIND = ("batch_norm", "relu")


def sparse_parallel(architecture: Architecture, sparsity: float) -> Architecture:
    """Replace each layer by the sum of :math:`1 / (1 - s)` sparse ones.

    A normalisation and a ReLU behind a layer go into every branch.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s; 1 / (1 - s) must be an integer.

    Raises
    ------
    ParameterError
        If 1 / (1 - s) is not an integer.
    """
    scale = scale_of(sparsity)
    if abs(scale - round(scale)) > 1e-6:
        raise ParameterError(
            "sparsity", sparsity, "0.5, 0.75, 0.9 or another 1 - 1/k, for parallel"
        )
    count = round(scale)

    def split(layer: PlacedLayer) -> list[Entry]:
        entry, size, branches = layer.entry, layer.size, []
        for branch in range(count):
            nnz = size * (branch + 1) // count - size * branch // count
            # The sum has the variance of the layer that it replaces.
            gain = entry.get("gain", math.sqrt(2.0)) / math.sqrt(count)
            bias = entry.get("bias", True) and branch == 0
            branches.append([{**entry, "nnz": nnz, "gain": gain, "bias": bias}])
        return [{"kind": "parallel", "branches": branches}]

    found = replace_sparse(architecture, split, _pull_into_branches)
    return replace(found, name=f"{architecture.name}-parallel-{sparsity:g}")


def sparse_factorized(architecture: Architecture, sparsity: float) -> Architecture:
    r"""Replace each layer W by :math:`V \sigma(U x)`, both sparse, with a norm between them.

    The inner size is :math:`r = \lceil d_{in} d_{out} / ((1 - s)(d_{in} + d_{out})) \rceil`; for a
    convolution, U has its kernel and V is 1x1, with :math:`d_{in} = k^2 f_{in}`. Norm and
    :math:`\sigma` are batch norm and ReLU, of tokens layer norm and GELU.

    Parameters
    ----------
    architecture : Architecture
        The dense network.
    sparsity : float
        s, in [0, 1).
    """
    scale_of(sparsity)
    between = ("layer_norm", "gelu") if architecture.longest else ("batch_norm", "relu")

    def factor(layer: PlacedLayer) -> list[Entry]:
        factors = _factors(layer, factorized_rank(*layer.fans, sparsity))
        first, second = (
            {**factor.entry, "nnz": max(1, round((1 - sparsity) * factor.size))}
            for factor in factors
        )
        return [{**first, "bias": False}, *({"kind": kind} for kind in between), second]

    found = replace_sparse(architecture, factor)
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
    """
    scale_of(sparsity)

    def dope(layer: PlacedLayer) -> list[Entry]:
        entry = {**layer.entry, "nnz": max(1, round((1 - sparsity) * layer.size))}
        gain = entry.get("gain", math.sqrt(2.0))
        rank = doped_rank(*layer.fans, sparsity)
        if rank == 0:
            return [{**entry, "gain": gain}]
        gain /= math.sqrt(2.0)  # both branches have half of the variance
        first, second = (
            fixed({**factor.entry, "nnz": None, "bias": False}) for factor in _factors(layer, rank)
        )
        low_rank = [{**first, "gain": 1.0}, {**second, "gain": gain}]
        return [{"kind": "parallel", "branches": [[{**entry, "gain": gain}], low_rank]}]

    found = replace_sparse(architecture, dope)
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
    "transforms",
)


def factorized_rank(d_in: int, d_out: int, sparsity: float) -> int:
    """Return r, the inner size of ``sparse_factorized``.

    Parameters
    ----------
    d_in, d_out : int
        Inputs (of a convolution: per pixel) and outputs of the layer.
    sparsity : float
        s, in [0, 1).
    """
    exact = d_in * d_out * scale_of(sparsity) / (d_in + d_out)
    return math.ceil(exact * (1 - SLACK))  # 576.0000001 is 576


def doped_rank(d_in: int, d_out: int, sparsity: float) -> int:
    """Return r, the rank of ``sparse_doped``.

    Parameters
    ----------
    d_in, d_out : int
        Inputs (of a convolution: per pixel) and outputs of the layer.
    sparsity : float
        s, in [0, 1).
    """
    return math.floor(sparsity * d_in * d_out / (d_in + d_out) * (1 + SLACK))


def _pull_into_branches(entries: list[Entry]) -> list[Entry]:
    """Move a norm and a ReLU behind parallel branches into each of them."""
    found: list[Entry] = []
    for entry in entries:
        last = found[-1] if found else None
        if last is not None and last["kind"] == "parallel" and entry["kind"] in _BEHIND:
            ends = last["branches"][0][-1]["kind"]
            if ends in (*WEIGHTED, "batch_norm") and ends != entry["kind"]:
                found[-1] = {**last, "branches": [[*b, dict(entry)] for b in last["branches"]]}
                continue
        found.append(entry)
    return found


def _factors(layer: PlacedLayer, rank: int) -> tuple[PlacedLayer, PlacedLayer]:
    """Return the two layers, with ``rank`` numbers between them, that replace a layer."""
    size = "out_features" if layer.kind == "linear" else "out_channels"
    first = PlacedLayer({**layer.entry, size: rank}, layer.shape)
    pointwise = {} if layer.kind == "linear" else {"kernel_size": 1, "stride": 1, "padding": 0}
    return first, PlacedLayer({**layer.entry, **pointwise}, first.output_shape)
