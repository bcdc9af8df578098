"""Sparse momentum: drop by magnitude, share out by mean momentum, grow by momentum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.topology.base import Growth, Observer, Run, Topology, keys_of
from sparsecpu.topology.free_positions import grow_largest, grow_random
from sparsecpu.topology.quotas import growth_quotas
from sparsecpu.topology.selection import largest_of_rows, smallest, smallest_of_all
from sparsecpu.topology.sources import Source, choose_sources

#: A layer below this sparsity that still asks for more weights is pruned at most to its sparsity.
_NEARLY_DENSE = 0.2


class SparseMomentum(Topology):
    r"""Sparse momentum, without a dense weight, gradient or momentum.

    At each update, layer l drops the :math:`\lceil p\,\text{nnz}_l \rceil` weights of smallest
    \|w\|; the total is shared out in proportion to the mean \|momentum\| of each layer's active
    weights (at most 99 % of a layer's free positions; what a layer cannot take is spread evenly);
    each layer grows its inactive positions of largest \|momentum\|, those just dropped included.

    Parameters
    ----------
    prune_rate : float
        p at the start, in (0, 1).
    decay : {"cosine", "linear"}
        How p falls during training.
    update_every : int, optional
        Steps between updates; an epoch by default.
    redistribution : {"momentum", "magnitude", "nonzero", "none"}
        What a layer's share is proportional to: mean \|momentum\|, mean \|w\|, nnz, or what the
        layer itself dropped.
    growth : {"momentum", "momentum-neuron", "random"}
        What a layer grows by: \|momentum\|; the same, with a quota for each output in proportion
        to its mean \|momentum\|; or chance.
    pruning : {"layer", "global"}
        Whether each layer drops a fraction of its weights, or all layers the smallest of all.
    source : {"auto", "window", "tiles", "lowrank", "candidates"}
        Where the momentum of inactive weights comes from; see ``topology.sources``.
    proposal : {"norms", "uniform", "lowrank"}
        How candidates are chosen.
    rank : int
        Of ``lowrank``.
    window : int, optional
        K, steps that count; by default as many as leave a relative error of 10 %.
    growth_memory : float
        Bytes that the windows and tiles of all layers may take together.
    candidate_factor : float
        Candidates per active weight.
    grown_momentum : {"carry", "zero"}
        Whether a grown weight starts with the momentum that it was chosen by.
    regrow_keeps_value : bool
        Whether a weight that is dropped and grown in the same update keeps its value.
    revive : bool
        Whether outputs without a weight get one back; see ``Topology``.

    Raises
    ------
    ParameterError
        If an argument is out of range, or the optimizer has no momentum.

    Notes
    -----
    Dettmers and Zettlemoyer, Sparse networks from scratch: faster training without losing
    performance (2019), section 3 and algorithm 1. The authors' code works on masks over dense
    tensors; there nnz drifts and a feedback term corrects it, here nnz is exact. Where fewer
    inactive positions have any momentum than a layer is to grow, the rest is drawn at random
    (``shortfall`` in the report).
    """

    name = "sparse-momentum"

    def __init__(
        self,
        *,
        prune_rate: float = 0.5,
        decay: str = "cosine",
        update_every: int | None = None,
        redistribution: str = "momentum",
        growth: str = "momentum",
        pruning: str = "layer",
        source: str = "auto",
        proposal: str = "norms",
        rank: int = 16,
        window: int | None = None,
        growth_memory: float = 64e6,
        candidate_factor: float = 4.0,
        grown_momentum: str = "carry",
        regrow_keeps_value: bool = True,
        revive: bool = False,
    ) -> None:
        super().__init__(
            revive=revive,
            prune_rate=prune_rate,
            decay=decay,
            update_every=update_every,
            regrow_keeps_value=regrow_keeps_value,
        )
        for option, value, allowed in (
            ("redistribution", redistribution, ("momentum", "magnitude", "nonzero", "none")),
            ("growth", growth, ("momentum", "momentum-neuron", "random")),
            ("pruning", pruning, ("layer", "global")),
            ("source", source, ("auto", "window", "tiles", "lowrank", "candidates")),
            ("proposal", proposal, ("norms", "uniform", "lowrank")),
            ("grown_momentum", grown_momentum, ("carry", "zero")),
        ):
            if value not in allowed:
                raise ParameterError(option, value, f"one of {', '.join(allowed)}")
        for option, number in (
            ("window", 1 if window is None else window),
            ("growth_memory", growth_memory),
            ("candidate_factor", candidate_factor),
            ("rank", rank),
        ):
            if not number > 0:
                raise ParameterError(option, number, "a number above 0")
        self.redistribution, self.growth, self.pruning = redistribution, growth, pruning
        self.source, self.proposal, self.rank, self.window = source, proposal, int(rank), window
        self.growth_memory, self.candidate_factor = growth_memory, candidate_factor
        self.grown_momentum = grown_momentum

    def start(self, run: Run) -> None:
        """Choose a source per layer; see ``Topology.start``.

        Parameters
        ----------
        run : Run
            The run.

        Raises
        ------
        ParameterError
            If the optimizer has no momentum.
        """
        super().start(run)
        if run.momentum_slot is None or not 0 < run.momentum < 1:
            raise ParameterError("momentum", run.momentum, "above 0, for sparse momentum")
        steps = self.window or max(1, math.ceil(math.log(0.1) / math.log(run.momentum)))
        self.sources: dict[str, Source] = choose_sources(
            run.parameters,
            kind=self.source,
            memory=self.growth_memory,
            interval=self.interval,
            factor=self.candidate_factor,
            proposal=self.proposal,
            rank=self.rank,
            rng=run.rng,
            steps=steps,
            batch_size=run.batch_size,
            momentum=run.momentum,
            gradient_weight=run.gradient_weight,
        )
        self._name_of = {id(parameter): name for name, parameter in run.parameters.items()}

    def observer(self, step: int) -> Observer | None:
        """Return the tap that feeds the sources; see ``Topology.observer``.

        Parameters
        ----------
        step : int
            Number of the step that is about to run.

        Returns
        -------
        callable or None
            The tap.
        """
        left = self.steps_to_update(step)
        if left is None or self.growth == "random":
            return None

        def observe(parameter: SparseParameter, view: GradientView) -> None:
            self.sources[self._name_of[id(parameter)]].observe(step, left, view)

        return observe

    def prepare(self, steps_done: int) -> None:
        """Compute each layer's share; see ``Topology.prepare``.

        Parameters
        ----------
        steps_done : int
            Optimizer steps done so far.
        """
        self._steps_done = steps_done
        raw = np.array([self._importance(p) for p in self.run.parameters.values()], np.float64)
        raw[~np.isfinite(raw)] = 0.0
        total = raw.sum()
        shares = raw / total if total > 0 else np.full(len(raw), 1.0 / len(raw))
        self.shares = dict(zip(self.run.parameters, shares, strict=True))
        if self.pruning == "global":
            weights = [p.data for p in self.run.parameters.values()]
            places = smallest_of_all(
                weights, math.ceil(self.rate(steps_done) * sum(map(len, weights)))
            )
            self._smallest_of_all = dict(zip(self.run.parameters, places, strict=True))

    def _importance(self, parameter: SparseParameter) -> float:
        slot = self.run.momentum_slot
        assert slot is not None
        if self.redistribution == "magnitude":
            return float(np.abs(parameter.data).mean())
        if self.redistribution != "momentum":
            return float(parameter.nnz)
        momentum = np.abs(parameter.slot(slot))
        if "second_moment" in parameter.slots:  # Adam
            momentum /= np.sqrt(parameter.slots["second_moment"]) + 1e-8
        return float(momentum.mean(dtype=np.float64))

    def drop(self, name: str, parameter: SparseParameter, rate: float) -> np.ndarray:
        r"""Return the places of the smallest \|w\|; see ``Topology.drop``.

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
            Places; never all of them.
        """
        if self.pruning == "global":
            return self._smallest_of_all[name]
        sparsity = parameter.sparsity
        if sparsity < _NEARLY_DENSE and self.shares[name] > 1.0 / len(self.shares):
            rate = min(sparsity, rate)
        count = min(math.ceil(rate * parameter.nnz), parameter.nnz - 1)
        return smallest(np.abs(parameter.data), count)

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        """Share out what was dropped; see ``Topology.quotas``.

        Parameters
        ----------
        dropped : dict of str to ndarray
            Places dropped per layer.

        Returns
        -------
        dict of str to int
            Counts with the same sum.
        """
        if self.redistribution == "none":
            return super().quotas(dropped)
        names, parameters = list(dropped), self.run.parameters
        gone = np.array([len(dropped[name]) for name in names])
        free = gone + [parameters[n].pattern.size - parameters[n].nnz for n in names]
        shares = np.array([self.shares[name] for name in names])
        counts = growth_quotas(shares, free, int(gone.sum()))
        return dict(zip(names, counts.tolist(), strict=True))

    def grow(
        self, name: str, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> Growth:
        r"""Return the inactive positions of largest \|momentum\|; see ``Topology.grow``.

        Parameters
        ----------
        name : str
            The layer.
        parameter : SparseParameter
            Its weights, before anything is dropped.
        dropped : ndarray of int
            Places that are dropped.
        count : int
            How many.

        Returns
        -------
        Growth
            The positions, and their momentum.
        """
        slot, source, rng = self.run.momentum_slot, self.sources[name], self.run.rng
        assert slot is not None
        gone = keys_of(parameter.pattern, dropped)
        if self.growth == "random":
            return Growth(grow_random(parameter.pattern, gone, count, rng), facts={"shortfall": 0})
        # The momentum of what was just dropped is known exactly.
        known = gone, parameter.slot(slot)[dropped]
        if self.growth == "momentum":
            best = source.top(count, self._steps_done)
        else:
            counts = self._counts_of_rows(parameter, dropped, count)
            best = source.top_of_rows(counts, self._steps_done)
            both = [np.concatenate(pair) for pair in zip(best, known, strict=True)]
            places = largest_of_rows(both[0] // parameter.shape[1], both[1], counts)
            best = both[0][places], both[1][places]
            known = gone, np.zeros(len(gone), best[1].dtype)  # only where too few have any
        keys, values, shortfall = grow_largest(best, known, parameter.pattern, count, rng)
        start = {slot: values} if self.grown_momentum == "carry" else {}
        if start and "second_moment" in parameter.slots:
            # Adam divides by the root of this; a 0 would make the first steps of a weight huge.
            start["second_moment"] = values * values
        return Growth(keys, start, {"source": source.name, "shortfall": shortfall})

    def _counts_of_rows(
        self, parameter: SparseParameter, dropped: np.ndarray, count: int
    ) -> np.ndarray:
        """Share a layer's quota out among its outputs."""
        pattern, n_out = parameter.pattern, parameter.shape[0]
        rows = pattern.rows()
        momentum = np.abs(parameter.slot(str(self.run.momentum_slot)))
        total = np.bincount(rows, momentum, minlength=n_out)
        free = parameter.shape[1] - pattern.fan_in + np.bincount(rows[dropped], minlength=n_out)
        return growth_quotas(total / np.maximum(pattern.fan_in, 1), free, count)

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Return what the sources hold; see ``Topology.state``."""
        arrays = {
            f"{name}/{key}": array
            for name, source in self.sources.items()
            for key, array in source.state().items()
        }
        return {"sources": {name: source.name for name, source in self.sources.items()}}, arrays

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Take up what ``state`` returned; see ``Topology.load_state``.

        Parameters
        ----------
        values : dict
            Plain values.
        arrays : dict of str to ndarray
            Arrays by name.
        """
        for name, source in self.sources.items():
            start = f"{name}/"
            held = {key[len(start) :]: a for key, a in arrays.items() if key.startswith(start)}
            source.load_state(held)
