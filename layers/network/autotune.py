"""Time both, keep the faster: each layer at its nonzeros, or as a full matrix."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.layers.base import inner_layers
from sparsecpu.layers.linear import FORMS
from sparsecpu.step.context import Context
from sparsecpu.step.workspace import Workspace

#: Turns of each form, of which the shortest counts: what others take of the CPU only adds to the
#: rest. Fewer turns where they take longer than so many seconds.
_TURNS, _LEAST, _SECONDS = 9, 3, 0.5


@dataclass(frozen=True)
class Choice:
    """How fast one layer is in either form.

    Parameters
    ----------
    name : str
        The layer.
    shape : tuple of two ints
        Shape of its weights; filters are rows.
    density : float
        Density of its weights.
    sparse_ms, dense_ms : float
        Milliseconds of forward and backward pass in each form.
    form : {"sparse", "dense"}
        The faster one.
    group : int
        So many rows share their columns.
    """

    name: str
    shape: tuple[int, int]
    density: float
    sparse_ms: float
    dense_ms: float
    form: str
    group: int = 1

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        times = f"sparse {self.sparse_ms:.3f} ms, dense {self.dense_ms:.3f} ms"
        where = f"at density {self.density:.3g}"
        where += f" in groups of {self.group}" if self.group > 1 else ""
        return f"{self.name} {size} {where}: {times}: {self.form}"


def tunable_layers(layer: Any) -> Iterator[tuple[str, Any]]:
    """Yield what has two forms inside a layer: linear layers, and convolutions without groups.

    Parameters
    ----------
    layer : Layer
        A layer, perhaps with others inside.

    Yields
    ------
    tuple
        Name and layer.
    """
    for name, inner in inner_layers(layer):
        if inner.has_two_forms:
            yield name, inner


def set_forms(network: Any, forms: dict[str, str]) -> None:
    """Put layers into forms that were chosen before.

    Parameters
    ----------
    network : Sequential
        The network.
    forms : dict of str to str
        Layer to form; layers that are not named are left alone.

    Raises
    ------
    ParameterError
        If there is no such layer or form.
    """
    layers = dict(tunable_layers(network))
    for name, form in forms.items():
        if name not in layers or form not in FORMS:
            raise ParameterError(
                "forms", {name: form}, "layers that have two forms, and sparse or dense"
            )
        layers[name].form = form


def tune(network: Any, batch: int, lanes: int, threads: int | None) -> list[Choice]:
    """Time every layer that has two forms in both, and leave each in the faster.

    Kernels have so many threads, and BLAS one, as in training.
    """
    from sparsecpu.kernels.machine.threads import use_threads

    choices = []
    with use_threads(threads), one_blas_thread():
        for name, layer in tunable_layers(network):
            runs = {form: (layer, form, lanes) for form in FORMS}
            spent = race(runs, batch, network.dtype, _SECONDS)
            layer.form = min(FORMS, key=lambda form: spent[form])  # sparse where they are equal
            weight = layer.weight
            choice = Choice(name, weight.shape, weight.density, spent["sparse"], spent["dense"],
                            layer.form, weight.pattern.group)  # fmt: skip
            choices.append(choice)
    return choices


def race(
    runs: dict[str, tuple[Any, str, int]], batch: int, dtype: Any, seconds: float,
    precision: str = "fp32",
) -> dict[str, float]:  # fmt: skip
    """Return the least milliseconds of layers, forward and backward, taking turns.

    Parameters
    ----------
    runs : dict of str to tuple
        A layer, the form that it is in, and the width of its tiles. It may be the same layer in
        several forms; all of them take and give the same.
    batch : int
        Samples.
    dtype : dtype
        Type of values.
    seconds : float
        There are fewer turns where they take longer.
    precision : {"fp32", "bf16", "fp16"}
        How wide the layers read.

    Returns
    -------
    dict of str to float
        By the names of ``runs``.
    """
    # Memory of its own for each: what one has prepared is not for another.
    contexts = {
        name: Context(Workspace(), train=True, n_valid=batch, precision=precision) for name in runs
    }
    tiles = {lanes: _tiles(layer, batch, lanes, dtype) for layer, _, lanes in runs.values()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    kept = {p: p.grad.copy() for layer, *_ in runs.values() for p in layer.parameters().values()}
    began = 0.0
    for turn in range(_TURNS + 1):
        if turn > _LEAST and time.perf_counter() - began > seconds:
            break
        for name, (layer, form, lanes) in runs.items():
            layer.form, ctx, (x, dy) = form, contexts[name], tiles[lanes]
            start = time.perf_counter()
            layer.backward(dy, layer.forward(x, ctx)[1], ctx)
            if turn:  # the first one compiles
                times[name].append(time.perf_counter() - start)
        began = began or time.perf_counter()
    for parameter, grad in kept.items():
        parameter.grad[...] = grad
    return {name: 1e3 * min(spent) for name, spent in times.items()}


def _tiles(layer: Any, batch: int, lanes: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs of a layer, and gradients of its outputs."""
    rng, tiles = np.random.default_rng(0), -(-batch // lanes)
    x, dy = (
        rng.standard_normal((tiles, *shape, lanes), dtype=np.float32).astype(dtype, copy=False)
        for shape in layer.tile_shapes
    )
    return x, dy
