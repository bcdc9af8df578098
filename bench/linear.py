"""Sparse linear kernels beside dense ones: y = W x, dx = W' dy and dW at the nonzeros."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sparsecpu.bench.timing import Timing, compare

from sparsecpu.csr import Pattern
from sparsecpu.parameters import SparseParameter
from sparsecpu.workspace import aligned_copy, aligned_empty, choose_lanes

PARTS = ("forward", "dx", "dw")
#: A ratio is not worth printing where a contestant's quartiles lie further apart than this.
_WIDE = 0.5


@dataclass(frozen=True)
class Case:
    """One layer to time.

    Parameters
    ----------
    n_out, n_in, batch : int
        Sizes.
    sparsity : float
        1 - density.
    threads : int
        Threads of everybody.
    """

    n_out: int
    n_in: int
    batch: int
    sparsity: float
    threads: int

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.n_out}x{self.n_in} batch {self.batch} sparsity {self.sparsity:g}"


class Sparse:
    """Our kernels; the refresh of the transposed values counts as part of dx.

    Parameters
    ----------
    case : Case
        What to time.
    """

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        shape, self.batch = (case.n_out, case.n_in), case.batch
        nnz = max(1, round(case.n_out * case.n_in * (1 - case.sparsity)))
        values = rng.standard_normal(nnz, dtype=np.float32)
        self.weight = SparseParameter(Pattern.random(shape, nnz, rng), values)
        self.lanes = choose_lanes(case.batch, max(shape))
        tiles = -(-case.batch // self.lanes)
        self.x = aligned_copy(rng.standard_normal((tiles, case.n_in, self.lanes), dtype=np.float32))
        self.dy = aligned_copy(
            rng.standard_normal((tiles, case.n_out, self.lanes), dtype=np.float32)
        )
        self.y, self.dx = aligned_empty(self.dy.shape, "f4"), aligned_empty(self.x.shape, "f4")
        self.bias, self.none = np.zeros(case.n_out, "f4"), np.empty(0, "f4")

    def forward(self) -> None:
        """Compute y."""
        from sparsecpu.kernels.linear import RELU, matmul_kernel

        p = self.weight.pattern
        matmul_kernel(self.lanes)(
            p.indptr, p.indices, self.weight.data, self.x, self.bias, self.y, self.y, RELU, p.chunks
        )

    def dx_(self) -> None:
        """Compute dx, transposed values refreshed."""
        from sparsecpu.kernels.linear import GATED, matmul_kernel
        from sparsecpu.kernels.update import refresh

        t, values = self.weight.pattern.transposed, self.weight.transposed_target()
        refresh(self.weight.data, t.perm, values)
        matmul_kernel(self.lanes)(
            t.indptr, t.indices, values, self.dy, self.none, self.x, self.dx, GATED, t.chunks
        )

    def dw(self) -> None:
        """Compute dW and the bias gradient."""
        from sparsecpu.kernels.linear import gradient_kernel

        p = self.weight.pattern
        gradient_kernel(self.lanes)(
            p.indptr, p.indices, self.x, self.dy, self.weight.grad, self.bias, p.chunks
        )

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the three computations."""
        return {"forward": self.forward, "dx": self.dx_, "dw": self.dw}


class Limit:
    """The machine's limit for such a tile: random loads and multiply-adds, on one thread.

    Parameters
    ----------
    case : Case
        Gives the size of the tile.
    """

    places = 16_384

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        self.lanes = choose_lanes(case.batch, max(case.n_out, case.n_in))
        shape = (case.n_in, self.lanes)
        self.tile = aligned_copy(rng.standard_normal(shape, dtype=np.float32))
        self.rows = rng.integers(0, case.n_in, self.places).astype(np.int32)

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the loads."""
        from sparsecpu.kernels.probe import random_load_kernel

        probe, factor = random_load_kernel(self.lanes), np.float32(0.5)
        return {"loads": lambda: probe(self.tile, self.rows, factor)}

    def gflops(self, timing: Timing) -> float:
        """Return the GFLOP/s that a time means.

        Parameters
        ----------
        timing : Timing
            Of the loads.

        Returns
        -------
        float
            Two operations per float.
        """
        return 2e-6 * self.places * self.lanes / timing.ms


class DenseNumPy:
    """NumPy's BLAS on dense matrices, samples as columns.

    Parameters
    ----------
    case : Case
        What to time.
    """

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(0)
        self.w = rng.standard_normal((case.n_out, case.n_in), dtype=np.float32)
        self.x = rng.standard_normal((case.n_in, case.batch), dtype=np.float32)
        self.dy = rng.standard_normal((case.n_out, case.batch), dtype=np.float32)
        self.outs = [np.empty_like(self.dy), np.empty_like(self.x), np.empty_like(self.w)]

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the three computations."""
        y, dx, dw = self.outs
        return {
            "forward": lambda: np.matmul(self.w, self.x, out=y),
            "dx": lambda: np.matmul(self.w.T, self.dy, out=dx),
            "dw": lambda: np.matmul(self.dy, self.x.T, out=dw),
        }


