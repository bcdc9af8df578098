"""What every topology algorithm is: when, how many, drop, grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.schedules import Schedule, cosine, linear
from sparsecpu.sparse.keys import among
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.selection import smallest

Observer = Callable[[SparseParameter, GradientView], None]


@dataclass(frozen=True)
class Run:
    """What a topology algorithm is told before training starts.

    Parameters
    ----------
    parameters : dict of str to SparseParameter
        The layers it works on.
    steps_per_epoch, total_steps : int
        Length of the run.
    batch_size : int
        Samples per step.
    momentum_slot : str or None
        Slot in which the optimizer keeps its momentum.
    momentum : float
        Factor by which a step fades older gradients in that slot.
    gradient_weight : float
        Factor with which a gradient enters it.
    rng : numpy.random.Generator
        Stream for topology.
    learning_rate : callable
        The schedule: a function of the step.
    """

    parameters: dict[str, SparseParameter]
    steps_per_epoch: int
    total_steps: int
    batch_size: int
    momentum_slot: str | None
    momentum: float
    gradient_weight: float
    rng: np.random.Generator
    learning_rate: Schedule


@dataclass
class Report:
    """What one update did.

    Parameters
    ----------
    step : int
        Optimizer steps done before it.
    prune_rate : float
        Fraction of a layer's weights that it dropped (before special cases).
    layers : dict of str to dict
        Per layer: ``dropped, grown, regrown, nnz``, and what the algorithm adds.
    """

    step: int
    prune_rate: float
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Growth:
    """Positions to activate in one layer.

    Parameters
    ----------
    keys : ndarray of int64
        ``i * n_in + j``, distinct; positions that were dropped in the same update are allowed.
    values : dict of str to ndarray
        What they start with, by name; 0 where not named.
    facts : dict
        For the report.
    """

    keys: np.ndarray
    values: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


class Topology:
    """Base of the algorithms; by itself it never changes a pattern.

    A subclass gives ``drop`` and ``grow`` (and ``quotas``, where layers exchange weights).

    Parameters
    ----------
    prune_rate : float
        Fraction of a layer's weights that the first update drops, in (0, 1).
    decay : {"cosine", "linear"}
        How that fraction falls during training: to 0.005 along a cosine, or to 0 linearly.
    update_every : int, optional
        Steps between updates; an epoch by default. The last step of a run never updates.
    stop_after : float
        Fraction of the training, in (0, 1], after which the pattern stays as it is; the prune rate
        has fallen by then.
    regrow_keeps_value : bool
        Whether a weight that is dropped and grown in the same update keeps its value and slots.
    revive : bool
        Whether every update gives outputs that have no weight left one at random, taken from the
        smallest of those that are not their output's last.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    """

    #: Name on the command line and in files.
    name: ClassVar[str] = "static"
    #: Whether updates look at ``parameter.grad``, which lean training does not have.
    needs_gradients: ClassVar[bool] = False
    #: Where the cosine ends.
    least_rate: ClassVar[float] = 0.005

    def __init__(
        self,
        *,
        prune_rate: float = 0.5,
        decay: str = "cosine",
        update_every: int | None = None,
        stop_after: float = 1.0,
        regrow_keeps_value: bool = True,
        revive: bool = False,
    ) -> None:
        if not 0.0 < prune_rate < 1.0:
            raise ParameterError("prune_rate", prune_rate, "a number in (0, 1)")
        if not 0.0 < stop_after <= 1.0:
            raise ParameterError("stop_after", stop_after, "a number in (0, 1]")
        if decay not in ("cosine", "linear"):
            raise ParameterError("decay", decay, "'cosine' or 'linear'")
        if update_every is not None and (int(update_every) != update_every or update_every < 1):
            raise ParameterError("update_every", update_every, "an integer of at least 1")
        self.prune_rate, self.decay = float(prune_rate), decay
        self.update_every, self.stop_after = update_every, float(stop_after)
        self.regrow_keeps_value, self.revive = regrow_keeps_value, revive

    def start(self, run: Run) -> None:
        """Learn about the run that is to come.

        Parameters
        ----------
        run : Run
            The run.
        """
        self.run = run
        self.interval = self.update_every or run.steps_per_epoch
        self.last_step = int(self.stop_after * run.total_steps)
        if self.decay == "cosine":
            self.rate: Schedule = cosine(self.prune_rate, self.last_step, self.least_rate)
        else:
            self.rate = linear(self.prune_rate, self.last_step)

    def initialise(self) -> None:
        """Change what a fresh network starts with; not called where a run is resumed."""

    def steps_to_update(self, step: int) -> int | None:
        """Return how many steps, this one included, lie before the next update.

        Parameters
        ----------
        step : int
            Number of the step that is about to run, counted from 0.

        Returns
        -------
        int or None
            None where no update comes any more.
        """
        upcoming = (step // self.interval + 1) * self.interval
        return upcoming - step if upcoming < self.last_step else None

    def observer(self, step: int) -> Observer | None:
        """Return what wants to see this step's inputs and output gradients.

        Parameters
        ----------
        step : int
            Number of the step that is about to run.

        Returns
        -------
        callable or None
            ``observe(parameter, view)``; see ``GradientView``.
        """
        return None

    def due(self, steps_done: int) -> bool:
        """Return whether an update comes now.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        bool
            Whether ``update`` is to be called.
        """
        comes = steps_done % self.interval == 0 and 0 < steps_done < self.last_step
        return comes and bool(self.run.parameters)

    def replaces_step(self, step: int) -> bool:
        """Return whether the optimizer sits this step out, for its gradients serve an update.

        Parameters
        ----------
        step : int
            Number of the step that is running.

        Returns
        -------
        bool
            False, unless an algorithm says otherwise.
        """
        return False

    def update(self, steps_done: int) -> Report:
        """Drop and grow; every layer's nnz, or their sum, stays exactly what it was.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        Report
            What happened.
        """
        report = Report(steps_done, self.rate(steps_done))
        self.prepare(steps_done)
        dropped = {
            name: self.drop(name, parameter, report.prune_rate).astype(np.int32)
            for name, parameter in self.run.parameters.items()
        }
        quotas = self.quotas(dropped)
        for name, parameter in self.run.parameters.items():
            places = dropped.pop(name)  # what a layer needed is free for the next one
            growth = self.grow(name, parameter, places, quotas[name])
            report.layers[name] = self._rewire(parameter, places, growth)
            del growth
            if self.revive:
                report.layers[name]["revived"] = revive_outputs(parameter, self.run.rng)
        return report

    def prepare(self, steps_done: int) -> None:
        """Gather statistics over all layers, before anything is dropped.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.
        """

    def drop(self, name: str, parameter: SparseParameter, rate: float) -> np.ndarray:
        """Return the places of the weights to drop.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights.
        rate : float
            Fraction to drop.

        Returns
        -------
        ndarray of int
            Places in ``parameter.data``, sorted.
        """
        raise NotImplementedError

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        """Return how many weights each layer grows; here, as many as it dropped.

        Parameters
        ----------
        dropped : dict of str to ndarray
            Places dropped per layer.

        Returns
        -------
        dict of str to int
            Counts with the same sum.
        """
        return {name: len(places) for name, places in dropped.items()}

    def grow(
        self, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> Growth:
        """Return the positions to activate.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights, before anything is dropped.
        dropped : ndarray of int
            Places that are dropped.
        count : int
            How many positions to return.

        Returns
        -------
        Growth
            Exactly ``count`` of them.
        """
        raise NotImplementedError

    def _rewire(
        self, parameter: SparseParameter, dropped: np.ndarray, growth: Growth
    ) -> dict[str, Any]:
        """Apply a drop and a growth; a weight in both stays, if it keeps its value."""
        keys, values = growth.keys, growth.values
        facts = {"dropped": len(dropped), "grown": len(keys)}
        dropped_keys = keys_of(parameter.pattern, dropped)
        returning = among(dropped_keys, np.sort(keys))[1]
        facts["regrown"] = int(returning.sum())
        if self.regrow_keeps_value:
            back = among(keys, dropped_keys[returning])[1]
            dropped, keys = dropped[~returning], keys[~back]
            values = {name: value[~back] for name, value in values.items()}
        del dropped_keys, returning  # in large layers every array counts
        parameter.rewire_keys(dropped, keys, values)
        return {**facts, **growth.facts, "nnz": parameter.nnz}

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what a resumed run needs: plain values, and arrays by name."""
        return {}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned; called after ``start``.

        Parameters
        ----------
        values : dict
            Plain values.
        arrays : dict of str to ndarray
            Arrays by name.
        """


def keys_of(pattern: Pattern, places: np.ndarray) -> np.ndarray:
    """Return the keys ``i * n_in + j`` of some nonzeros.

    Parameters
    ----------
    pattern : Pattern
        The pattern.
    places : ndarray of int
        Which nonzeros.

    Returns
    -------
    ndarray of int64
        Their keys.
    """
    rows = np.searchsorted(pattern.indptr, places, side="right") - 1
    return rows * pattern.shape[1] + pattern.indices[places]


def revive_outputs(parameter: SparseParameter, rng: np.random.Generator) -> int:
    r"""Give every output without a weight one at a random input; nnz stays what it was.

    As many of the smallest \|w\| go, never an output's last. A new weight is drawn from a normal
    distribution of the deviation that the layer's weights have.

    Parameters
    ----------
    parameter : SparseParameter
        A layer's weights.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    int
        Outputs that came back; fewer than were dead where there are too few weights.
    """
    pattern, n_in = parameter.pattern, parameter.shape[1]
    dead, rows = np.flatnonzero(pattern.fan_in == 0), pattern.rows()
    if not len(dead):
        return 0
    order = np.lexsort((-np.abs(parameter.data), rows))
    last = np.searchsorted(rows[order], np.flatnonzero(pattern.fan_in))  # the largest of each row
    spare = np.setdiff1d(np.arange(parameter.nnz), order[last], assume_unique=True)
    count = min(len(dead), len(spare))
    lost = spare[smallest(np.abs(parameter.data[spare]), count)]
    values = rng.normal(0.0, float(parameter.data.std()) or 1.0, count)
    parameter.rewire(lost, dead[:count], rng.integers(n_in, size=count), {"data": values})
    return count


class Static(Topology):
    """The pattern never changes."""

    name = "static"

    def __init__(self) -> None:
        super().__init__()

    def due(self, steps_done: int) -> bool:
        """Return False.

        Parameters
        ----------
        steps_done : int
            Not looked at.

        Returns
        -------
        bool
            False.
        """
        return False
