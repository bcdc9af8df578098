"""Going on from a network that is there already."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sparsecpu.errors import DataError, FileFormatError
from sparsecpu.files.model import load_all
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import Parameter, SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.streams import streams


def head_of(network: Sequential) -> str:
    """Return the name of the last layer that has weights.

    Parameters
    ----------
    network : Sequential
        The network.

    Returns
    -------
    str
        For example ``"9"``.
    """
    names = list(network.sparse_parameters())
    return names[-1].rpartition(".")[0] if names else ""


def start_from(
    path: str, input_shape: tuple[int, ...], n_outputs: int, seed: int, *, new_head: bool = False
) -> Sequential:
    """Return the network of a model file, with a last layer for this many outputs.

    Parameters
    ----------
    path : str
        The file.
    input_shape : tuple of ints
        Of one sample of the data; as many numbers as the network takes.
    n_outputs : int
        Classes, or numbers to predict. Where the network has another number, its last layer is
        drawn anew, of the density that it had.
    seed : int
        Of that layer.
    new_head : bool
        Whether it is drawn anew in any case.

    Returns
    -------
    Sequential
        The network; everything else is as in the file.

    Raises
    ------
    FileFormatError
        If the file is damaged, or its network does not end with a linear layer that can be drawn
        anew.
    DataError
        If the network takes other samples.
    """
    network, header, _ = load_all(path)
    architecture: Architecture = header["architecture"]
    if math.prod(input_shape) != math.prod(architecture.input_shape):
        raise DataError(
            f"{path} takes samples of shape {architecture.input_shape}; the data has {input_shape}"
        )
    if network.n_outputs == n_outputs and not new_head:
        return network
    last = len(architecture.layers) - 1
    if architecture.layers[last].kind != "linear":
        raise FileFormatError(f"{path} does not end with a linear layer, which could be replaced")
    parameters = dict(network.parameters())
    old = parameters[f"{last}.weight"]
    assert isinstance(old, SparseParameter)
    shape = (n_outputs, old.shape[1])
    nnz = min(max(round(old.density * math.prod(shape)), n_outputs), math.prod(shape))
    rng = streams(seed)["init"]
    pattern = Pattern.full(shape) if nnz == math.prod(shape) else Pattern.random(shape, nnz, rng)
    values = scaled_uniform(pattern, rng, gain=1.0, dtype=network.dtype)
    parameters[f"{last}.weight"] = SparseParameter(pattern, values, network.dtype)
    if f"{last}.bias" in parameters:
        parameters[f"{last}.bias"] = Parameter(np.zeros(n_outputs), network.dtype)
    options = {**architecture.layers[last].options, "out_features": n_outputs, "nnz": nnz}
    layers = (*architecture.layers[:last], replace(architecture.layers[last], options=options))
    made = replace(architecture, layers=layers).build(dtype=network.dtype, parameters=parameters)
    for mine, theirs in zip(made.buffers().values(), network.buffers().values(), strict=True):
        mine[...] = theirs
    made.offset, made.scale = network.offset, network.scale
    return made
