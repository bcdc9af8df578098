"""``bench scale``: time and memory as width doubles at fixed nonzeros per neuron."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.limits import level_of
from sparsecpu.bench.timing import summarise

_INPUTS, _OUTPUTS, _PER_NEURON, _BATCH = 256, 10, 16, 32


class Scale(Benchmark):
    """Steps of MLPs with two hidden layers and 16 connections per neuron."""

    name = "scale"
    title = f"steps at {_PER_NEURON} connections per neuron, two hidden layers, batch {_BATCH}"

    def cases(self) -> list[int]:
        """Return numbers of hidden neurons."""
        doublings = self.pick(7, 11, 11)
        return [1000 * 2**k if k < 10 else 1_000_000 for k in range(doublings)]

    def run(self, case: int) -> dict[str, Any]:
        """Measure one width; see ``Benchmark.run``.

        Parameters
        ----------
        case : int
            Hidden neurons.

        Returns
        -------
        dict
            ``neurons, nnz, ms`` per step, ``ns`` per connection and sample, ``peak_mb`` above what
            the process had before, ``tile_bytes`` and the cache ``level`` that holds a tile.
        """
        from sparsecpu.architecture import mlp
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.trainer import Trainer

        before, width, rng = _resident_mb(), case // 2, np.random.default_rng(0)
        described = mlp((_INPUTS,), (width, width), _OUTPUTS)
        wanted = _PER_NEURON * (case + _OUTPUTS)
        size = _INPUTS * width + width * width + width * _OUTPUTS
        network = described.sparsify(wanted / size, "er").build(rng)
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), learning_rate=1e-3, batch_size=_BATCH,
            epochs=1, threads=self.threads,
        )  # fmt: skip
        x = rng.standard_normal((4 * _BATCH, _INPUTS), dtype=np.float32)
        source, rows = network.source(x), np.arange(_BATCH)
        targets = trainer.loss.prepare(rng.integers(0, _OUTPUTS, len(x)), _OUTPUTS)
        times: list[float] = []
        with trainer.machine():
            trainer.step(source, targets, rows)
            began = time.perf_counter()
            while len(times) < 5 or (time.perf_counter() - began < 1 and len(times) < 300):
                start = time.perf_counter()
                trainer.step(source, targets, rows)
                times.append((time.perf_counter() - start) * 1e3)
        timing, lanes = summarise(times), network.lanes(_BATCH)
        tile = 4 * width * lanes
        return {
            "neurons": case, "nnz": network.nnz, "threads": self.threads, "ms": timing.ms,
            "quartiles": [timing.low, timing.high],
            "ns": 1e6 * timing.ms / (network.nnz * _BATCH), "lanes": lanes,
            "peak_mb": max(0.0, _resident_mb() - before), "tile_bytes": tile,
            "level": level_of(tile),
        }  # fmt: skip

    def heading(self) -> str:
        """Return the table's first line."""
        return (
            f"{'neurons':>9}{'nonzeros':>12}{'ms per step':>13}{'ns per nonzero, sample':>24}"
            f"{'MB':>9}{'a tile lies in':>16}"
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
        return (
            f"{result['neurons']:>9,}{result['nnz']:>12,}{result['ms']:>13.3f}"
            f"{result['ns']:>24.3f}{result['peak_mb']:>9.0f}{result['level']:>16}"
        )

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Return the exponents of operations and of time; see ``Benchmark.verdict``.

        Parameters
        ----------
        results : list of dict
            All of them.

        Returns
        -------
        tuple
            Values and lines.
        """
        if len(results) < 2:
            return {}, []
        logs = {k: np.log([r[k] for r in results]) for k in ("neurons", "nnz", "ms")}
        operations = float(np.polyfit(logs["neurons"], logs["nnz"], 1)[0])
        time_ = float(np.polyfit(logs["neurons"], logs["ms"], 1)[0])
        span = f"from {results[0]['neurons']:,} to {results[-1]['neurons']:,} neurons"
        line = f"exponents {span}: operations {operations:.2f}, time {time_:.2f} (1 is linear)"
        return {"operations_exponent": operations, "time_exponent": time_}, [line]


def _resident_mb() -> float:
    """Return the megabytes that this process has in memory now."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    except (OSError, ImportError):
        return 0.0
