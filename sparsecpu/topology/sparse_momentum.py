"""Sparse momentum: drop by magnitude, share out by mean momentum, grow by momentum."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries.numbers import above_zero
from sparsecpu.sparse.keys import among
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.checked_arrays import behind
from sparsecpu.step.gradient_view import GradientView
from sparsecpu.step.plain_values import one_of as one_of_kind
from sparsecpu.step.plain_values import table
from sparsecpu.topology.base import Topology
from sparsecpu.topology.change import Growth, keys_of
from sparsecpu.topology.free_positions import grow_largest
from sparsecpu.topology.momentum_ablations import GROWTHS, REDISTRIBUTIONS, drop_together
from sparsecpu.topology.options import one_of
from sparsecpu.topology.quotas import growth_quotas
from sparsecpu.topology.run import Run
from sparsecpu.topology.selection import smallest
from sparsecpu.topology.shared_columns import SharedColumns, weights_of
from sparsecpu.topology.sources import PROPOSALS, SOURCES, Source, choose_sources
from sparsecpu.topology.sources.needs import sources_memory
from sparsecpu.topology.timing import Observer
from sparsecpu.topology.weight_counts import positions_of, room, unit_of

#: A layer below this sparsity that still is to get more weights is pruned at most to its sparsity.
_NEARLY_DENSE = 0.2
#: Bytes per position where the smallest of all layers are dropped.
_COMPETING = 20


def mean_momentum(parameter: SparseParameter, slot: str) -> float:
    r"""Return a layer's mean \|m\|; with Adam, that of :math:`|m / (\sqrt v + 10^{-8})|`."""
    weights = weights_of(parameter)
    momentum = np.abs(weights.slot(slot))
    if "second_moment" in weights.slots:  # Adam
        momentum /= np.sqrt(weights.slots["second_moment"]) + 1e-8
    return float(momentum.mean(dtype=np.float64))


