"""Dynamic sparse reparameterization: one adaptive threshold, random growth."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.registries.numbers import above_zero
from sparsecpu.step.plain_values import real, table
from sparsecpu.topology.base import Topology
from sparsecpu.topology.change import Growth, keys_of
from sparsecpu.topology.free_positions import grow_random
from sparsecpu.topology.quotas import quotas_in_rounds
from sparsecpu.topology.run import Run
from sparsecpu.topology.selection import smallest
from sparsecpu.topology.weight_counts import places_in_whole_groups, room, unit_of

#: The threshold doubles below, and halves above, these multiples of the wanted number.
_TOO_FEW, _TOO_MANY = 0.9, 1.1


class DSR(Topology):
    r"""Drop every \|w\| below a threshold that follows a wanted number, grow at random.

    At each update all layers drop :math:`|w| < H` (each keeps one weight at least). H doubles where
    fewer than 0.9 of the wanted number were dropped and halves above 1.1 of it. As many positions
    grow at random, shared out by the weights that survived in each layer, never at positions just
    dropped; what a layer cannot take goes to the others in rounds.

    Parameters
    ----------
    prune_rate : float
        Wanted number of dropped weights, as a fraction of all, in (0, 1); it does not fall.
    threshold : float
        H at the start.
    update_every : int, optional
        Steps between updates at first, an epoch by default; twice, four and eight times as many
        after 25, 50 and 75 % of the training.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.
    score : {"l1", "l2"}
        How the weights of a shared column make one number, where rows stand in groups.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Mostafa and Wang, Parameter efficient training of deep convolutional neural networks by dynamic
    sparse reparameterization (2019), algorithm 1. The authors give the wanted number as a count
    (600 by default, of some ten thousand weights). New weights are 0, and so is their momentum; the
    authors' dense optimizer leaves there what it has gathered.
    """

    name = "dsr"

    def __init__(
        self, *, prune_rate: float = 0.05, threshold: float = 1e-3,
        update_every: int | None = None, revive: bool = False, score: str = "l1",
    ) -> None:  # fmt: skip
        super().__init__(
            prune_rate=prune_rate, update_every=update_every, revive=revive,
            regrow_keeps_value=False, score=score,
        )  # fmt: skip
        self.threshold = float(above_zero("threshold", threshold))

    def start(self, run: Run) -> None:
        super().start(run)
        self.height = self.threshold

    def due(self, steps_done: int) -> bool:
        quarter = 4 * steps_done // max(1, self.run.total_steps)
        return super().due(steps_done) and steps_done % (self.interval << quarter) == 0

    def drop(self, name, parameter, rate) -> np.ndarray:
        magnitudes = np.abs(parameter.data)
        below = int((magnitudes < self.height).sum())
        return smallest(magnitudes, min(below, parameter.nnz - 1))

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        parameters = [self.run.parameters[name] for name in dropped]
        units = np.array([unit_of(p) for p in parameters])
        gone = units * [len(places) for places in dropped.values()]
        nnz = units * [places_in_whole_groups(p) for p in parameters]
        wanted = self.prune_rate * nnz.sum()
        if gone.sum() < _TOO_FEW * wanted:
            self.height *= 2
        elif gone.sum() > _TOO_MANY * wanted:
            self.height /= 2
        free = np.array([room(p) for p in parameters])
        counts = quotas_in_rounds(nnz - gone, free, gone, units) // units
        return dict(zip(dropped, counts.tolist(), strict=True))

    def grow(self, name, parameter, dropped, count) -> Growth:
        gone = keys_of(parameter.pattern, dropped)
        keys = grow_random(parameter.pattern, gone, count, self.run.rng)
        return Growth(keys, facts={"threshold": self.height})

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        return {"height": self.height}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        kind = table({"height": real(0.0, finite=False)})
        self.height = float(kind(values, "topology")["height"])
