"""What a transformation costs beyond FLOPs: time, and bytes of weights and of activations."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from sparsecpu.layers import Sequential
from sparsecpu.losses import Loss, SoftmaxCrossEntropy, TokenCrossEntropy
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.isoflop.placed_layers import activations, flops
from sparsecpu.trainer import Trainer

#: Steps of each network at least, and seconds for both.
_STEPS, _SECONDS = 5, 1.0


def compare_costs(
    before: Architecture, after: Architecture, *, batch_size: int = 128, threads: int = 1
) -> tuple[list[dict[str, Any]], str]:
    """Measure a network beside the one that replaces it; return the figures, and them as a table.

    Both are built and make training steps in turn, on random samples, by this engine; a dense
    network is one with full patterns. For each network, the figures are ``name, flops`` (a forward
    pass of a sample), ``weights`` (nonzeros), ``weight_bytes`` (values and indices),
    ``activation_bytes`` (of a batch) and ``step_ms`` (a median).

    Parameters
    ----------
    before, after : Architecture
        The two networks.
    batch_size : int
        Samples per step.
    threads : int
        Threads of the kernels.
    """
    rows, steps = [], []
    for architecture in (before, after):
        step, network = _training_step(architecture, batch_size, threads)
        steps.append(step)
        rows.append({
            "name": architecture.name, "flops": flops(architecture), "weights": network.nnz,
            "weight_bytes": sum(p.stored_bytes for p in network.sparse_parameters().values()),
            "activation_bytes": 4 * batch_size * activations(architecture),
        })  # fmt: skip
    for row, ms in zip(rows, _median_ms(steps), strict=True):
        row["step_ms"] = ms
    return rows, cost_table(rows)


def _training_step(
    architecture: Architecture, batch_size: int, threads: int
) -> tuple[Callable[[], float], Sequential]:
    """Return a function that makes a step and returns its milliseconds, and the network."""
    rng = np.random.default_rng(0)
    network = architecture.build(np.random.default_rng(0))
    x, labels, loss = random_batch(network, batch_size, rng)
    trainer = Trainer(network, loss=loss, learning_rate=1e-3, batch_size=batch_size,
                      threads=threads)  # fmt: skip
    samples, targets = network.samples(x), trainer.loss.prepare(labels, network.n_outputs)
    rows = np.arange(batch_size)

    def step() -> float:
        with trainer.machine():
            start = time.perf_counter()
            trainer.step(samples, targets, rows)
            return 1e3 * (time.perf_counter() - start)

    return step, network


def random_batch(
    network: Sequential, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Loss]:
    """Return samples that a network can read, class numbers for them, and a loss for these."""
    x: np.ndarray
    if network.reads_tokens:
        words = network.layers[0].vocabulary  # type: ignore[attr-defined]
        x = rng.integers(0, words, (count, *network.input_shape))
    else:
        x = rng.standard_normal((count, *network.input_shape), dtype=np.float32)
    labels = rng.integers(0, network.n_outputs, network.outputs_shape(count)[:-1])
    return x, labels, SoftmaxCrossEntropy() if labels.ndim == 1 else TokenCrossEntropy()


def _median_ms(steps: list[Callable[[], float]]) -> list[float]:
    """Return the median milliseconds of steps that take turns."""
    for step in steps:
        step()  # compiles
        step()
    times: list[list[float]] = []
    began = time.perf_counter()
    while len(times) < _STEPS or time.perf_counter() - began < _SECONDS:
        times.append([step() for step in steps])
    return np.median(times, axis=0).tolist()


def cost_table(rows: list[dict[str, Any]]) -> str:
    """Return the figures of ``compare_costs`` as a table.

    Parameters
    ----------
    rows : list of dict
        A row per network.
    """
    head = f"{'network':<28}{'MFLOPs':>10}{'weights':>12}{'weights MB':>12}"
    lines = [head + f"{'activations MB':>16}{'ms per step':>13}"]
    lines += [
        f"{row['name']:<28}{row['flops'] / 1e6:>10,.2f}{row['weights']:>12,}"
        f"{row['weight_bytes'] / 1e6:>12.2f}{row['activation_bytes'] / 1e6:>16.2f}"
        f"{row['step_ms']:>13.2f}"
        for row in rows
    ]
    return "\n".join(lines)
