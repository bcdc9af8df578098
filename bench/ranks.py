"""``bench ranks``: what sharing a batch among MPI ranks costs, and what it would bring."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.step_cases import IMAGE

#: Name, sparsity and batch. Ranks that a batch is shared among, in what is predicted.
_CASES = (
    ("mlp-1000-1000", 0.95, 128), ("mlp-1000-1000", 0.95, 2048), ("truly-sparse", 0.95, 2048),
    ("vgg16-small", 0.95, 128),
)  # fmt: skip
_RANKS = (2, 4, 8, 16)
#: Clusters: name, bytes per second, seconds that a message takes at least.
NETWORKS = (("10 Gb/s", 10e9 / 8, 30e-6), ("100 Gb/s", 100e9 / 8, 5e-6))


def ring_seconds(nbytes: int, ranks: int, rate: float, latency: float, vectors: int) -> float:
    """Return how long a ring takes to add up vectors over ranks.

    Each vector passes ``2 (ranks - 1)`` times, cut into ``ranks`` parts.

    Parameters
    ----------
    nbytes : int
        Of all vectors together.
    ranks : int
        At least 2.
    rate : float
        Bytes per second between two ranks.
    latency : float
        Seconds that a message takes at least.
    vectors : int
        How many.

    Returns
    -------
    float
        Seconds.
    """
    passes = 2 * (ranks - 1)
    return passes * (nbytes / ranks / rate + vectors * latency)


class Ranks(Benchmark):
    """Computing, adding up gradients, and whole shared steps; run it under mpiexec for the latter.

    Predictions take the computing time that was measured at each part of the batch, and a ring that
    adds up all gradients after it, none of it hidden behind the backward pass.
    """

    name = "ranks"
    title = "one step of a batch that ranks share; predictions: 10 and 100 Gb/s, nothing overlapped"

    def setup(self) -> None:
        """Find the other ranks; see ``Benchmark.setup``."""
        from sparsecpu.training.mpi import world

        self.comm = world()
        if self.comm is None:
            self.missing["other ranks"] = "mpiexec -n 2 sparsecpu bench ranks"

    def cases(self) -> list[tuple[str, float, int]]:
        """Return networks, sparsities and batches."""
        return list(self.pick(_CASES[:2], _CASES, _CASES))

    def run(self, case: tuple[str, float, int]) -> dict[str, Any]:
        """Measure one network; see ``Benchmark.run``.

        Parameters
        ----------
        case : tuple
            Name, sparsity, batch.

        Returns
        -------
        dict
            ``compute_ms`` by ranks that share the batch, ``gradient_mb``, ``allreduce_ms`` and
            ``shared_ms`` where there are ranks, and ``predicted``, speed-up by network and ranks.
        """
        name, sparsity, batch = case
        described = _describe(name, sparsity)
        compute = {ranks: self._step_ms(described, batch // ranks) for ranks in (1, *_RANKS)}
        network = described.build(np.random.default_rng(0))
        vectors = [p.data.copy() for p in network.parameters().values()]
        nbytes = sum(vector.nbytes for vector in vectors)
        found: dict[str, Any] = {
            "case": name, "sparsity": sparsity, "batch": batch, "threads": self.threads,
            "compute_ms": compute, "gradient_mb": nbytes / 1e6, "vectors": len(vectors),
            "ranks": 1 if self.comm is None else self.comm.size,
        }  # fmt: skip
        if self.comm is not None:
            comm = self.comm

            def add_up() -> None:
                for vector in vectors:
                    comm.start_sum(vector)
                comm.finish()

            found["allreduce_ms"] = _median_ms(add_up, comm)
            found["shared_ms"] = self._step_ms(described, batch, comm)
        found["predicted"] = {
            title: {
                ranks: compute[1] / (
                    compute[ranks] + 1e3 * ring_seconds(nbytes, ranks, rate, least, len(vectors))
                )
                for ranks in _RANKS
            }
            for title, rate, least in NETWORKS
        }  # fmt: skip
        return found

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
        source = network.samples(x)
        targets = trainer.loss.prepare(np.arange(2 * batch) % 10, 10)
        rows = np.arange(batch)
        with trainer.machine():
            return _median_ms(lambda: trainer.step(source, targets, rows), self.comm)

    def heading(self) -> str:
        """Return the table's first line."""
        return (
            f"{'network':<15}{'batch':>6}{'spars.':>8}{'compute ms':>12}{'half batch':>12}"
            f"{'MB of grad.':>13}{'Allreduce ms':>14}{'shared step':>13}"
            + "".join(f"{f'{r} at {title}':>16}" for title, *_ in NETWORKS for r in (2, 8, 16))
        )

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
        compute = result["compute_ms"]
        measured = [
            f"{result[key]:.3f}" if key in result else "-" for key in ("allreduce_ms", "shared_ms")
        ]
        return (
            f"{result['case']:<15}{result['batch']:>6}{result['sparsity']:>8}{compute[1]:>12.3f}"
            f"{compute[2]:>12.3f}{result['gradient_mb']:>13.2f}{measured[0]:>14}{measured[1]:>13}"
            + "".join(
                f"{f'{by_ranks[r]:.1f}x':>16}"
                for by_ranks in result["predicted"].values()
                for r in (2, 8, 16)
            )
        )


def _describe(name: str, sparsity: float) -> Any:
    from sparsecpu.bench.step_cases import NETWORKS as MLPS
    from sparsecpu.networks.description import mlp
    from sparsecpu.networks.models import find_model

    if name in MLPS:
        sizes = MLPS[name][0]
        return mlp((sizes[0],), sizes[1:-1], sizes[-1]).sparsify(1 - sparsity)
    model = find_model(name)
    assert model is not None
    return model(IMAGE, 10).sparsify(1 - sparsity, "uniform")


def _median_ms(work: Callable[[], Any], comm: Any, seconds: float = 1.0) -> float:
    """Return the median of many calls; ranks make as many, and begin together."""
    for _ in range(3):
        work()
    start = time.perf_counter()
    work()
    once = time.perf_counter() - start
    turns = int(min(300, max(9, seconds / max(once, 1e-6))))
    if comm is not None:
        turns = comm.broadcast(turns)
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))
