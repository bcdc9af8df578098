"""What a transformation costs beyond FLOPs: time, bytes of weights and of activations."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecpu.losses import SoftmaxCrossEntropy
from sparsecpu.networks.description import Architecture
from sparsecpu.networks.isoflop.descriptions import activations, flops
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.trainer import Trainer

_LEAST, _SECONDS = 5, 1.0


def compare_costs(
    before: Architecture, after: Architecture, *, batch_size: int = 128, threads: int = 1
) -> tuple[list[dict[str, Any]], str]:
    """Measure a network and what it was turned into, side by side.

    Both are built and trained for some steps on random samples, turn by turn, by this engine; a
    dense network is one with full patterns.

    Parameters
    ----------
    before, after : Architecture
        The two networks.
    batch_size : int
        Samples per step.
    threads : int
        Of the kernels.

    Returns
    -------
    rows : list of dict
        For each: ``name, flops`` (a forward pass of a sample), ``weights`` (nonzeros),
        ``weight_bytes`` (values and indices), ``activation_bytes`` (of a batch), ``step_ms``.
    table : str
        The same, for people.
    """
    rows, steps = [], []
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch_size, int(np.prod(before.input_shape))), dtype=np.float32)
    for architecture in (before, after):
        network = architecture.build(np.random.default_rng(0))
        trainer = Trainer(network, loss=SoftmaxCrossEntropy(), learning_rate=1e-3,
                          batch_size=batch_size, threads=threads)  # fmt: skip
        targets = trainer.loss.prepare(rng.integers(0, network.n_outputs, batch_size),
                                       network.n_outputs)  # fmt: skip
        steps.append((trainer, network.samples(x), targets))
        rows.append({
            "name": architecture.name, "flops": flops(architecture), "weights": network.nnz,
            "weight_bytes": sum(
                p.data.nbytes + p.pattern.indices.nbytes + p.pattern.indptr.nbytes
                for p in network.parameters().values() if isinstance(p, SparseParameter)
            ),
            "activation_bytes": 4 * batch_size * activations(architecture),
        })  # fmt: skip
    order = np.arange(batch_size)
    times: list[list[float]] = [[], []]
    began = 0.0
    while len(times[0]) < _LEAST + 2 or time.perf_counter() - began < _SECONDS:
        for (trainer, source, targets), own in zip(steps, times, strict=True):
            with trainer.machine():
                start = time.perf_counter()
                trainer.step(source, targets, order)
                own.append(time.perf_counter() - start)
        began = began or time.perf_counter()  # the first step compiles
    for row, own in zip(rows, times, strict=True):
        row["step_ms"] = 1e3 * float(np.median(own[2:]))
    return rows, cost_table(rows)


def cost_table(rows: list[dict[str, Any]]) -> str:
    """Return costs as a table.

    Parameters
    ----------
    rows : list of dict
        From ``compare_costs``.

    Returns
    -------
    str
        Lines.
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