class SciPyForward:
    """``scipy.sparse`` CSR times dense, forward only (single-threaded).

    Parameters
    ----------
    ours : Sparse
        Gives weights and input.
    """

    def __init__(self, ours: Sparse) -> None:
        self.w = ours.weight.to_scipy()
        self.x = np.ascontiguousarray(np.concatenate(list(ours.x), axis=1)[:, : ours.batch])

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the forward computation."""
        return {"forward": lambda: self.w @ self.x}


class DenseTorch:
    """PyTorch's dense linear layer, where PyTorch is installed.

    Parameters
    ----------
    case : Case
        What to time.
    """

    def __init__(self, case: Case) -> None:
        import torch

        torch.set_num_threads(case.threads)
        generator = torch.Generator().manual_seed(0)
        self.w = torch.randn(case.n_out, case.n_in, generator=generator)
        self.x = torch.randn(case.batch, case.n_in, generator=generator)
        self.dy = torch.randn(case.batch, case.n_out, generator=generator)
        self.linear, self.mm = torch.nn.functional.linear, torch.mm

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the three computations."""
        return {
            "forward": lambda: self.linear(self.x, self.w),
            "dx": lambda: self.mm(self.dy, self.w),
            "dw": lambda: self.mm(self.dy.t(), self.x),
        }


def rivals() -> tuple[dict[str, Any], dict[str, str]]:
    """Return the rivals that are here, and for those that are not how to get them."""
    import importlib.util

    found: dict[str, Any] = {"dense NumPy": DenseNumPy, "SciPy": SciPyForward}
    missing = {}
    if importlib.util.find_spec("torch") is not None:
        found["dense PyTorch"] = DenseTorch
    else:
        missing["dense PyTorch"] = "pip install 'sparsecpu[peers]'"
    return found, missing


def run(case: Case, rounds: int = 7) -> dict[str, Any]:
    """Time one layer beside its rivals.

    Parameters
    ----------
    case : Case
        What to time.
    rounds : int
        Rounds.

    Returns
    -------
    dict
        ``case, shape, batch, sparsity, threads, ms, gflops, limit_fraction, ratio,
        dense_speedup``. ``limit_fraction`` is GFLOP/s over those of ``Limit``. ``ratio`` maps
        a rival to its total time over ours (SciPy's: forward alone); null where the quartiles lie
        too far apart to say.
    """
    from threadpoolctl import threadpool_limits

    from sparsecpu.kernels.compile import use_threads

    found, _ = rivals()
    sparse = Sparse(case)
    contestants = {f"ours/{k}": call for k, call in sparse.parts().items()}
    limit = Limit(case)
    contestants |= {f"limit/{k}": call for k, call in limit.parts().items()}
    for name, kind in found.items():
        rival = kind(sparse) if kind is SciPyForward else kind(case)
        contestants |= {f"{name}/{k}": call for k, call in rival.parts().items()}
    with use_threads(case.threads), threadpool_limits(case.threads):
        times = compare(contestants, rounds=rounds)
    ours = {part: times[f"ours/{part}"] for part in PARTS}
    ms = {part: timing.ms for part, timing in ours.items()}
    ms["total"] = sum(ms.values())
    flop = 2e-6 * sparse.weight.nnz * case.batch  # per part, in units of GFLOP/s times ms
    best = limit.gflops(times["limit/loads"]) * case.threads
    ratio = {}
    for name in found:
        parts = [part for part in PARTS if f"{name}/{part}" in times]
        theirs = [times[f"{name}/{part}"] for part in parts]
        ratio[name] = _ratio(theirs, [ours[part] for part in parts])
    dense = [value for name, value in ratio.items() if name.startswith("dense") and value]
    return {
        "case": case.name,
        "shape": [case.n_out, case.n_in],
        "batch": case.batch,
        "sparsity": case.sparsity,
        "threads": case.threads,
        "lanes": choose_lanes(case.batch, max(case.n_out, case.n_in)),
        "ms": ms,
        "gflops": {part: flop / ms[part] for part in PARTS},
        "limit_fraction": {part: flop / ms[part] / best for part in PARTS},
        "ratio": ratio,
        "dense_speedup": min(dense) if dense else None,
    }


def _ratio(theirs: list[Timing], ours: list[Timing]) -> float | None:
    if max(timing.spread for timing in [*theirs, *ours]) > _WIDE:
        return None
    return sum(t.ms for t in theirs) / sum(t.ms for t in ours)


def table(results: list[dict[str, Any]]) -> str:
    """Return results as a table; see ``heading`` and ``row``.

    Parameters
    ----------
    results : list of dict
        From ``run``.

    Returns
    -------
    str
        Lines.
    """
    return "\n".join([heading(list(results[0]["ratio"])), *map(row, results)])


def heading(names: list[str]) -> str:
    """Return the first line of the table.

    Parameters
    ----------
    names : list of str
        The rivals.

    Returns
    -------
    str
        A line.
    """
    head = f"{'layer':<12}{'batch':>6}{'sparsity':>9}{'fwd + dx + dW ms':>25}{'GFLOP/s':>16}"
    head += f"{'of the limit':>21}"
    return head + "".join(f"{'vs ' + name:>18}" for name in names)


def row(result: dict[str, Any]) -> str:
    """Return the line of one layer.

    Parameters
    ----------
    result : dict
        From ``run``.

    Returns
    -------
    str
        A line.
    """
    ms, rate, part_of = result["ms"], result["gflops"], result["limit_fraction"]
    times = " + ".join(f"{ms[part]:.3f}" for part in PARTS)
    rates = " / ".join(f"{rate[part]:.0f}" for part in PARTS)
    limits = " / ".join(f"{part_of[part]:.2f}" for part in PARTS)
    shape = "x".join(map(str, result["shape"]))
    line = f"{shape:<12}{result['batch']:>6}{result['sparsity']:>9g}{times:>25}{rates:>16}"
    line += f"{limits:>21}"
    for value in result["ratio"].values():
        line += f"{'too noisy' if value is None else f'{value:.2f}x':>18}"
    if result["dense_speedup"] is not None and result["dense_speedup"] < 1:
        line += "  use dense here"
    return line
