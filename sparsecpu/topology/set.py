"""Sparse evolutionary training."""

from __future__ import annotations

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.base import Growth, Topology, keys_of
from sparsecpu.topology.free_positions import grow_random
from sparsecpu.topology.selection import smallest


class SET(Topology):
    r"""Drop the weights nearest zero and grow as many at random.

    Parameters
    ----------
    prune_rate : float
        ``zeta``, the fraction dropped per update.
    variant : {"magnitude", "paper"}
        ``"magnitude"`` drops the smallest \|w\| and grows zeros, with a prune rate that decays.
        ``"paper"`` drops the fraction among positive and among negative weights apart, at a
        constant rate, and grows values from N(0, 0.1²).
    update_every : int, optional
        Steps between updates; an epoch by default.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.

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

    def __init__(
        self,
        *,
        prune_rate: float = 0.3,
        variant: str = "magnitude",
        update_every: int | None = None,
        revive: bool = False,
    ) -> None:
        super().__init__(
            revive=revive,
            prune_rate=prune_rate,
            update_every=update_every,
            regrow_keeps_value=False,
        )
        if variant not in ("magnitude", "paper"):
            raise ParameterError("variant", variant, "'magnitude' or 'paper'")
        self.variant = variant

    def drop(self, name: str, parameter: SparseParameter, rate: float) -> np.ndarray:
        """Return the places of the weights nearest zero.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights.
        rate : float
            Fraction to drop, in the magnitude variant.

        Returns
        -------
        ndarray of int
            Places.
        """
        data = parameter.data
        rate = rate if self.variant == "magnitude" else self.prune_rate
        if self.variant == "magnitude":
            return smallest(np.abs(data), min(int(rate * len(data)), len(data) - 1))
        sides = (np.flatnonzero(data > 0), np.flatnonzero(data <= 0))
        places = [side[smallest(np.abs(data[side]), int(rate * len(side)))] for side in sides]
        return np.sort(np.concatenate(places))

    def grow(
        self, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> Growth:
        """Return random free positions; those just dropped are not free yet.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights.
        dropped : ndarray of int
            Places that are dropped.
        count : int
            How many.

        Returns
        -------
        Growth
            The positions.
        """
        pattern, rng = parameter.pattern, self.run.rng
        keys = grow_random(pattern, keys_of(pattern, dropped), count, rng)
        if self.variant == "paper":
            return Growth(keys, {"data": rng.normal(0.0, 0.1, len(keys))})
        return Growth(keys)
