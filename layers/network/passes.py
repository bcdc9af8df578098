"""Passes of a network by itself, outside of training: predictions, and the gradients of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.layers.network.dot_chain import DotChain
from sparsecpu.layers.network.entry import write
from sparsecpu.losses import Loss, check_loss, checked_targets
from sparsecpu.registries.numbers import whole
from sparsecpu.step.context import Context
from sparsecpu.step.lanes import LANES_ALIKE
from sparsecpu.step.workspace import Workspace

if TYPE_CHECKING:
    from sparsecpu.layers.sequential import Sequential


#: Tokens that pass at once where nothing learns: so few that the widest numbers of a feed-forward
#: part are still in the caches when the next layer reads them, and enough for all cores.
_TOKENS = 512


def sequences_at_once(length: int, most: int) -> int:
    """Return how many sequences, ``most`` at most, are to pass at once where nothing learns."""
    return max(1, min(most, _TOKENS // length))


def predictions(network: Sequential, x: Any, batch_size: int) -> np.ndarray:
    """Return the raw outputs of the last layer; see ``Sequential.predict``."""
    from sparsecpu.kernels.machine.threads import use_threads

    batch_size = whole("batch_size", batch_size, 1)
    x, workspace = network.samples(x), Workspace()
    samples = x.shape[0]
    most = min(samples, batch_size)
    out = np.empty(network.outputs_shape(samples), dtype=network.dtype)
    if network.longest:  # then tokens are counted, and all tiles have one width
        batch_size = sequences_at_once(network.longest, batch_size // network.longest)
    # Narrow tiles, however many samples there are: in these a sample's sums have one order.
    lanes, team = network.lanes(most), _team(network, most)
    lanes = lanes if network.longest else min(lanes, LANES_ALIKE)
    rows = np.arange(samples, dtype=np.int64)
    singly = samples and network.lanes_to_predict(most) == 1
    if singly and DotChain.suits(network, alike=True):
        chain = DotChain(network, alike=True)
        array, here = x.take_samples(rows)
        chain(array, here, np.empty(chain.work_shape, network.dtype), out)
        return out
    with one_blas_thread(), use_threads(team):
        for start in range(0, samples, batch_size):
            part = rows[start : start + batch_size]
            ctx = Context(workspace, predicts=True, n_valid=len(part))
            y, _ = network.forward(network.gather(x, part, lanes, ctx), ctx)
            write(y, ctx, out[start : start + batch_size])
    return out


def loss_and_gradients(
    network: Sequential, x: Any, y: Any, loss: Loss, *, train: bool
) -> tuple[float, dict[str, np.ndarray]]:
    """Return a batch's mean loss and its gradients; see ``Sequential.loss_and_gradients``."""
    from sparsecpu.kernels.machine.threads import use_threads

    check_loss(loss, network)
    samples = network.samples(x)
    targets = checked_targets(loss, y, network.n_outputs, samples.shape[0])
    rows, stream = np.arange(samples.shape[0], dtype=np.int64), np.random.default_rng(0)
    ctx = Context(
        Workspace(), train=train, n_valid=len(rows), dropout=stream, in_parts=loss.takes_parts
    )
    lanes = network.lanes(len(rows))
    with one_blas_thread(), use_threads(_team(network, len(rows))):
        z, saved = network.forward(network.gather(samples, rows, lanes, ctx), ctx)
        value, dz = loss(z, rows, targets, ctx)
        network.backward(dz, saved, ctx)
    return value, {name: p.grad.copy() for name, p in network.parameters().items()}


def _team(network: Sequential, samples: int) -> int | None:
    """Return how many threads are to share a pass; None stands for all."""
    from sparsecpu.kernels.machine.threads import chosen_threads, team

    return team(network.sparse_parameters().values(), samples, chosen_threads())
