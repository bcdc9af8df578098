"""A whole training run: what it is made of, and what is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.callbacks.base import in_order, telling_failure
from sparsecpu.errors import ParameterError
from sparsecpu.losses import LOSSES, Loss, check_loss, readable_targets
from sparsecpu.optimizers import OPTIMIZERS, SGD, Optimizer
from sparsecpu.registries import defaults
from sparsecpu.registries.numbers import at_least_zero, is_number, whole
from sparsecpu.schedules import Schedule, constant
from sparsecpu.step import resuming
from sparsecpu.step.checked_data import CheckedData
from sparsecpu.step.context import StepContexts
from sparsecpu.step.lean import check_lean
from sparsecpu.step.network import Network
from sparsecpu.step.outcome import loss_after
from sparsecpu.step.precision import check_precision
from sparsecpu.step.ranks import ALONE, SeveralRanks
from sparsecpu.step.rates import LayerRates
from sparsecpu.step.streams import checked_streams
from sparsecpu.topology import TOPOLOGIES, Static, Topology
from sparsecpu.trainer.epochs import Epochs


class Trainer(Epochs):
    """Trains a network by minibatches.

    Parameters
    ----------
    network : Sequential
        What to train.
    loss : Loss or str
        What to minimise, or its name in ``losses.LOSSES``.
    optimizer : Optimizer or str, optional
        ``SGD()`` by default; or a name with options, such as ``"adam:beta2=0.99"``.
    topology : Topology or str, optional
        ``Static()`` by default; or a name with options, such as ``"rigl:prune_rate=0.3"``.
    learning_rate : float or callable
        A number, or a function of the step.
    batch_size : int
        Samples that pass at once; the last batch of an epoch may be smaller.
    epochs : int
        Passes over the samples.
    steps : int, optional
        Steps of the optimizer, in place of ``epochs``: training ends after these, wherever in a
        pass that is. What counts as an epoch is a pass then, or a tenth of all steps where that is
        less; ``epochs`` says how many there are once training has begun.
    seed : int
        Seed of all randomness in training: order, dropout, topology.
    threads : int, optional
        Threads of the kernels; by default all, or one where a step has too little work to share
        (see ``team``). Results do not depend on it.
    precision : {"fp32", "bf16", "fp16"}
        How sparse layers read their inputs while training; see ``SparseLinear`` and
        ``SparseConv2d``.
    clip : float, optional
        How long the gradient of all parameters together may be, by its norm; a longer one is
        shortened to it before the optimizer uses it. 0 or None leave gradients as they are, and so
        do topologies: they see them unclipped.
    accumulate : int
        So many batches make a step: the optimizer gets their mean gradient, weighted by their
        samples, in the memory of one batch and one more vector per parameter. At the end of an
        epoch a step has what there is. Topology sees the last of the batches, as if all were like
        it; where a rule reads ``parameter.grad``, that is the mean of all.
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
    gradient_norm : float or None
        Norm of the last step's gradient before it was clipped, where ``clip`` is set.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    """

    def __init__(
        self,
        network: Network,
        *,
        loss: Loss | str,
        optimizer: Optimizer | str | None = None,
        topology: Topology | str | None = None,
        learning_rate: float | Schedule = defaults.TRAINER.learning_rate,
        batch_size: int = defaults.TRAINER.batch_size,
        epochs: int = defaults.TRAINER.epochs,
        steps: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        precision: str = "fp32",
        clip: float | None = None,
        accumulate: int = 1,
        shuffle: bool = True,
        layer_rates: Mapping[str, float] | None = None,
        lean: bool = False,
        comm: Any = None,
        callbacks: Iterable[Callback] = (),
    ) -> None:
        if isinstance(network, type) or not hasattr(network, "sparse_parameters"):
            raise ParameterError("network", network, "a network, such as a Sequential")
        super().__init__()
        self.schedule = _schedule(learning_rate)
        self.network, self.loss = network, LOSSES.made(loss)
        self.optimizer = SGD() if optimizer is None else OPTIMIZERS.made(optimizer)
        self.topology = Static() if topology is None else TOPOLOGIES.made(topology)
        check_loss(self.loss, network)
        for name, kind in (("optimizer", Optimizer), ("topology", Topology)):
            if not isinstance(given := getattr(self, name), kind):
                raise ParameterError(name, given, f"an object of a subclass of {kind.__name__}")
        self.batch_size = whole("batch_size", batch_size, 1)
        self.epochs = whole("epochs", epochs, 0)
        self.steps = None if steps is None else whole("steps", steps, 1)
        self.threads, self.shuffle = threads, shuffle
        self.layer_rates = LayerRates(layer_rates)
        self.layer_rates.groups(network)  # refuses what is not allowed
        self.callbacks = list(callbacks)
        self.rngs = checked_streams(seed)
        self.precision = check_precision(precision, network.dtype)
        self.ranks = ALONE if comm is None or comm.size == 1 else SeveralRanks(comm)
        self.ranks.own_streams(self.rngs)
        self.clip = float(at_least_zero("clip", 0.0 if clip is None else clip))
        self.accumulate = whole("accumulate", accumulate, 1)
        self.lean = bool(lean)
        if lean:
            check_lean(network, self.topology, self.clip, self.accumulate)
        self._data = CheckedData(readable_targets)
        self.contexts = StepContexts(
            self.ranks, precision=self.precision, dropout=self.rngs["dropout"], lean=self.lean
        )
        self.learning_rate_factor = 1.0
        self.stop = self.interrupted = False

    def __repr__(self) -> str:
        length = f"{self.epochs} epochs" if self.steps is None else f"{self.steps} steps"
        parts = (self.network, self.loss, self.optimizer, self.topology)
        words = ", ".join(repr(part) for part in parts)
        return f"Trainer({words}; {length}, {self.steps_done} steps done)"

    def _repr_html_(self) -> str:
        from sparsecpu.layers.network.page import page_of

        return page_of(getattr(self.network, "layers", ()), repr(self))

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
        told = f"{self.epochs} epochs" if self.steps is None else f"{self.steps} steps"
        told += f" in batches of {self.batch_size} at {self.learning_rate_now()}"
        self.ranks.check_fit(told, samples, targets)
        if not self._started:
            self.start(count)
        if self.steps_done == 0:
            self.topology.initialise()
        with self.machine(), telling_failure(self):
            for callback in in_order(self.callbacks):
                callback.on_fit_start(self)
            while self.epochs_done < self.epochs and not (self.stop or self.halted):
                self.run_epoch(samples, targets, weights)
            for callback in self.callbacks:
                callback.on_fit_end(self)
            if self.epochs_done and self._begins_epoch() and self.ranks.rank == 0:
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
        mean = last / len(targets) if self.steps is None else self.epoch_loss
        self.loss_watch.warn_if_far_above(mean, after, of_zeros, stacklevel=3)

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
