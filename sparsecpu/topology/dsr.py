"""Dynamic sparse reparameterization: one adaptive threshold, random growth."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.apportioning import round_to_total
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.topology.base import Growth, Run, Topology, keys_of
from sparsecpu.topology.free_positions import grow_random
from sparsecpu.topology.selection import smallest

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
        self,
        *,
        prune_rate: float = 0.05,
        threshold: float = 1e-3,
        update_every: int | None = None,
        revive: bool = False,
    ) -> None:
        super().__init__(
            revive=revive,
            prune_rate=prune_rate,
            update_every=update_every,
            regrow_keeps_value=False,
        )
        if not threshold > 0:
            raise ParameterError("threshold", threshold, "a number above 0")
        self.threshold = float(threshold)

    def start(self, run: Run) -> None:
        """Take the threshold of the start; see ``Topology.start``.

        Parameters
        ----------
        run : Run
            The run.
        """
        super().start(run)
        self.height = self.threshold

    def due(self, steps_done: int) -> bool:
        """Return whether an update comes now; see ``Topology.due``.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.

        Returns
        -------
        bool
            Whether it does.
        """
        quarter = 4 * steps_done // max(1, self.run.total_steps)
        return super().due(steps_done) and steps_done % (self.interval << quarter) == 0

    def drop(self, name: str, parameter: SparseParameter, rate: float) -> np.ndarray:
        """Return the places of the weights below the threshold.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights.
        rate : float
            Not looked at.

        Returns
        -------
        ndarray of int
            Places; never all of them.
        """
        magnitudes = np.abs(parameter.data)
        below = int((magnitudes < self.height).sum())
        return smallest(magnitudes, min(below, parameter.nnz - 1))

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        """Share out by the weights that survive, and set the next threshold.

        Parameters
        ----------
        dropped : dict of str to ndarray
            Places dropped per layer.

        Returns
        -------
        dict of str to int
            Counts with the same sum.
        """
        parameters = [self.run.parameters[name] for name in dropped]
        gone = np.array([len(places) for places in dropped.values()])
        wanted = self.prune_rate * sum(p.nnz for p in parameters)
        if gone.sum() < _TOO_FEW * wanted:
            self.height *= 2
        elif gone.sum() > _TOO_MANY * wanted:
            self.height /= 2
        stay = np.array([p.nnz for p in parameters]) - gone
        free = np.array([p.pattern.size - p.nnz for p in parameters])
        counts = share_in_rounds(stay, free, int(gone.sum()))
        missing = int(gone.sum()) - int(counts.sum())  # all is full: some of the dropped come back
        counts += round_to_total(
            gone * (missing / max(1, gone.sum())), missing, np.zeros_like(gone), gone
        )
        return dict(zip(dropped, counts.tolist(), strict=True))

    def grow(
        self, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> Growth:
        """Return random free positions.

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
        gone = keys_of(parameter.pattern, dropped)
        keys = grow_random(parameter.pattern, gone, count, self.run.rng)
        return Growth(keys, facts={"threshold": self.height})

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return the threshold; see ``Topology.state``."""
        return {"height": self.height}, {}

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take up the threshold; see ``Topology.load_state``.

        Parameters
        ----------
        values : dict
            What ``state`` returned.
        arrays : dict of str to ndarray
            None.
        """
        self.height = float(values["height"])


def share_in_rounds(weights: np.ndarray, caps: np.ndarray, total: int) -> np.ndarray:
    """Share out a number in proportion to weights; what exceeds a cap goes round again.

    Parameters
    ----------
    weights : ndarray
        At least 0.
    caps : ndarray of int
        Most that each can take.
    total : int
        What to share out.

    Returns
    -------
    ndarray of int64
        The parts; their sum is ``total``, or that of the caps where it is smaller.
    """
    total = min(total, int(caps.sum()))
    shares, open_, left = np.zeros(len(caps)), caps > 0, float(total)
    while left > 1e-9 and open_.any():
        weight = np.where(open_, np.maximum(weights, 1e-12), 0.0)
        shares = np.minimum(shares + left * weight / weight.sum(), caps)
        left, open_ = total - shares.sum(), shares < caps
    return round_to_total(shares, total, np.zeros_like(caps), caps)