class SparseMomentum(Topology):
    r"""Sparse momentum, without a dense weight, gradient or momentum.

    At each update, layer l drops the :math:`\lceil p\,\text{nnz}_l \rceil` weights of smallest
    \|w\|; the total is shared out in proportion to the mean \|m\| of each layer's active weights,
    m their momentum (at most 99 % of a layer's free positions; what a layer cannot take is spread
    evenly); each layer grows its inactive positions of largest \|m\|, those just dropped included.

    Parameters
    ----------
    prune_rate : float
        p at the start, in (0, 1).
    decay : {"cosine", "linear"}
        How p falls during training.
    update_every : int, optional
        Steps between updates; an epoch by default.
    redistribution : {"momentum", "magnitude", "nonzero", "none"}
        What a layer's share is proportional to: mean \|m\|, mean \|w\|, nnz, or what the layer
        itself dropped.
    growth : {"momentum", "momentum-neuron", "random"}
        What a layer grows by: \|m\|; the same, with a quota for each output in proportion to its
        mean \|m\|; or chance.
    pruning : {"layer", "global"}
        Whether each layer drops a fraction of its weights, or all layers the smallest of all.
    source : {"auto", "window", "tiles", "lowrank", "candidates"}
        Where the momentum of inactive weights comes from; see ``topology.sources``.
    proposal : {"norms", "uniform", "lowrank"}
        How candidates are chosen.
    rank : int
        Rank of the ``lowrank`` source and proposal.
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
    score : {"l1", "l2"}
        How the weights of a shared column make one number, where rows stand in groups.

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

    With Adam, the authors' code puts :math:`|m / (\sqrt v + 10^{-8})|` for \|m\| both in the shares
    and in growth. The shares do so here too; growth goes by \|m\|, for v of inactive weights, a sum
    of squared gradients, is not to be had from factors or sketches. A grown weight starts with
    :math:`v = m^2`: a 0 would make its first steps huge.
    """

    name = "sparse-momentum"
    choices: ClassVar = {
        **Topology.choices,
        "redistribution": ("momentum", *REDISTRIBUTIONS),
        "growth": ("momentum", *GROWTHS),
        "pruning": ("layer", "global"),
        "source": ("auto", *SOURCES),
        "proposal": PROPOSALS,
        "grown_momentum": ("carry", "zero"),
    }

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
        score: str = "l1",
    ) -> None:
        super().__init__(
            prune_rate=prune_rate, decay=decay, update_every=update_every,
            regrow_keeps_value=regrow_keeps_value, revive=revive, score=score,
        )  # fmt: skip
        allowed = self.choices
        self.redistribution = one_of("redistribution", redistribution, allowed["redistribution"])
        self.growth = one_of("growth", growth, allowed["growth"])
        self.pruning = one_of("pruning", pruning, allowed["pruning"])
        self.source = one_of("source", source, allowed["source"])
        self.proposal = one_of("proposal", proposal, allowed["proposal"])
        self.grown_momentum = one_of("grown_momentum", grown_momentum, allowed["grown_momentum"])
        self.window = None if window is None else above_zero("window", window)
        self.growth_memory = above_zero("growth_memory", growth_memory)
        self.candidate_factor = above_zero("candidate_factor", candidate_factor)
        self.rank = int(above_zero("rank", rank))

    def memory(self, shapes, counts, batch_size, interval, momentum, groups=()) -> float:
        found = sources_memory(
            shapes, counts, groups or [1] * len(counts), grown=self.prune_rate,
            kind=self.source, memory=self.growth_memory, rank=self.rank,
            factor=self.candidate_factor, steps=self._window(momentum), batch_size=batch_size,
            interval=interval,
        )  # fmt: skip
        if self.pruning == "global":
            found += _COMPETING * sum(positions_of(counts, groups))
        return super().memory(shapes, counts, batch_size, interval, momentum, groups) + found

    def _window(self, momentum: float) -> int:
        """Return K for a momentum: what lies further back than that has all but faded."""
        faded = math.log(0.1) / math.log(momentum) if 0 < momentum < 1 else 1.0
        return int(self.window or max(1, math.ceil(faded)))

    def start(self, run: Run) -> None:
        super().start(run)
        if run.momentum_slot is None or not 0 < run.momentum < 1:
            raise ParameterError("momentum", run.momentum, "a number above 0 for sparse momentum")
        self.slot = run.momentum_slot
        self.sources: dict[str, Source] = choose_sources(
            run.parameters,
            kind=self.source,
            memory=self.growth_memory,
            interval=self.interval,
            factor=self.candidate_factor,
            proposal=self.proposal,
            rank=self.rank,
            rng=run.rng,
            steps=self._window(run.momentum),
            batch_size=run.batch_size,
            momentum=run.momentum,
            gradient_weight=run.gradient_weight,
        )
        self._name_of = {id(parameter): name for name, parameter in run.parameters.items()}

    def expect(self, batch_size: int) -> None:
        super().expect(batch_size)
        for source in self.sources.values():
            source.widen(self.run.batch_size)

    def observer(self, step: int) -> Observer | None:
        left = self.steps_to_update(step)
        if left is None or self.growth == "random":
            return None

        def observe(parameter: SparseParameter, view: GradientView) -> None:
            self.sources[self._name_of[id(parameter)]].observe(step, left, view)

        return observe

    def prepare(self, steps_done: int) -> None:
        """Compute each layer's share, after ``steps_done`` steps."""
        self.steps_done, parameters = steps_done, self.run.parameters
        measure = REDISTRIBUTIONS.get(self.redistribution, mean_momentum)
        means = np.array([measure(p, self.slot) for p in parameters.values()], np.float64)
        means[~np.isfinite(means)] = 0.0
        total = means.sum()
        shares = means / total if total > 0 else np.full(len(means), 1.0 / len(means))
        self.shares = dict(zip(parameters, shares, strict=True))
        if self.pruning == "global":
            self._drops = drop_together(parameters, self.rate(steps_done))

    def drop(self, name, parameter, rate) -> np.ndarray:
        if self.pruning == "global":
            return self._drops.pop(name)
        sparsity = parameter.sparsity
        if sparsity < _NEARLY_DENSE and self.shares[name] > 1.0 / len(self.shares):
            rate = min(sparsity, rate)
        count = min(math.ceil(rate * parameter.nnz), parameter.nnz - 1)
        return smallest(np.abs(parameter.data), count)

    def quotas(self, dropped: dict[str, np.ndarray]) -> dict[str, int]:
        if self.redistribution == "none":
            return super().quotas(dropped)
        names, parameters = list(dropped), self.run.parameters
        units = np.array([unit_of(parameters[name]) for name in names])
        gone = units * [len(dropped[name]) for name in names]
        free = gone + [room(parameters[name]) for name in names]
        shares = np.array([self.shares[name] for name in names])
        counts = growth_quotas(shares, free, int(gone.sum()), units) // units
        return dict(zip(names, counts.tolist(), strict=True))

    def grow(self, name, parameter, dropped, count) -> Growth:
        if self.growth in GROWTHS:
            return GROWTHS[self.growth](self, name, parameter, dropped, count)
        best = self.sources[name].top(count, self.steps_done)
        # The momentum of what was just dropped is known exactly.
        known = keys_of(parameter.pattern, dropped), parameter.slot(self.slot)[dropped]
        return self.grown(name, parameter, best, known, count)

    def grown(self, name, parameter, best, dropped, count) -> Growth:
        r"""Return the growth of layer ``name`` at its ``count`` positions of largest \|m\|.

        They are among the ``best`` of its inactive ones and the ``dropped``, both keys and momenta;
        ``parameter`` is what it has before the update.
        """
        keys, values, shortfall = grow_largest(
            best, dropped, parameter.pattern, count, self.run.rng
        )
        facts = {"source": self.sources[name].name, "shortfall": shortfall}
        if self.grown_momentum == "zero":
            return Growth(keys, facts=facts)
        if isinstance(parameter, SharedColumns):
            values = self._momenta(name, parameter, keys)
        slots = {self.slot: values}
        if "second_moment" in weights_of(parameter).slots:  # Adam divides by the root of it
            slots["second_moment"] = values * values
        return Growth(keys, slots, facts)

    def _momenta(self, name: str, shared: SharedColumns, keys: np.ndarray) -> np.ndarray:
        """Return the momenta of the weights of some shared columns: a row for each of them."""
        momenta = self.sources[name].at(keys)
        before, known = among(keys, shared.pattern.keys())  # what was just dropped
        slot = shared.weights.slot(self.slot)
        momenta[known] = shared.take(slot, before[known], shared.pattern)
        return momenta

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        arrays = {
            f"{name}/{key}": array
            for name, source in self.sources.items()
            for key, array in source.state().items()
        }
        return {"sources": {name: source.name for name, source in self.sources.items()}}, arrays

    def load_state(self, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        kinds = {name: one_of_kind([source.name]) for name, source in self.sources.items()}
        table({"sources": table(kinds)})(values, "topology")
        for name, source in self.sources.items():
            source.load_state(behind(arrays, f"{name}/"), self.run.steps_done)
