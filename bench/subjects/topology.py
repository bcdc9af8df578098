"""``bench topology``: what an update of the topology costs, beside the steps that pay for it."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsecpu.bench.cases import NetworkCase, Variant, checked_groups
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.tables import Column, Table
from sparsecpu.step.samples import Samples

_INTERVAL = 469  # steps of an epoch of 60,000 samples in batches of 128
_ALGORITHMS = (
    "set", "dsr:prune_rate=0.3", "deep-r", "gse:stop_after=1",
    "gse:stop_after=1,distribution=graest", "rigl:stop_after=1",
    *(f"sparse-momentum:source={s}" for s in ("window", "tiles", "lowrank", "candidates")),
    "sparse-momentum:source=candidates,proposal=lowrank",
)  # fmt: skip
_NETWORKS = ("lenet-300-100", "mlp-1000-1000", "truly-sparse")


def _checked(algorithm: str) -> str:
    """Return the name of an algorithm that changes the topology; refuse others."""
    from sparsecpu.topology import make_topology
    from sparsecpu.topology.static import Static

    if isinstance(make_topology(algorithm), Static):
        raise ParameterError("topology", algorithm, "one that changes while training")
    return algorithm


def _sizes_of(name: str) -> tuple[int, ...]:
    """Return the sizes of a network of linear layers; refuse others."""
    case = NetworkCase.parse(name, (), 1)
    if case.model:
        raise ParameterError(
            "model", name, "sizes such as 784-300-10; only linear layers are timed"
        )
    return case.sizes


class RepeatedSamples(Samples):
    """A few samples that are repeated until there are ``samples`` of them."""

    def __init__(self, x: np.ndarray, samples: int) -> None:
        self.x, self.shape = x, (samples, x.shape[1])

    def take_samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.x, rows % len(self.x)


class _Clock:
    """Times what a topology does within training steps."""

    def __init__(self, topology: Any) -> None:
        self.updates: list[float] = []
        self.observing = 0.0
        self._update, self._observer = topology.update, topology.observer
        topology.update, topology.observer = self.update, self.observer

    def update(self, step: int) -> Any:
        """Update the topology, timed."""
        start = time.perf_counter()
        report = self._update(step)
        self.updates.append((time.perf_counter() - start) * 1e3)
        return report

    def observer(self, step: int) -> Any:
        """Return the topology's observer of a step, timed."""
        observe = self._observer(step)
        if observe is None:
            return None

        def timed(*arguments: Any) -> None:
            start = time.perf_counter()
            observe(*arguments)
            self.observing += (time.perf_counter() - start) * 1e3

        return timed

    def take_observing(self) -> float:
        """Return the milliseconds spent in observers since the last call."""
        ms, self.observing = self.observing, 0.0
        return ms


class Topology(Benchmark):
    """Observing gradients and updating the pattern, per algorithm and source of momentum."""

    name = "topology"
    title = "an update of the topology and the observation before it, per epoch of 60,000 samples"

    def cases(self) -> list[tuple[str, tuple[int, ...], Variant]]:
        """Return algorithms, networks by their sizes, and how sparse they are, in which groups."""
        algorithms = [_checked(a) for a in self.options.get("topologies") or _ALGORITHMS]
        names = self.options.get("models") or self.pick(*(_NETWORKS[:n] for n in (1, 2, 3)))
        networks = [_sizes_of(name) for name in names]
        groups = checked_groups(self.options.get("group"))
        return [(a, n, Variant(0.95, g)) for n in networks for a in algorithms for g in groups]

    def run(self, case: tuple[str, tuple[int, ...], Variant]) -> dict[str, Any]:
        algorithm, sizes, variant = case
        plain = float(np.median(self._train("static", sizes, variant, 2)["steps"]))
        spent = self._train(algorithm, sizes, variant, 1 + self.pick(3, 5, 9))
        if not spent["updates"]:
            expected = f"one that changes within {len(spent['steps'])} steps"
            raise ParameterError("topology", algorithm, expected)
        # Medians over epochs, step by step: observation happens at the same steps of each interval.
        table = np.array(spent["observing"][_INTERVAL:]).reshape(-1, _INTERVAL)
        watch, update = float(np.median(table, axis=0).sum()), float(np.median(spent["updates"]))
        return {
            "algorithm": algorithm, "sizes": list(sizes), **asdict(variant), "batch": 128,
            "interval": _INTERVAL, "step_ms": plain, "interval_ms": plain * _INTERVAL,
            "update_ms": update, "watch_ms": watch,
            "overhead": (update + watch) / (plain * _INTERVAL),
        }  # fmt: skip

    def _train(self, algorithm, sizes, variant, epochs) -> dict[str, list[float]]:
        """Return the milliseconds of ``updates``, ``steps``, and ``observing`` in each step."""
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.topology import make_topology
        from sparsecpu.trainer import Trainer

        rng, batch = np.random.default_rng(0), 128
        topology = make_topology(algorithm)
        described = NetworkCase(sizes, batch, (), self.threads).sparse(variant)
        trainer = Trainer(
            described.build(rng), loss=SoftmaxCrossEntropy(), topology=topology,
            learning_rate=1e-3, batch_size=batch, epochs=epochs + 1, threads=self.threads,
        )  # fmt: skip
        samples = _INTERVAL * batch
        x = rng.standard_normal((4096, sizes[0]), dtype=np.float32)
        repeated = RepeatedSamples(x, samples)
        targets = trainer.loss.prepare(rng.integers(0, sizes[-1], samples), sizes[-1])
        trainer.start(samples)
        spent: dict[str, list[float]] = defaultdict(list)
        clock = _Clock(trainer.topology)
        with trainer.machine():
            for _ in range(epochs):
                for first in range(0, samples, batch):
                    rows = np.arange(first, first + batch)
                    start = time.perf_counter()
                    trainer.step(repeated, targets, rows)
                    spent["steps"].append((time.perf_counter() - start) * 1e3)
                    spent["observing"].append(clock.take_observing())
        spent["updates"] = clock.updates
        return spent

    def table(self) -> Table:
        return Table([
            Column("network", 24, left=True), Column("group", 6), Column("step ms", 9),
            Column("epoch ms", 9), Column("update ms", 10), Column("observing ms", 13),
            Column("overhead", 9), Column("algorithm", 52, left=True, below=""),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        return self.table().row([
            "-".join(map(str, result["sizes"])), f"{result['group']}",
            f"{result['step_ms']:.3f}", f"{result['interval_ms']:.0f}",
            f"{result['update_ms']:.1f}", f"{result['watch_ms']:.1f}",
            f"{result['overhead']:.0%}", result["algorithm"],
        ])  # fmt: skip
