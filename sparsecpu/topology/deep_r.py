"""Deep rewiring: fixed signs, a random walk, and connections that sleep when they cross zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.registries.numbers import at_least_zero
from sparsecpu.step.plain_values import named, table, whole
from sparsecpu.topology.base import Topology
from sparsecpu.topology.change import Growth, keys_of
from sparsecpu.topology.free_positions import grow_random
from sparsecpu.topology.run import Run
from sparsecpu.topology.shared_columns import SharedColumns, keys_of_weights, weights_of

#: What an awakened connection starts with.
_AWAKE = 1e-12
#: Salts are below it.
_SALTS = 2**62
#: Bytes per weight of a layer that walks, beyond what its update takes; measured: 50 in all.
_WALK = 40


def signs(salt: int, keys: np.ndarray) -> np.ndarray:
    """Return the sign of each position, 1 or -1, by hashing: nothing is stored.

    One bit of SplitMix64 (Steele, Lea and Flood, 2014); ``salt`` tells layers and runs apart.
    """
    with np.errstate(over="ignore"):
        z = keys.astype(np.uint64) + np.uint64(salt)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return 1.0 - 2.0 * (z >> np.uint64(63)).astype(np.float64)


class DeepR(Topology):
    r"""Rewire where a weight crosses zero: a random walk over networks of fixed size.

    Every position has a fixed sign s, and an active weight is :math:`w = s \theta`,
    :math:`\theta \geq 0`. Between updates the optimizer moves w. At an update,
    :math:`\theta \leftarrow \theta - \eta l + \eta \sigma \nu` with :math:`\nu \sim N(0, 1)`; where
    :math:`\theta \leq 0` the connection falls asleep, and as many random sleeping ones awake with
    :math:`\theta = 10^{-12}`.

    Parameters
    ----------
    update_every : int, optional
        Steps between updates; 1 in the paper, an epoch by default. Noise and shrinkage of the steps
        between are applied at once: k steps shrink by k l and shake by the root of k.
    shrinkage : float
        l.
    noise : float
        :math:`\sigma`.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Bellec et al., Deep rewiring: training very sparse deep networks (2018), algorithm 1. The
    authors keep a matrix of signs; here a hash of the position stands for it. A shared column
    falls asleep where the sum of its :math:`\theta` is not above 0.
    """

    name = "deep-r"

    def __init__(
        self, *, update_every: int | None = None, shrinkage: float = 1e-5, noise: float = 1e-5,
        revive: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(update_every=update_every, revive=revive, regrow_keeps_value=False)
        self.shrinkage = float(at_least_zero("shrinkage", shrinkage))
        self.noise = float(at_least_zero("noise", noise))

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        walk = _WALK * max(counts, default=0)
        return super().memory(shapes, counts, batch_size, interval, momentum, groups) + walk

    def start(self, run: Run) -> None:
        super().start(run)
        self.salts = {name: int(run.rng.integers(_SALTS)) for name in run.parameters}

    def initialise(self) -> None:
        """Give every first weight its position's sign."""
        for name, parameter in self.run.parameters.items():
            weights = weights_of(parameter)
            sign = signs(self.salts[name], weights.pattern.keys())
            weights.data[:] = np.abs(weights.data) * sign
            weights.touch()

    def prepare(self, steps_done: int) -> None:
        """Let all weights shrink and walk, with the learning rate of ``steps_done`` steps."""
        rate = self.run.learning_rate(steps_done - 1)
        self._sleeping = {}
        for name, parameter in self.run.parameters.items():
            weights = weights_of(parameter)
            sign = signs(self.salts[name], weights.pattern.keys())
            theta = weights.data * sign - rate * self.shrinkage * self.interval
            walk = self.run.rng.standard_normal(weights.nnz)
            theta += rate * self.noise * np.sqrt(self.interval) * walk
            weights.data[:] = theta * sign
            weights.touch()
            if isinstance(parameter, SharedColumns):
                theta = parameter.sums(theta)
            self._sleeping[name] = np.flatnonzero(theta <= 0)

    def drop(self, name, parameter, rate) -> np.ndarray:
        return self._sleeping[name]

    def grow(self, name, parameter, dropped, count) -> Growth:
        gone = keys_of(parameter.pattern, dropped)
        keys = grow_random(parameter.pattern, gone, count, self.run.rng)
        sign = signs(self.salts[name], keys_of_weights(parameter, keys))
        return Growth(keys, {"data": _AWAKE * sign})

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"salts": self.salts}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        salts = named(whole(0, _SALTS - 1), self.run.parameters)
        self.salts = table({"salts": salts})(values, "topology")["salts"]
