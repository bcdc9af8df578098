"""``bench sources``: how much of the absent weights' momentum each source finds in training."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.experiments.tables import Column, Table

_MOMENTUM, _BATCH, _INTERVAL = 0.9, 32, 250
#: Steps after which a gradient counts less than a 10,000th: the exact momentum keeps as many.
_ALL_STEPS = 88
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
    """The momentum at the positions that each source chooses, over that of the best positions.

    LeNet-300-100 trains on digits28 with sparse momentum. Every source observes the same steps and
    chooses, at each update, as many positions as the layer grows; the exact momentum judges them.
    """

    name = "sources"
    title = "momentum at the chosen positions, over that of the best; LeNet-300-100 on digits28"

    def cases(self) -> list[str]:
        return list(SOURCES)

    def run(self, case: str) -> dict[str, Any]:
        if not hasattr(self, "_found"):
            self._found = self._train()
        return self._found[case]

    def _train(self) -> dict[str, dict[str, Any]]:
        from sparsecpu.callbacks import Callback
        from sparsecpu.datasets import open_data
        from sparsecpu.experiments.networks import build, describe
        from sparsecpu.experiments.recipe import Recipe
        from sparsecpu.experiments.trainers import make_trainer

        density = self.options.get("density") or 0.05
        data = open_data("digits28", samples=8_000)
        recipe = Recipe(
            density=density, epochs=self.pick(3, 6, 12), batch_size=_BATCH, update_every=_INTERVAL
        )
        architecture = describe(recipe, data.input_shape, data.n_outputs)
        network = build(recipe, architecture, data.x_train, data.y_train, data.scaling)
        trainer = make_trainer(recipe, network, "classification", 8_000, threads=self.threads)
        judge = _Judge(trainer)

        class _Start(Callback):
            def on_fit_start(self, trainer: Any) -> None:
                judge.start()

        trainer.callbacks.append(_Start())
        trainer.fit(data.x_train, data.y_train)
        return judge.results(density)

    def table(self) -> Table:
        found = "momentum found, by layer (best: 1)"
        return Table([
            Column("source", 26, left=True), Column("kB", 10), Column("ms per update", 15),
            Column(found, 50, below="momentum found (best: 1):"),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        mass = "  ".join(f"{name} {part:.3f}" for name, part in result["mass"].items())
        kilobytes = f"{result['bytes'] / 1e3:,.0f}"
        return self.table().row([result["source"], kilobytes, f"{result['ms']:.2f}", mass])


class _Judge:
    """Lets sources observe a trainer, and judges their choices by the exact momentum."""

    def __init__(self, trainer: Any) -> None:
        self.topology = trainer.topology
        self._update, self._observer = self.topology.update, self.topology.observer
        self.topology.update, self.topology.observer = self.update, self.observer
        self.ms = dict.fromkeys(SOURCES, 0.0)
        self.bytes = dict.fromkeys(SOURCES, 0)
        self.found: dict[str, dict[str, list[float]]] = {name: {} for name in SOURCES}
        self.updates = 0

    def start(self) -> None:
        """Make the sources, now that the topology knows its layers."""
        from sparsecpu.topology.sources import choose_sources

        parameters = self.topology.run.parameters
        shared: dict[str, Any] = dict(
            batch_size=_BATCH, momentum=_MOMENTUM, gradient_weight=1.0, interval=_INTERVAL
        )
        self.names = {id(p): name for name, p in parameters.items()}
        self.exact = choose_sources(
            parameters, kind="window", memory=1e9, factor=1.0, steps=_ALL_STEPS,
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
        """Return the observer of a step: the topology's own, and those of all sources."""
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
        """Judge what each source chooses, then update."""
        rate = self.topology.rate(steps_done)
        self.updates += 1
        for name, parameter in self.topology.run.parameters.items():
            self._judge(name, parameter.pattern, rate, steps_done)
        return self._update(steps_done)

    def _judge(self, name: str, pattern: Any, rate: float, steps_done: int) -> None:
        """Compare the sources' choices for one layer with the best ones."""
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
                self.found[kind].setdefault(name, []).append(float(found / best))

    def results(self, density: float) -> dict[str, dict[str, Any]]:
        """Return a result per source."""
        return {
            kind: {
                "source": kind, "density": density, "updates": self.updates,
                "mass": {name: float(np.mean(found)) for name, found in layers.items()},
                "bytes": self.bytes[kind], "ms": self.ms[kind] / self.updates,
            }
            for kind, layers in self.found.items()
        }  # fmt: skip


def _bytes(source: Any) -> int:
    """Return the bytes of a source's arrays, and of the source that proposes its candidates."""
    arrays = [v for v in vars(source).values() if isinstance(v, np.ndarray)]
    inner = getattr(source, "_scout", None)
    return sum(array.nbytes for array in arrays) + (_bytes(inner) if inner is not None else 0)
