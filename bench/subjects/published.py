"""``bench published``: the largest sparse MLPs with published times per epoch, trained here."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.experiments.tables import Column, Table

#: SET's largest: lung data (203 samples, a third held out), epsilon 20, three hidden layers.
_FEATURES, _CLASSES, _SAMPLES, _WIDTH, _EPSILON = 3312, 5, 135, 600_000, 20
#: Neurons per hidden layer, and minutes per epoch that SET's README gives.
_MINUTES = {10_000: 3.0, 100_000: 49.0, _WIDTH: 112.0}


class Published(Benchmark):
    """Epochs of SET's networks: the same connections and numbers of samples, random data.

    github.com/dcmocanu/sparse-evolutionary-artificial-neural-networks, "SET-MLP-Sparse-Python-Data-
    Structures", on a laptop with 16 GB: 30,000 hidden neurons 3 minutes per epoch, 300,000 49
    minutes, 1.8 million 112 minutes.
    """

    name = "published"
    title = (
        f"epochs of SET's MLPs ({_FEATURES} inputs, three hidden layers, epsilon {_EPSILON}, "
        f"{_CLASSES} classes, {_SAMPLES} samples), SET updates after each"
    )

    def cases(self) -> list[tuple[int, int]]:
        """Return neurons per hidden layer, and batches."""
        small = [(10_000, 16)]
        large = [(100_000, 16), (_WIDTH, 16)]
        return self.pick(small, small + large, [*small, *large, (_WIDTH, 2)])

    def run(self, case: tuple[int, int]) -> dict[str, Any]:
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.networks.description import mlp
        from sparsecpu.topology import SET
        from sparsecpu.trainer import Trainer

        width, batch = case
        described = mlp((_FEATURES,), (width,) * 3, _CLASSES)
        counts = [
            min(rows * columns, _EPSILON * (rows + columns))
            for rows, columns in described.weight_shapes()
        ]
        rng = np.random.default_rng(0)
        network = described.with_counts(iter(counts)).build(rng)
        seconds: list[float] = []
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), learning_rate=1e-3, batch_size=batch, epochs=4,
            threads=self.threads, topology=SET(),
        )  # fmt: skip
        trainer.start(_SAMPLES)
        x = rng.standard_normal((_SAMPLES, _FEATURES), dtype=np.float32)
        samples = network.samples(x)
        targets = trainer.loss.prepare(np.arange(_SAMPLES) % _CLASSES, _CLASSES)
        with trainer.machine():
            for _ in range(3):  # the first one allocates the memory
                start = time.perf_counter()
                trainer.run_epoch(samples, targets)
                seconds.append(time.perf_counter() - start)
        minutes, theirs = min(seconds[1:]) / 60, _MINUTES[width]
        return {
            "neurons": 3 * width, "nnz": network.nnz, "batch": batch, "threads": self.threads,
            "minutes": minutes, "first_minutes": seconds[0] / 60, "published": theirs,
            "ratio": theirs / minutes,
        }  # fmt: skip

    def table(self) -> Table:
        return Table([
            Column("hidden neurons", 15), Column("connections", 13), Column("batch", 7),
            Column("min per epoch", 14), Column("first", 9), Column("published", 11),
            Column("ratio", 8),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        return self.table().row([
            f"{result['neurons']:,}", f"{result['nnz']:,}", f"{result['batch']}",
            f"{result['minutes']:.3f}", f"{result['first_minutes']:.3f}",
            f"{result['published']:.1f}", f"{result['ratio']:.0f}x",
        ])  # fmt: skip

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        return {}, [
            "the published minutes are from another machine, a laptop with 16 GB (SET's README)"
        ]
