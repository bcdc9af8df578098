"""``bench sources``: how much of inactive weights' momentum each source finds, while training."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecpu.bench.base import Benchmark

_MOMENTUM, _BATCH, _INTERVAL = 0.9, 32, 250
#: The exact momentum keeps so many steps: all but a 10,000th.
_ALL = 88
#: Sources under test, and their options.
SOURCES: dict[str, dict[str, Any]] = {
    "window": {"kind": "window"},
    "tiles": {"kind": "tiles", "memory": 3e5},
    "lowrank 4": {"kind": "lowrank", "rank": 4},
    "lowrank 8": {"kind": "lowrank", "rank": 8},
    "lowrank 16": {"kind": "lowrank", "rank": 16},
    "lowrank 32": {"kind": "lowrank", "rank": 32},
    "candidates, uniform": {"kind": "candidates", "proposal": "uniform"},
    "candidates, norms": {"kind": "candidates", "proposal": "norms"},
    "candidates, lowrank": {"kind": "candidates", "proposal": "lowrank"},
    "candidates, lowrank, 1x": {"kind": "candidates", "proposal": "lowrank", "factor": 1.0},
    "last batch (RigL)": {"kind": "window", "steps": 1},
}


class Sources(Benchmark):
    """The momentum that a choice has, over that of the best choice, on real training.

    LeNet-300-100 trains on digits28 with sparse momentum; every source watches the same steps and
    is asked at each update for as many positions as the layer is about to grow. What their true
    momentum adds up to, over that of the best positions, is the captured share.
    """

    name = "sources"
    title = "share of the best choice's momentum; LeNet-300-100 on digits28"

    def cases(self) -> list[str]:
        """Return the sources."""
        return list(SOURCES)

    def run(self, case: str) -> dict[str, Any]:
        """Return one source's figures; all are measured together, with the first.

        Parameters
        ----------
        case : str
            A name in ``SOURCES``.

        Returns
        -------
        dict
            ``mass`` per layer (mean over updates), ``bytes``, ``ms`` of watching and asking per
            update.
        """
        if not hasattr(self, "_found"):
            self._found = self._train()
        return self._found[case]

    def _train(self) -> dict[str, dict[str, Any]]:
        from sparsecpu.callbacks import Callback
        from sparsecpu.datasets import open_data
        from sparsecpu.experiments.recipe import Recipe

        density = self.options.get("density") or 0.05
        data = open_data("digits28", samples=8_000)
        recipe = Recipe(
            density=density, epochs=self.pick(3, 6, 12), batch_size=_BATCH, update_every=_INTERVAL
        )
        architecture = recipe.architecture(data.input_shape, data.n_outputs)
        network = recipe.network(architecture, data.x_train, data.y_train, data.scaling)
        trainer = recipe.trainer(network, "classification", 8_000, threads=self.threads)
        watch = _Watch(trainer)

        class _Ask(Callback):
            def on_fit_start(self, trainer: Any) -> None:
                watch.start()

        trainer.callbacks.append(_Ask())
        trainer.fit(data.x_train, data.y_train)
        return watch.results(density)

    def heading(self) -> str:
        """Return the table's first line."""
        return f"{'source':<26}{'share of momentum, by layer':<48}{'kB':>10}{'ms per update':>15}"

    def row(self, result: dict[str, Any]) -> str:
        """Return a line; see ``Benchmark.row``.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            A line.
        """
        mass = "  ".join(f"{name} {share:.3f}" for name, share in result["mass"].items())
        return (
            f"{result['source']:<26}{mass:<48}{result['bytes'] / 1e3:>10,.0f}{result['ms']:>15.2f}"
        )


class _Watch:
    """Lets sources watch a trainer, and judges them at each update by the exact momentum."""

    def __init__(self, trainer: Any) -> None:
        self.topology = trainer.topology
        self._update, self._observer = self.topology.update, self.topology.observer
        self.topology.update, self.topology.observer = self.update, self.observer
        self.ms = dict.fromkeys(SOURCES, 0.0)
        self.bytes = dict.fromkeys(SOURCES, 0)
        self.shares: dict[str, dict[str, list[float]]] = {name: {} for name in SOURCES}
        self.updates = 0

    def start(self) -> None:
        """Make the sources, now that the topology knows its layers."""
        from sparsecpu.topology.sources import choose_sources

        parameters = self.topology.run.parameters
        shared = dict(
            batch_size=_BATCH, momentum=_MOMENTUM, gradient_weight=1.0, interval=_INTERVAL
        )
        self.names = {id(p): name for name, p in parameters.items()}
        self.exact = choose_sources(
            parameters, kind="window", memory=1e9, factor=1.0, steps=_ALL,
            rng=np.random.default_rng(0), **shared,
        )  # fmt: skip
        self.sources = {
            name: choose_sources(
                parameters, **{"memory": 1e9, "factor": 4.0, "steps": 22, **options},
                rng=np.random.default_rng(1), **shared,
            )
            for name, options in SOURCES.items()
        }  # fmt: skip

    def observer(self, step: int) -> Any:
        """Let everybody see a step."""
        own, left = self._observer(step), self.topology.steps_to_update(step)
        if left is None:
            return own

        def observe(parameter: Any, view: Any) -> None:
            if own is not None:
                own(parameter, view)
            name = self.names[id(parameter)]
            self.exact[name].observe(step, left, view)
            for kind, sources in self.sources.items():
                began = time.perf_counter()
                sources[name].observe(step, left, view)
                self.ms[kind] += (time.perf_counter() - began) * 1e3

        return observe

    def update(self, steps_done: int) -> Any:
        """Ask everybody, then update."""
        rate = self.topology.rate(steps_done)
        self.updates += 1
        for name, parameter in self.topology.run.parameters.items():
            pattern = parameter.pattern
            count = min(int(rate * pattern.nnz), pattern.size - pattern.nnz)
            keys, values = self.exact[name].top(pattern.size - pattern.nnz, steps_done)
            magnitudes = np.abs(values)
            best = np.sort(magnitudes)[len(magnitudes) - min(count, len(magnitudes)) :].sum()
            for kind, sources in self.sources.items():
                self.bytes[kind] = max(self.bytes[kind], sum(map(_bytes, sources.values())))
                began = time.perf_counter()
                chosen = sources[name].top(count, steps_done)[0]
                self.ms[kind] += (time.perf_counter() - began) * 1e3
                at = np.minimum(np.searchsorted(keys, chosen), len(keys) - 1)
                found = magnitudes[at][keys[at] == chosen].sum() if len(keys) else 0.0
                if best > 0 and count:
                    self.shares[kind].setdefault(name, []).append(float(found / best))
        return self._update(steps_done)

    def results(self, density: float) -> dict[str, dict[str, Any]]:
        """Return a result per source."""
        return {
            kind: {
                "source": kind, "density": density, "updates": self.updates,
                "mass": {name: float(np.mean(found)) for name, found in shares.items()},
                "bytes": self.bytes[kind], "ms": self.ms[kind] / self.updates,
            }
            for kind, shares in self.shares.items()
        }  # fmt: skip


def _bytes(source: Any) -> int:
    """Return the bytes of a source's arrays, those of what it proposes by included."""
    arrays = [v for v in vars(source).values() if isinstance(v, np.ndarray)]
    inner = getattr(source, "_scout", None)
    return sum(array.nbytes for array in arrays) + (_bytes(inner) if inner is not None else 0)
