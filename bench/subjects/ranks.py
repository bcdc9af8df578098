"""``bench ranks``: what it costs to split a batch among MPI ranks, and what it would gain."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.bench.cases import NetworkCase
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.experiments.tables import Column, Table

#: Name, sparsity and batch.
_CASES = (
    ("mlp-1000-1000", 0.95, 128), ("mlp-1000-1000", 0.95, 2048), ("truly-sparse", 0.95, 2048),
    ("vgg16-small", 0.95, 128),
)  # fmt: skip
#: Numbers of ranks for which a speed-up is predicted.
_RANKS = (2, 4, 8, 16)
#: Clusters: name, bytes per second, and the latency of a message in seconds.
CLUSTERS = (("10 Gb/s", 10e9 / 8, 30e-6), ("100 Gb/s", 100e9 / 8, 5e-6))


def ring_seconds(nbytes: int, ranks: int, rate: float, latency: float, vectors: int) -> float:
    """Return how many seconds a ring takes to add up vectors over ranks.

    Each vector passes ``2 (ranks - 1)`` times, cut into ``ranks`` parts.
    """
    passes = 2 * (ranks - 1)
    return passes * (nbytes / ranks / rate + vectors * latency)


class Ranks(Benchmark):
    """Steps on parts of a batch, sums of gradients, and shared steps (the latter under mpiexec).

    A prediction adds the measured time of a step on each rank's part of the batch and the time of a
    ring that adds up all gradients afterwards, none of it hidden behind the backward pass.
    """

    name = "ranks"
    title = "a step of a batch that ranks share; predicted speed-ups at 10 and 100 Gb/s, no overlap"

    def setup(self) -> None:
        from sparsecpu.training.mpi import world

        self.comm = world()
        if self.comm.size == 1:
            self.missing["other ranks"] = "mpiexec -n 2 sparsecpu bench ranks"

    def cases(self) -> list[tuple[str, float, int]]:
        """Return names of networks, sparsities and batches."""
        return list(self.pick(_CASES[:2], _CASES, _CASES))

    def run(self, case: tuple[str, float, int]) -> dict[str, Any]:
        name, sparsity, batch = case
        network_case = NetworkCase.parse(name, (sparsity,), self.threads)
        described = network_case.described().sparsify(1 - sparsity, network_case.distribution)
        compute = {ranks: self._step_ms(described, batch // ranks) for ranks in (1, *_RANKS)}
        network = described.build(np.random.default_rng(0))
        vectors = [p.data.copy() for p in network.parameters().values()]
        nbytes = sum(vector.nbytes for vector in vectors)
        found: dict[str, Any] = {
            "case": name, "sparsity": sparsity, "batch": batch, "threads": self.threads,
            "compute_ms": compute, "gradient_mb": nbytes / 1e6, "vectors": len(vectors),
            "ranks": self.comm.size,
        }  # fmt: skip
        comm: Any = self.comm
        if comm.size > 1:

            def add_up() -> None:
                for vector in vectors:
                    comm.start_sum(vector)
                comm.finish()

            found["allreduce_ms"] = _median_ms(add_up, comm)
            found["shared_ms"] = self._step_ms(described, batch, comm)
        return {**found, "predicted": _predicted(compute, nbytes, len(vectors))}

    def _step_ms(self, described: Any, batch: int, comm: Any = None) -> float:
        """Return the median milliseconds of a step."""
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.trainer import Trainer

        rng = np.random.default_rng(0)
        network = described.build(rng)
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), learning_rate=1e-4, batch_size=batch,
            threads=self.threads, comm=comm,
        )  # fmt: skip
        x = rng.standard_normal((2 * batch, math.prod(described.input_shape)), dtype=np.float32)
        samples = network.samples(x)
        targets = trainer.loss.prepare(np.arange(2 * batch) % 10, 10)
        rows = np.arange(batch)
        with trainer.machine():
            return _median_ms(lambda: trainer.step(samples, targets, rows), self.comm)

    def table(self) -> Table:
        return Table([
            Column("network", 15, left=True), Column("batch", 6), Column("sparsity", 9),
            Column("compute ms", 11), Column("half batch", 11), Column("grad. MB", 9),
            Column("Allreduce ms", 13), Column("shared step", 13),
            *(Column(f"{r} at {title}", 16) for title, *_ in CLUSTERS for r in (2, 8, 16)),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        compute = result["compute_ms"]
        measured = [
            f"{result[key]:.3f}" if key in result else "-" for key in ("allreduce_ms", "shared_ms")
        ]
        return self.table().row([
            result["case"], f"{result['batch']}", f"{result['sparsity']}", f"{compute[1]:.3f}",
            f"{compute[2]:.3f}", f"{result['gradient_mb']:.2f}", *measured,
            *(f"{by[r]:.1f}x" for by in result["predicted"].values() for r in (2, 8, 16)),
        ])  # fmt: skip


def _predicted(compute: dict[int, float], nbytes: int, vectors: int) -> dict[str, dict[int, float]]:
    """Return the speed-ups by cluster and number of ranks, from the milliseconds of a step."""
    return {
        title: {
            ranks: compute[1]
            / (compute[ranks] + 1e3 * ring_seconds(nbytes, ranks, rate, latency, vectors))
            for ranks in _RANKS
        }
        for title, rate, latency in CLUSTERS
    }


def _median_ms(work: Callable[[], Any], comm: Any, seconds: float = 1.0) -> float:
    """Return the median milliseconds of many calls, of as many on every rank."""
    for _ in range(3):
        work()
    start = time.perf_counter()
    work()
    once = time.perf_counter() - start
    turns = int(min(300, max(9, seconds / max(once, 1e-6))))
    turns = comm.broadcast(turns)
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))
