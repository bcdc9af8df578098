"""Guided stochastic exploration: grow by the gradient among drawn positions."""

from __future__ import annotations

import math

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.base import Growth
from sparsecpu.topology.batch import BatchTopology
from sparsecpu.topology.sampling import draw_pairs, inactive
from sparsecpu.topology.selection import choose_together, largest, smallest_of_all

#: Names of the distributions, and what stands for activity in each.
DISTRIBUTIONS = {"uniform": None, "grabo": "bound", "graest": "estimate"}


class GuidedStochasticExploration(BatchTopology):
    r"""Drop the smallest \|w\|, grow the best of a drawn subset, in time linear in the nonzeros.

    At each update a subset S of :math:`\lceil \gamma\,\text{nnz} \rceil` positions is drawn, inputs
    and outputs independently; active and repeated ones leave it. The exact gradient of one batch is
    computed on S alone, its :math:`k = \min(\lceil \alpha_t \text{nnz} \rceil, |S|)` positions of
    largest \|dW\| are grown and the k smallest \|w\| dropped. Time O(n + nnz batch), memory O(nnz).

    Parameters
    ----------
    prune_rate : float
        :math:`\alpha` at the start, in (0, 1); it falls along a cosine to 0.
    distribution : {"uniform", "grabo", "graest"}
        How positions are drawn: all alike; by :math:`\|h\|_1 \|\delta\|_1`, which bounds the
        gradient; by an unbiased estimate of it. See ``sampling.activity``.
    subset : float
        :math:`\gamma`, drawn positions per active weight.
    scope : {"layer", "global"}
        Whether each layer keeps its number of weights, or all of them compete.
    update_every : int, optional
        Steps between updates; an epoch by default, 1000 in the paper.
    stop_after : float
        Fraction of the training after which the pattern stays as it is.
    skip_step : bool
        Whether the batch whose gradient decides serves that alone, as in the paper's algorithm.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Heddes et al., Always-sparse training by growing connections with guided stochastic exploration
    (2024), algorithm 2. The authors' code is global and grows before it prunes; since positions
    that grow are never pruned in the same update, the result is that of ``scope="global"``. In a
    layer of density 0.5 or more S is a random part of all inactive positions. New weights and their
    momentum are 0. Set difference is by sorted keys rather than by hashing.
    """

    name = "gse"
    least_rate = 0.0

    def __init__(
        self,
        *,
        prune_rate: float = 0.2,
        distribution: str = "uniform",
        subset: float = 1.0,
        scope: str = "layer",
        update_every: int | None = None,
        stop_after: float = 0.6,
        skip_step: bool = True,
        revive: bool = False,
    ) -> None:
        super().__init__(
            revive=revive,
            prune_rate=prune_rate,
            update_every=update_every,
            stop_after=stop_after,
            skip_step=skip_step,
            regrow_keeps_value=False,
        )
        if distribution not in DISTRIBUTIONS:
            expected = f"one of {', '.join(DISTRIBUTIONS)}"
            raise ParameterError("distribution", distribution, expected)
        if not 0.0 < subset < math.inf:
            raise ParameterError("subset", subset, "a number above 0")
        if scope not in ("layer", "global"):
            raise ParameterError("scope", scope, "'layer' or 'global'")
        self.distribution, self.subset, self.scope = distribution, float(subset), scope

    def draw(self, parameter: SparseParameter, view: GradientView) -> np.ndarray:
        """Draw S.

        Parameters
        ----------
        parameter : SparseParameter
            A layer's weights.
        view : GradientView
            Its gradient.

        Returns
        -------
        ndarray of int64
            Sorted keys, distinct and inactive.
        """
        pattern, rng = parameter.pattern, self.run.rng
        count = math.ceil(self.subset * pattern.nnz)
        if 2 * pattern.nnz >= pattern.size:
            free = np.delete(np.arange(pattern.size, dtype=np.int64), pattern.keys())
            return free if count >= len(free) else np.sort(rng.choice(free, count, replace=False))
        kind = DISTRIBUTIONS[self.distribution]
        if kind is None:
            return inactive(rng.integers(pattern.size, size=count), pattern)
        return inactive(draw_pairs(*view.activity(kind, rng), count, rng), pattern)

    def see(
        self, parameter: SparseParameter, view: GradientView, rate: float
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Draw S and compute the gradient there; where layers do not compete, keep what will grow.

        Parameters
        ----------
        parameter : SparseParameter
            A layer's weights.
        view : GradientView
            Its gradient.
        rate : float
            Fraction of the weights that the update drops.

        Returns
        -------
        tuple
            Keys, the gradients' magnitudes, and the size of S.
        """
        keys = self.draw(parameter, view)
        found = view.at(Pattern.from_keys(parameter.shape, keys))
        drawn, scores = len(keys), np.abs(found)
        if self.scope == "layer":
            best = largest(scores, min(math.ceil(rate * parameter.nnz), drawn))
            keys, scores = keys[best], scores[best]
        return keys, scores, drawn

    def prepare(self, steps_done: int) -> None:
        """Decide what every layer drops and grows; see ``Topology.prepare``.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.
        """
        rate, parameters = self.rate(steps_done), self.run.parameters
        self._drops: dict[str, np.ndarray] = {}
        self._grows: dict[str, np.ndarray] = {}
        groups = [[name] for name in parameters] if self.scope == "layer" else [list(parameters)]
        for names in groups:
            weights = [parameters[n].data for n in names]
            scores = [self.seen[n][1] for n in names]
            count = min(math.ceil(rate * sum(map(len, weights))), sum(map(len, scores)))
            drops = smallest_of_all(weights, count)
            grows = choose_together(largest, scores, sum(map(len, drops)))
            for name, lost, gained in zip(names, drops, grows, strict=True):
                self._drops[name], self._grows[name] = lost, self.seen[name][0][gained]

    def drop(self, name: str, parameter: SparseParameter, rate: float) -> np.ndarray:
        r"""Return the places of the smallest \|w\|.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights.
        rate : float
            Looked at in ``prepare``.

        Returns
        -------
        ndarray of int
            Places.
        """
        return self._drops[name]

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        """Return how many weights each layer grows; see ``Topology.quotas``.

        Parameters
        ----------
        dropped : dict of str to ndarray
            Places dropped per layer.

        Returns
        -------
        dict of str to int
            Counts with the same sum.
        """
        return {name: len(keys) for name, keys in self._grows.items()}

    def grow(
        self, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> Growth:
        r"""Return the positions of S with the largest \|dW\|.

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
        return Growth(self._grows.pop(name), facts={"drawn": self.seen.pop(name)[2]})
