"""Training: the step and the epochs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.callbacks.base import in_order
from sparsecpu.errors import DataError, DivergedError, ParameterError
from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.losses import Loss, readable_targets
from sparsecpu.optimizers import SGD, Optimizer
from sparsecpu.registries import defaults
from sparsecpu.registries.numbers import is_number, whole
from sparsecpu.schedules import Schedule, constant
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step import resuming
from sparsecpu.step.checked_data import CheckedData
from sparsecpu.step.context import Context, StepContexts
from sparsecpu.step.lanes import TileWidth
from sparsecpu.step.lean import check_lean
from sparsecpu.step.network import Network
from sparsecpu.step.outcome import LossWatch, loss_after, refuse_not_finite
from sparsecpu.step.precision import check_precision
from sparsecpu.step.ranks import ALONE, SeveralRanks
from sparsecpu.step.rates import LayerRates
from sparsecpu.step.samples import Samples, checked_rows
from sparsecpu.step.streams import checked_streams
from sparsecpu.topology import Run, Static, Topology


class Trainer:
    """Trains a network by minibatches.

    Parameters
    ----------
    network : Sequential
        What to train.
    loss : Loss
        What to minimise.
    optimizer : Optimizer, optional
        ``SGD()`` by default.
    topology : Topology, optional
        ``Static()`` by default.
    learning_rate : float or callable
        A number, or a function of the step.
    batch_size : int
        Samples per step; the last batch of an epoch may be smaller.
    epochs : int
        Passes over the samples.
    seed : int
        Seed of all randomness in training: order, dropout, topology.
    threads : int, optional
        Threads of the kernels; by default all, or one where a step has too little work to share
        (see ``team``). Results do not depend on it.
    precision : {"fp32", "bf16", "fp16"}
        How sparse layers read their inputs while training; see ``SparseLinear`` and
        ``SparseConv2d``.
    shuffle : bool
        Draw a new order for each epoch.
    layer_rates : mapping of str to float, optional
        Factors of the learning rate by layer, as parameters are named: ``{"0": 0.1}`` for all of
        the first layer; 0 leaves it as it is.
    comm : Communicator, optional
        Ranks that share every batch; see ``training.mpi``. All must be given the same samples.
    lean : bool
        Do without the column-by-column index of linear layers, its values and a gradient
        vector: 12 bytes per weight instead of 28, for a slower step. Sums are in another order.
    callbacks : iterable of Callback
        Objects whose hooks are called in training, in order.

    Attributes
    ----------
    steps_done, epochs_done : int
        Optimizer steps and epochs done so far.
    position : int
        Samples of the current epoch that have been used.
    stop : bool
        A callback sets it to end training after the epoch.
    interrupted : bool
        Setting it ends training after the step.
    learning_rate_factor : float
        Multiplies the schedule.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    """

    def __init__(
        self,
        network: Network,
        *,
        loss: Loss,
        optimizer: Optimizer | None = None,
        topology: Topology | None = None,
        learning_rate: float | Schedule = defaults.TRAINER.learning_rate,
        batch_size: int = defaults.TRAINER.batch_size,
        epochs: int = defaults.TRAINER.epochs,
        seed: int = 0,
        threads: int | None = None,
        precision: str = "fp32",
        shuffle: bool = True,
        layer_rates: Mapping[str, float] | None = None,
        lean: bool = False,
        comm: Any = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        if isinstance(network, type) or not hasattr(network, "sparse_parameters"):
            raise ParameterError("network", network, "a network, such as a Sequential")
        self.schedule = _schedule(learning_rate)
        self.network, self.loss = network, loss
        self.optimizer = SGD() if optimizer is None else optimizer
        self.topology = Static() if topology is None else topology
        for name, kind in (("loss", Loss), ("optimizer", Optimizer), ("topology", Topology)):
            if not isinstance(given := getattr(self, name), kind):
                raise ParameterError(name, given, f"an object of a subclass of {kind.__name__}")
        self.batch_size = whole("batch_size", batch_size, 1)
        self.epochs = whole("epochs", epochs, 0)
        self.threads, self.shuffle = threads, shuffle
        self.layer_rates = LayerRates(layer_rates)
        self.layer_rates.groups(network)  # refuses what is not allowed
        self.callbacks = list(callbacks)
        self.rngs = checked_streams(seed)
        self.precision = check_precision(precision, network.dtype)
        self.ranks = ALONE if comm is None or comm.size == 1 else SeveralRanks(comm)
        self.ranks.own_streams(self.rngs)
        self.lean = bool(lean)
        if lean:
            check_lean(network, self.topology)
        self._data, self._tile_width = CheckedData(readable_targets), TileWidth()
        self._contexts = StepContexts(
            self.ranks, precision=self.precision, dropout=self.rngs["dropout"], lean=self.lean
        )
        self._applied: set[int] = set()  # parameters whose gradients are applied already
        self._started = False  # True once the topology knows about the run
        self.loss_watch = LossWatch()
        self.steps_done = self.epochs_done = 0
        self.position = 0  # samples of the current epoch that have been used
        self.losses = 0.0  # their summed loss
        self.learning_rate_factor = 1.0
        self.stop = self.interrupted = False
        self.order_state: dict[str, Any] | None = None  # of its stream when the epoch began
        self.topology_start: dict[str, Any] | None = None  # its stream when the run began

    @property
    def halted(self) -> bool:
        """True if training ends after this step; once all ranks know, where several share it."""
        return self.ranks.halted(self.interrupted)

    def learning_rate_now(self) -> float:
        """Return the learning rate of the next step."""
        return self.schedule(self.steps_done) * self.learning_rate_factor

    def step(
        self,
        samples: Samples,
        targets: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> float:
        """Do one training step: gather, forward, loss, backward, optimizer, topology.

        Parameters
        ----------
        samples : Samples
            The samples.
        targets : ndarray
            As ``loss.prepare`` returned them.
        rows : ndarray of int64, shape (batch,)
            Which samples.
        weights : ndarray of float64, optional
            A weight per sample of ``samples``.

        Returns
        -------
        float
            The mean loss of the batch, before the step.

        Raises
        ------
        DataError
            If they do not fit together, or a row is out of range.
        DivergedError
            If the loss is not finite.
        """
        data = self._data.of(self, samples, targets, weights)
        rows = checked_rows(rows, data[0].shape[0])
        if not len(rows):
            raise DataError("rows are empty; expected at least one")
        if self._started and len(rows) > self.topology.run.batch_size:
            self.topology.expect(self.network.tokens(len(rows)))
        return self._step(*data, rows)

    def _step(
        self, samples: Samples, targets: np.ndarray, weights: np.ndarray | None, rows: np.ndarray
    ) -> float:
        """Do one step on what was checked."""
        all_rows, rows = rows, self.ranks.part(rows)
        observe = self.topology.observer(self.steps_done) if self._started else None
        if observe is not None:
            observe = self.topology.run.observed(observe)
        apply = self._apply if self.lean and self._learns() else None
        ctx = self._contexts.of_step(rows, all_rows, observe, apply)
        loss = self._pass(samples, targets, rows, weights, ctx)
        self.steps_done += 1
        if self._started and self.topology.due(self.steps_done):
            self._update_topology()
        return loss

    def _pass(
        self, samples: Samples, targets: np.ndarray, rows: np.ndarray, weights: Any, ctx: Context
    ) -> float:
        """Run forward, loss, backward and optimizer; what layers saved is forgotten at the end.

        A topology update needs that memory.
        """
        network, ranks = self.network, self.ranks
        lanes = self._tile_width.of(network, ranks, self.batch_size)
        z, saved = network.forward(network.gather(samples, rows, lanes, ctx), ctx)
        loss, dz = self.loss(z, rows, targets, ctx, weights)
        rate, loss = self.learning_rate_now(), ranks.agree(loss, self.interrupted)
        if not math.isfinite(loss):
            raise DivergedError(self.steps_done, loss, rate)
        learns = self._learns()
        self._applied.clear()
        ranks.begin(learns or not self.lean, self._applied)
        network.backward(dz, saved, ctx)
        ranks.finish()
        if learns:
            self.layer_rates.update(network, self.optimizer, rate, self.steps_done, self._applied)
        return loss

    def _learns(self) -> bool:
        """Return False if the optimizer sits this step out."""
        return not (self._started and self.topology.replaces_step(self.steps_done))

    def _update_topology(self) -> None:
        """Change the pattern, and tell the callbacks."""
        self._contexts.forget_patterns()
        report = self.topology.update(self.steps_done)
        self._tile_width.forget()
        self.ranks.check_network(self.network.parameters().values())
        for callback in self.callbacks:
            callback.on_update(self, report)

    def _apply(self, parameter: SparseParameter, places: slice, grad: np.ndarray) -> None:
        """Use a part of a gradient as soon as it is there; see ``Context.apply``."""
        self.ranks.sum(grad)
        rate = self.learning_rate_now() * self.layer_rates.factor_of(self.network, parameter)
        self.optimizer.apply(parameter, places, grad, rate, self.steps_done)
        self._applied.add(id(parameter))

    def start(self, samples: int) -> None:
        """Tell the topology about the run that is to come; ``fit`` does this by itself.

        Parameters
        ----------
        samples : int
            Samples per epoch.
        """
        samples = whole("samples", samples, 1)
        self.steps_per_epoch = -(-samples // self.batch_size)
        self.topology_start = dict(self.rngs["topology"].bit_generator.state)
        self.topology.start(Run.of(self, samples))
        self._started = True
        self._tile_width.forget()

    def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Trainer:
        """Train for the epochs that are left.

        Parameters
        ----------
        x : array_like, sparse matrix or Samples
            Samples in the users' order.
        y : array_like
            Targets.
        sample_weight : array_like, shape (samples,), optional
            Weights of the samples in the loss.

        Returns
        -------
        Trainer
            Itself.

        Raises
        ------
        DataError
            If numbers of samples differ, or there are none.
        DivergedError
            If the loss of a step is not finite, or the network at the end of an epoch is not.

        Warns
        -----
        DivergenceWarning
            If the loss ends far above where it began; see ``warn_if_worse``.
        """
        samples = self.network.samples(x)
        targets = self.loss.prepare(y, self.network.n_outputs)
        samples, targets, weights = self._data.of(self, samples, targets, sample_weight)
        count = samples.shape[0]
        told = f"{self.epochs} epochs in batches of {self.batch_size} at {self.learning_rate_now()}"
        self.ranks.check_fit(told, samples, targets)
        if not self._started:
            self.start(count)
        if self.steps_done == 0:
            self.topology.initialise()
        with self.machine():
            for callback in in_order(self.callbacks):
                callback.on_fit_start(self)
            while self.epochs_done < self.epochs and not (self.stop or self.halted):
                self.run_epoch(samples, targets, weights)
            for callback in self.callbacks:
                callback.on_fit_end(self)
            if self.epochs_done and self.position == 0 and self.ranks.rank == 0:
                self.warn_if_worse(targets, loss_after(self, samples, targets, weights))
        return self

    def warn_if_worse(self, targets: np.ndarray, after: float = 0.0) -> None:
        """Warn once if the mean loss of the last epoch is far above where training began.

        That is more than twice the loss of the first step, and of outputs that are all 0; of a loss
        after the last step, more than a thousand times that.

        Parameters
        ----------
        targets : ndarray
            As ``loss.prepare`` returned them.
        after : float, optional
            The loss after the last step.
        """
        of_zeros, last = self.loss.of_zeros(targets, self.network.n_outputs), self.losses
        self.loss_watch.warn_if_far_above(last / len(targets), after, of_zeros, stacklevel=3)

    @contextlib.contextmanager
    def machine(self) -> Iterator[None]:
        """Hold Numba to the trainer's ``team``, and BLAS to one, inside the ``with`` block."""
        from sparsecpu.kernels.machine.threads import use_threads

        with use_threads(self.team), one_blas_thread():
            yield

    @property
    def team(self) -> int | None:
        """Threads that steps run on; None stands for all."""
        from sparsecpu.kernels.machine.threads import team

        batch = self.ranks.largest_part(self.batch_size)
        return team(self.network.sparse_parameters().values(), batch, self.threads)

    def run_epoch(
        self, samples: Samples, targets: np.ndarray, weights: np.ndarray | None = None
    ) -> None:
        """Train on every sample once; go on where an interrupted epoch stopped.

        Parameters
        ----------
        samples : Samples
            The samples.
        targets : ndarray
            As ``loss.prepare`` returned them.
        weights : ndarray of float64, optional
            A weight per sample.

        Raises
        ------
        DivergedError
            If the loss of a step is not finite, or the network at the end is not.
        """
        samples, targets, weights = self._data.of(self, samples, targets, weights)
        count = samples.shape[0]
        self.batch_size = whole("batch_size", self.batch_size, 1)
        self.position = whole("position", self.position, 0, count)
        if self._started:
            self.topology.expect(self.network.tokens(min(self.batch_size, count)))
        order = self._order(count)
        while self.position < count:
            rows = order[self.position : self.position + self.batch_size]
            loss = self._step(samples, targets, weights, rows)
            if self.steps_done == 1:
                self.loss_watch.first = loss
            self.position += len(rows)
            self.losses += loss * len(rows)
            for callback in self.callbacks:
                callback.on_step(self, loss)
            if self.halted and self.position < count:
                break
        refuse_not_finite(self)  # before anyone keeps it
        if self.position >= count:
            self._end_epoch(count)
        self._data.forget()

    def _order(self, count: int) -> np.ndarray:
        """Return the epoch's order; of one that was broken off, the same again."""
        rng = self.rngs["order"]
        if self.position == 0:
            self.order_state, self.losses = dict(rng.bit_generator.state), 0.0
        elif self.order_state is not None:
            rng.bit_generator.state = self.order_state
        return rng.permutation(count) if self.shuffle else np.arange(count)

    def _end_epoch(self, count: int) -> None:
        """Tell the callbacks about an epoch of so many samples."""
        self.position = 0
        self.epochs_done += 1
        record = {
            "epoch": self.epochs_done,
            "step": self.steps_done,
            "loss": self.losses / count,
            "learning_rate": self.schedule(self.steps_done - 1) * self.learning_rate_factor,
        }
        for callback in in_order(self.callbacks):
            callback.on_epoch_end(self, record)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return all that a resumed run needs beside the model: plain values, and arrays."""
        return resuming.state_of(self)

    def load_state(
        self, values: dict[str, Any], arrays: dict[str, np.ndarray], samples: int
    ) -> None:
        """Take up what ``state`` returned, in a trainer made with the same arguments.

        Parameters
        ----------
        values : dict
            Plain values.
        arrays : dict of str to ndarray
            Arrays by name.
        samples : int
            Samples per epoch.

        Raises
        ------
        FileFormatError
            If anything is missing, unknown, out of range or of another size. The trainer is as it
            was before, then.
        ResumeError
            If the run was begun with other choices or other callbacks.
        """
        resuming.load_state(self, values, arrays, samples)


def _schedule(learning_rate: float | Schedule) -> Schedule:
    """Return a learning rate as a function of the step; refuse numbers that are not above 0."""
    if callable(learning_rate):
        return learning_rate
    if not (is_number(learning_rate) and learning_rate > 0.0):
        raise ParameterError("learning_rate", learning_rate, "a number above 0")
    return constant(float(learning_rate))
