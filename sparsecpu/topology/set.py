"""Sparse evolutionary training."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from sparsecpu.topology.base import Topology
from sparsecpu.topology.change import Growth, keys_of
from sparsecpu.topology.free_positions import grow_random
from sparsecpu.topology.options import one_of
from sparsecpu.topology.selection import smallest
from sparsecpu.topology.shared_columns import shape_of_values


class SET(Topology):
    r"""Drop the weights nearest zero and grow as many at random, where nothing was dropped.

    Parameters
    ----------
    prune_rate : float
        ``zeta``, the fraction dropped per update.
    variant : {"magnitude", "paper"}
        ``"magnitude"`` drops the smallest \|w\| and grows zeros, with a prune rate that decays.
        ``"paper"`` drops the fraction among positive and among negative weights apart, at a
        constant rate, and grows values from N(0, 0.1²). Shared columns have no sign: it drops the
        fraction of the smallest among all of them.
    update_every : int, optional
        Steps between updates; an epoch by default.
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
    Mocanu et al., Scalable training of artificial neural networks with adaptive sparse
    connectivity inspired by network science (2018), algorithm 1. Momentum of grown weights is 0.
    """

    name = "set"
    choices: ClassVar = {**Topology.choices, "variant": ("magnitude", "paper")}

    def __init__(
        self, *, prune_rate: float = 0.3, variant: str = "magnitude",
        update_every: int | None = None, revive: bool = False, score: str = "l1",
    ) -> None:  # fmt: skip
        super().__init__(
            prune_rate=prune_rate, update_every=update_every, revive=revive,
            regrow_keeps_value=False, score=score,
        )  # fmt: skip
        self.variant = one_of("variant", variant, self.choices["variant"])

    def drop(self, name, parameter, rate) -> np.ndarray:
        data = parameter.data
        if self.variant == "magnitude":
            return smallest(np.abs(data), min(int(rate * len(data)), len(data) - 1))
        sides = (np.flatnonzero(data > 0), np.flatnonzero(data <= 0))
        zeta = self.prune_rate
        places = [side[smallest(np.abs(data[side]), int(zeta * len(side)))] for side in sides]
        return np.sort(np.concatenate(places))

    def grow(self, name, parameter, dropped, count) -> Growth:
        pattern, rng = parameter.pattern, self.run.rng
        keys = grow_random(pattern, keys_of(pattern, dropped), count, rng)
        if self.variant == "magnitude":
            return Growth(keys)
        return Growth(keys, {"data": rng.normal(0.0, 0.1, shape_of_values(parameter, keys))})
