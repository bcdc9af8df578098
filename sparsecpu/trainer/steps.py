"""What a training step is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecpu.errors import DataError, DivergedError
from sparsecpu.kernels.machine.blas import one_blas_thread
from sparsecpu.losses import Loss
from sparsecpu.optimizers import Optimizer
from sparsecpu.registries.numbers import whole
from sparsecpu.schedules import Schedule
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.checked_data import CheckedData, Data
from sparsecpu.step.context import StepContexts
from sparsecpu.step.course import Course, Origin
from sparsecpu.step.gradient_view import standing_for
from sparsecpu.step.gradients import GlobalNorm, add_up
from sparsecpu.step.lanes import TileWidth
from sparsecpu.step.network import Network
from sparsecpu.step.ranks import OneRank
from sparsecpu.step.rates import LayerRates
from sparsecpu.step.samples import checked_rows
from sparsecpu.step.sequences import BatchSource
from sparsecpu.topology import Run, Topology


class Steps:
    """The steps of a run: gather, forward, loss, backward, optimizer, topology."""

    network: Network
    loss: Loss
    optimizer: Optimizer
    topology: Topology
    schedule: Schedule
    callbacks: list[Any]
    batch_size: int
    epochs: int
    steps: int | None
    course: Course
    accumulate: int
    clip: float
    lean: bool
    threads: int | None
    rngs: dict[str, np.random.Generator]
    ranks: OneRank
    layer_rates: LayerRates
    learning_rate_factor: float
    interrupted: bool
    steps_done: int
    _data: CheckedData
    contexts: StepContexts

    def __init__(self) -> None:
        self._tile_width, self._norm = TileWidth(), GlobalNorm()
        self._applied: set[int] = set()  # parameters whose gradients are applied already
        self._started = False  # True once the topology knows about the run
        self._widest = 0  # samples of the largest batch that it knows of
        self.topology_start: dict[str, Any] | None = None  # its stream when the run began
        self.gradient_norm: float | None = None
        self.origin: Origin | None = None  # where a resumed run got another number of steps
        self.steps_done = 0

    @property
    def halted(self) -> bool:
        """True if training ends after this step; once all ranks know, where several share it."""
        return self.ranks.halted(self.interrupted)

    def learning_rate_now(self) -> float:
        """Return the learning rate of the next step."""
        return self.schedule(self.steps_done) * self.learning_rate_factor

    def step(
        self,
        samples: BatchSource,
        targets: np.ndarray,
        rows: np.ndarray,
        weights: np.ndarray | None = None,
    ) -> float:
        """Do one training step: gather, forward, loss, backward, optimizer, topology.

        With ``accumulate`` above 1, the rows pass in batches of ``batch_size``.

        Parameters
        ----------
        samples : Samples or SequenceSamples
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
            The mean loss of the rows, before the step.

        Raises
        ------
        DataError
            If they do not fit together, or a row is out of range.
        DivergedError
            If the loss is not finite, or the gradient that is to be clipped.
        """
        data = self._data.of(self, samples, targets, weights)
        rows = checked_rows(rows, data[0].shape[0])
        if not len(rows):
            raise DataError("rows are empty; expected at least one")
        largest = len(rows) if self.accumulate == 1 else min(self.batch_size, len(rows))
        if self._started and largest > self._widest:
            self._widest = largest
            self.topology.expect(self.network.tokens(largest))
        return self._step(data, rows)

    def _step(self, data: Data, rows: np.ndarray) -> float:
        """Do one step on what was checked."""
        learns, observe = True, None
        if self._started:
            learns = not self.topology.replaces_step(self.steps_done)
            observe = self.topology.observer(self.steps_done)
            if observe is not None:
                observe = self.topology.run.observed(observe)
        if self.accumulate == 1:
            loss = self._pass(data, rows, rows, observe, learns, alone=True)
        else:
            loss = self._passes(data, rows, observe, learns)
        if learns:
            rate, scale = self.learning_rate_now(), 1.0
            if self.clip:
                scale = self._scale(loss, rate)
            self.layer_rates.update(
                self.network, self.optimizer, rate, self.steps_done, self._applied, scale
            )
        self.steps_done += 1
        if self._started and self.topology.due(self.steps_done):
            self._update_topology()
        return loss

    def _passes(self, data: Data, rows: np.ndarray, observe: Any, learns: bool) -> float:
        """Let rows pass in batches, whose losses and gradients are added up.

        Topology sees the last batch, as if all of the step were like it.
        """
        loss, size = 0.0, self.batch_size
        last = (len(rows) - 1) // size * size
        parameters = self.network.parameters()
        for first in range(0, len(rows), size):
            part = rows[first : first + size] if len(rows) > size else rows
            seen = standing_for(observe, len(rows) / len(part)) if first == last else None
            loss += self._pass(data, part, rows, seen, learns, alone=False)
            add_up(parameters, self.contexts.workspace, "steps", first == 0, first == last)
        self.ranks.sum_all([parameter.grad for parameter in parameters.values()])
        return loss

    def _pass(
        self, data: Data, rows: np.ndarray, whole: np.ndarray, observe: Any, learns: bool, *,
        alone: bool,
    ) -> float:  # fmt: skip
        """Run forward, loss and backward; what layers saved is forgotten at the end.

        A topology update needs that memory. ``rows`` are the samples that pass, of the ``whole``
        step's, and ``alone`` all of them.
        """
        (samples, targets, weights), network, ranks = data, self.network, self.ranks
        own = ranks.part(rows)
        apply = self._apply if self.lean and learns else None
        full, parts = ranks.largest_part(self.batch_size), self.loss.takes_parts
        ctx = self.contexts.of_step(own, whole, observe, apply, parts, full)
        lanes = self._tile_width.of(network, ranks, self.batch_size)
        z, saved = network.forward(network.gather(samples, own, lanes, ctx), ctx)
        loss, dz = self.loss(z, own, targets, ctx, weights)
        loss = ranks.agree(loss, self.interrupted)
        if not math.isfinite(loss):
            raise DivergedError(self.steps_done, loss, self.learning_rate_now())
        self._applied.clear()
        ranks.begin(alone and (learns or not self.lean), self._applied)
        network.backward(dz, saved, ctx)
        ranks.finish()
        return loss

    def _scale(self, loss: float, rate: float) -> float:
        """Return what makes the gradient no longer than ``clip``."""
        found = self.gradient_norm = self._norm.of(self.network.parameters().values())
        if not math.isfinite(found):
            raise DivergedError(self.steps_done, loss, rate, "the gradient")
        return min(1.0, self.clip / found) if found else 1.0

    def _update_topology(self) -> None:
        """Change the pattern, and tell the callbacks."""
        self.contexts.forget_patterns()
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
            Samples of a pass over all.
        """
        samples, per_step = whole("samples", samples, 1), self.batch_size * self.accumulate
        self.course = Course(samples, per_step, self.epochs, self.steps, self.origin)
        if self.steps is not None:
            self.epochs = self.course.total_epochs
        self.steps_per_epoch = self.course.epoch_steps
        self.topology_start = dict(self.rngs["topology"].bit_generator.state)
        self.topology.start(Run.of(self, samples))
        self._started, self._widest = True, min(self.batch_size, samples)
        self._tile_width.forget()

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
