"""A network ready to predict, for services that do so often."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.errors import DataError
from sparsecpu.layers.network.dot_chain import DotChain
from sparsecpu.layers.network.entry import write
from sparsecpu.registries.numbers import whole
from sparsecpu.step.context import Context
from sparsecpu.step.precision import check_precision
from sparsecpu.step.samples import Samples
from sparsecpu.step.workspace import Workspace

if TYPE_CHECKING:
    from sparsecpu.layers.sequential import Sequential

#: Multiplications below which predictions have one thread: half of what training wants for a second
#: one, on no measurement of its own.
_WORTH_SHARING = 4_000_000


class Predictor:
    """Predicts batches of up to one size, again and again, and allocates no arrays for it.

    Every thread that calls it has memory of its own, so any number may. Weights are read from the
    network as they are; its patterns must not change while it predicts.

    It takes the fastest way for its ``batch_size``, through a kernel of its own for one or two
    samples. Sums may have another order there: outputs may differ in the last bits from those of
    ``Sequential.predict``, and of predictors for other batches.

    Parameters
    ----------
    network : Sequential
        The network.
    batch_size : int
        Samples in the largest batch.
    threads : int, optional
        Threads of the kernels; by default all, or one where there is too little work to share.
    precision : {"fp32", "bf16", "fp16"}
        How wide linear layers read their inputs; see ``SparseLinear``.

    Raises
    ------
    ParameterError
        If ``batch_size`` is below 1, or this machine or network cannot have the precision.

    Examples
    --------
    >>> predict = network.compile(batch_size=1)
    >>> out = np.empty((1, network.n_outputs), np.float32)
    >>> predict(sample[None], out=out)
    """

    def __init__(
        self,
        network: Sequential,
        batch_size: int = 1,
        threads: int | None = None,
        precision: str = "fp32",
    ) -> None:
        self.network, self.batch_size = network, whole("batch_size", batch_size, 1, 2**31 - 1)
        self.precision = check_precision(precision, network.dtype)
        parameters = network.sparse_parameters().values()
        work = self.batch_size * sum(p.nnz * p.uses for p in parameters)
        self.threads = 1 if threads is None and work < _WORTH_SHARING else threads
        self.lanes = network.lanes_to_predict(self.batch_size)
        self._dots = self._dot_chain()
        self._rows = np.arange(self.batch_size, dtype=np.int64)
        self._held = threading.local()
        from sparsecpu.kernels.machine.threads import use_threads

        with use_threads(self.threads):  # refuses a number that cannot be
            self(_blank(network, self.batch_size))  # compiles

    def __repr__(self) -> str:
        words = f"batches of up to {self.batch_size}, {self.precision}"
        return f"Predictor({self.network!r}, {words})"

    def _repr_html_(self) -> str:
        from sparsecpu.layers.network.page import page_of

        return page_of(self.network.layers, repr(self))

    def __call__(self, x: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Return the raw outputs of the last layer.

        Parameters
        ----------
        x : array_like, sparse matrix or Samples
            Up to ``batch_size`` samples in the users' order. Arrays of the network's type or uint8
            are read where they are.
        out : ndarray, shape (samples, n_outputs), optional
            Where to write; made anew by default.

        Returns
        -------
        ndarray, shape (samples, n_outputs)
            ``out``.

        Raises
        ------
        DataError
            If there are too many samples, features do not fit, or ``out`` does not.
        """
        network, x = self.network, self.network.samples(x)
        samples = x.shape[0]
        if samples > self.batch_size:
            raise DataError(f"x has {samples} samples; expected at most {self.batch_size}")
        if out is None:
            out = np.empty(network.outputs_shape(samples), dtype=network.dtype)
        elif (
            not isinstance(out, np.ndarray) or not out.flags.behaved
            or out.shape != network.outputs_shape(samples) or out.dtype != network.dtype
        ):  # fmt: skip
            given = getattr(out, "shape", None), getattr(out, "dtype", type(out).__name__)
            expected = f"shape {network.outputs_shape(samples)} and {network.dtype}, writeable"
            raise DataError(f"out has shape {given[0]} and {given[1]}; expected {expected}")
        if not samples:
            return out
        dots, workspace = self._dots, self._workspace()
        if dots is not None and not dots.is_current():
            dots = self._dots = self._dot_chain()
        if dots is not None and out.flags.c_contiguous:
            array, rows = x.take_samples(self._rows[:samples])
            work = workspace.array("dots", "work", dots.work_shape, network.dtype)
            dots(array, rows, work, out)
        else:
            self._pass(x, samples, workspace, out)
        return out

    def _pass(self, x: Samples, samples: int, workspace: Workspace, out: np.ndarray) -> None:
        """Write what the layers, one after the other, make of the samples."""
        from sparsecpu.kernels.machine.threads import use_threads

        network = self.network
        ctx = Context(workspace, predicts=True, n_valid=samples, precision=self.precision)
        with use_threads(self.threads):
            tiles = network.gather(x, self._rows[:samples], self.lanes, ctx)
            write(network.forward(tiles, ctx)[0], ctx, out)

    def _dot_chain(self) -> DotChain | None:
        """Return the network as one call of a kernel, where it can be that."""
        suits = self.lanes == 1 and DotChain.suits(self.network)
        return DotChain(self.network) if suits else None

    def _workspace(self) -> Workspace:
        """Return the memory of the Python thread that calls."""
        held = self._held
        try:
            return held.workspace
        except AttributeError:
            held.workspace = Workspace()
            return held.workspace


def _blank(network: Sequential, samples: int) -> np.ndarray:
    """Return samples of nothing but 0."""
    if network.reads_sequences:
        return np.zeros((samples, *network.input_shape), np.int64 if network.reads_tokens else None)
    return np.zeros((samples, network.widths[0]), dtype=network.dtype)
