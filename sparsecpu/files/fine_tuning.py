"""Starts training from the network of a model file, with another last layer where one is needed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from sparsecpu.errors import DataError, FileFormatError
from sparsecpu.files.model import load_all
from sparsecpu.layers import Sequential
from sparsecpu.networks.description import Architecture
from sparsecpu.sparse.dense_parameter import Parameter
from sparsecpu.sparse.first_patterns import first_pattern
from sparsecpu.sparse.first_values import scaled_uniform
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.streams import streams


def last_weighted_layer(network: Sequential) -> str:
    """Return the name of the last layer that has weights, such as ``"9"``."""
    names = list(network.sparse_parameters())
    return names[-1].rpartition(".")[0] if names else ""


def start_from(
    path: str, input_shape: tuple[int, ...], n_outputs: int, seed: int, *, new_head: bool = False
) -> Sequential:
    """Return the network of a model file, with a last layer for ``n_outputs`` outputs.

    The last layer is drawn anew from ``seed``, at the density that it had, if it has another number
    of outputs or ``new_head`` is True; all else is as in the file. Raises ``DataError`` if the
    network takes samples of another size, and ``FileFormatError`` if the file is damaged or does
    not end with a linear layer where that is to be drawn anew.
    """
    network, header, _ = load_all(path)
    architecture: Architecture = header["architecture"]
    if math.prod(input_shape) != math.prod(architecture.input_shape):
        raise DataError(
            f"{path} takes samples of shape {architecture.input_shape}; the data has {input_shape}"
        )
    if network.n_outputs == n_outputs and not new_head:
        return network
    if not architecture.layers or architecture.layers[-1].kind != "linear":
        raise FileFormatError(f"{path} does not end with a linear layer, which could be replaced")
    return _with_new_head(network, architecture, n_outputs, seed)


def _with_new_head(
    network: Sequential, architecture: Architecture, n_outputs: int, seed: int
) -> Sequential:
    """Return a copy of a network that has a new last layer."""
    last = len(architecture.layers) - 1
    parameters = dict(network.parameters())
    old = network.sparse_parameters()[f"{last}.weight"]
    shape = (n_outputs, old.shape[1])
    nnz = min(max(round(old.density * math.prod(shape)), n_outputs), math.prod(shape))
    rng, group = streams(seed)["init"], architecture.layers[last].options.get("group", 1)
    pattern = first_pattern(shape, nnz, rng, "random", group)
    values = scaled_uniform(pattern, rng, gain=1.0, dtype=network.dtype)
    parameters[f"{last}.weight"] = SparseParameter(pattern, values, network.dtype)
    if f"{last}.bias" in parameters:
        parameters[f"{last}.bias"] = Parameter(np.zeros(n_outputs), network.dtype)
    options = {**architecture.layers[last].options, "out_features": n_outputs, "nnz": pattern.nnz}
    layers = (*architecture.layers[:last], replace(architecture.layers[last], options=options))
    made = replace(architecture, layers=layers).build(dtype=network.dtype, parameters=parameters)
    for buffer, values in zip(made.buffers().values(), network.buffers().values(), strict=True):
        buffer[...] = values
    made.offset, made.scale = network.offset, network.scale
    return made
