"""What every topology algorithm is: how many, drop, grow; ``timing`` says when."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError, PatternError
from sparsecpu.registries import Registry
from sparsecpu.registries.numbers import is_number, whole
from sparsecpu.registries.words import spelled
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.change import (
    Change,
    Growth,
    apply_change,
    checked_growth,
    fill_up,
    sorted_places,
)
from sparsecpu.topology.exchange import counts_to_grow
from sparsecpu.topology.options import one_of
from sparsecpu.topology.revival import revive_outputs
from sparsecpu.topology.run import Report
from sparsecpu.topology.shared_columns import SCORES, weights_of
from sparsecpu.topology.timing import Timing
from sparsecpu.topology.weight_counts import positions_of

#: Bytes of a place that is dropped; and of what a layer is rewired with, for each position that is
#: dropped beyond the usual fraction.
_PLACE, _REWIRING, _USUAL_RATE = 4, 40, 0.3

#: Algorithms by the name that users give; one enters it by being imported.
TOPOLOGIES: Registry[type[Topology]] = Registry(
    "topology",
    (),
    "topologies",
    {"sparse-momentum": "Drop the smallest |w|, grow where momentum is largest."},
)


class Topology(Timing):
    """Base of the algorithms; by itself it never changes a pattern.

    A subclass writes ``drop`` and ``grow`` (and ``quotas``, where layers exchange weights); or
    ``decide``, where both are decided at once. ``update`` keeps the number of weights exactly.

    Where the rows of a layer stand in groups, positions are shared columns, and ``parameter`` is
    what ``topology.shared_columns`` makes of it: a rule need not know.

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
    score : {"l1", "l2"}
        How the weights of a shared column make one number, where rows stand in groups: the mean of
        their magnitudes, or the root of their mean square. So it is with gradients and momenta.

    Raises
    ------
    ParameterError
        If an argument is out of range.
    """

    #: Name on the command line and in files.
    name: ClassVar[str] = "static"
    #: True if updates read ``parameter.grad``, which lean training does not have.
    needs_gradients: ClassVar[bool] = False
    #: False if updates change the number of weights.
    keeps_nnz: ClassVar[bool] = True
    #: Options whose values are names, with all of these.
    choices: ClassVar[Mapping[str, Collection[str]]] = {
        "decay": ("cosine", "linear"), "score": SCORES,
    }  # fmt: skip

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in vars(cls):
            TOPOLOGIES[cls.name] = cls

    def __init__(
        self,
        *,
        prune_rate: float = 0.5,
        decay: str = "cosine",
        update_every: int | None = None,
        stop_after: float = 1.0,
        regrow_keeps_value: bool = True,
        revive: bool = False,
        score: str = "l1",
    ) -> None:
        if not (is_number(prune_rate) and 0.0 < prune_rate < 1.0):
            raise ParameterError("prune_rate", prune_rate, "a number in (0, 1)")
        if not (is_number(stop_after) and 0.0 < stop_after <= 1.0):
            raise ParameterError("stop_after", stop_after, "a number in (0, 1]")
        if update_every is not None:
            update_every = whole("update_every", update_every, 1)
        self.prune_rate = float(prune_rate)
        self.decay = one_of("decay", decay, self.choices["decay"])
        self.update_every, self.stop_after = update_every, float(stop_after)
        self.regrow_keeps_value, self.revive = regrow_keeps_value, revive
        self.score = one_of("score", score, SCORES)

    def __repr__(self) -> str:
        return spelled(self)

    def memory(
        self, shapes: Sequence[tuple[int, ...]], counts: Sequence[int], batch_size: int,
        interval: int, momentum: float, groups: Sequence[int] = (),
    ) -> float:  # fmt: skip
        """Estimate the bytes that choosing positions takes, beside the network.

        By default that is a place for each position that an update drops, and keys of the largest
        layer beyond those of the usual update (``networks.memory_estimate``).

        Parameters
        ----------
        shapes : sequence of tuple of int
            Shapes of the layers' weights, as filters have them.
        counts : sequence of int
            How many weights each layer keeps.
        batch_size : int
            Samples per step.
        interval : int
            Steps between updates.
        momentum : float
            Factor by which a step of the optimizer fades older gradients.
        groups : sequence of int
            How many rows of each layer share their columns; 1 where nothing is said.
        """
        positions = positions_of(counts, groups)
        more = max(0.0, self.prune_rate - _USUAL_RATE) * max(positions, default=0)
        return _PLACE * self.prune_rate * sum(positions) + _REWIRING * more

    def initialise(self) -> None:
        """Change what a fresh network starts with; not called where a run is resumed."""

    def update(self, steps_done: int) -> Report:
        """Drop and grow, and see to it that the number of weights stays exactly what it was.

        Where a layer is to grow more positions than ``grow`` finds, say because it is full, as many
        of its dropped weights stay, those of largest magnitude.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        Report
            What happened.

        Raises
        ------
        PatternError
            If places or positions are out of range or repeated, if a position is in use, or if the
            number of weights would change.
        """
        report, parameters = Report(steps_done, self.rate(steps_done)), self.run.parameters
        expected = sum(weights_of(p).nnz for p in parameters.values())
        self.prepare(steps_done)
        for name, change in self.decide(steps_done, report.prune_rate):
            if name not in parameters:
                raise PatternError(f"{self.name}: there is no layer {name!r}")
            with self._named(name):
                facts = apply_change(
                    parameters[name], change, self.run.rng,
                    regrow_keeps_value=self.regrow_keeps_value, keeps_nnz=self.keeps_nnz,
                )  # fmt: skip
            del change  # what a layer needed is free for the next one
            if self.revive:
                facts["revived"] = revive_outputs(parameters[name], self.run.rng)
                now = weights_of(parameters[name]).nnz  # a last group may have come back to life
                expected, facts["nnz"] = expected + now - facts["nnz"], now
            report.layers[name] = facts
        after = sum(weights_of(p).nnz for p in parameters.values())
        if self.keeps_nnz and after != expected:
            raise PatternError(f"{self.name}: there were {expected} weights, now there are {after}")
        return report

    def prepare(self, steps_done: int) -> None:
        """Gather statistics over all layers after ``steps_done`` steps, before anything changes."""

    def decide(self, steps_done: int, rate: float) -> Iterable[tuple[str, Change]]:
        """Yield the change of one layer after the other; each is made before the next is decided.

        By itself, ask ``drop`` for all layers, then ``quotas``, then ``grow`` for each.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.
        rate : float
            Fraction of the weights to drop.

        Yields
        ------
        tuple of str and Change
            A layer's name, and what happens to it.
        """
        parameters, dropped = self.run.parameters, {}
        for name, parameter in parameters.items():
            with self._named(name):
                dropped[name] = sorted_places(parameter, self.drop(name, parameter, rate))
        counts = counts_to_grow(self.name, self.quotas, parameters, dropped)
        for name, parameter in parameters.items():
            with self._named(name):
                yield name, self._change(name, parameter, dropped.pop(name), counts[name])

    def _change(
        self, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> Change:
        growth = checked_growth(parameter, self.grow(name, parameter, dropped, count))
        return fill_up(parameter, Change(dropped, growth), count)

    @contextmanager
    def _named(self, layer: str) -> Iterator[None]:
        """Say in errors whose change was refused."""
        try:
            yield
        except PatternError as error:
            raise PatternError(f"{self.name}, layer {layer}: {error}") from None

    def drop(self, name: str, parameter: SparseParameter, rate: float) -> np.ndarray:
        """Return the weights to drop.

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
            Places in ``parameter.data``, distinct.
        """
        raise NotImplementedError

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        """Return how many positions each layer grows; by itself, as many as it ``dropped``.

        Their sum is the number of all that were dropped; of weights, where positions of different
        layers stand for more than one (``shared_columns.unit_of``).
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
            ``count`` of them; for each that is missing, a dropped weight stays.
        """
        raise NotImplementedError

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what a resumed run needs: plain values, and arrays by name."""
        return {}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take up the ``values`` and ``arrays`` that ``state`` returned; called after ``start``.

        The layers and the length of the ``run`` are known then. Raises ``FileFormatError`` if they
        are not as ``state`` returns them.
        """
