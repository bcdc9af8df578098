"""``bench linear``: sparse layers beside dense ones and beside other people's sparse kernels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.limits import Loads
from sparsecpu.bench.ratios import (
    beside_dense,
    dense_is_faster,
    known,
    least_ratio,
    ratio,
    shown,
    shown_beside_dense,
)
from sparsecpu.bench.rivals import present
from sparsecpu.bench.timing import Timing, compare
from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.arrays import aligned_copy, aligned_empty
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.sparse.row_blocks import effective_width, uncut_bytes
from sparsecpu.step.context import Context
from sparsecpu.step.lanes import choose_lanes
from sparsecpu.step.precision import check_precision, sixteen_bit_copy

PARTS = ("forward", "dx", "dw")
#: Other sparse kernels are timed from this sparsity on; below it they are slow for everybody.
_WORTH_TRYING = 0.8
#: Weights of a large layer.
_LARGE = 4_000_000


@dataclass(frozen=True)
class Case:
    """One shape of layer to time, at several sparsities beside the same dense rivals.

    Parameters
    ----------
    n_out, n_in, batch : int
        Sizes.
    sparsities : tuple of float
        1 - density.
    threads : int
        Threads of everybody.
    """

    n_out: int
    n_in: int
    batch: int
    sparsities: tuple[float, ...]
    threads: int


class Sparse:
    """Our kernels; the refresh of the transposed values counts as part of dx.

    Parameters
    ----------
    case : Case
        The shape.
    sparsity : float
        1 - density.
    lanes : int, optional
        Width of the tiles; as training would choose by default.
    blocked : bool
        Whether wide rows are cut into blocks of columns, as training does.
    precision : {"fp32", "bf16", "fp16"}
        How x is read, and, unless it is fp32, dy as bf16. Writing the copies counts.
    """

    def __init__(
        self,
        case: Case,
        sparsity: float,
        lanes: int | None = None,
        blocked: bool = True,
        precision: str = "fp32",
    ) -> None:
        rng = np.random.default_rng(0)
        shape, self.batch = (case.n_out, case.n_in), case.batch
        nnz = max(1, round(case.n_out * case.n_in * (1 - sparsity)))
        values = rng.standard_normal(nnz, dtype=np.float32)
        self.weight = SparseParameter(Pattern.random(shape, nnz, rng), values)
        widest = max(effective_width(n, n * (1 - sparsity)) for n in shape)
        self.lanes = lanes or choose_lanes(case.batch, widest)
        tiles = -(-case.batch // self.lanes)
        self.x = aligned_copy(rng.standard_normal((tiles, case.n_in, self.lanes), dtype=np.float32))
        self.dy = aligned_copy(
            rng.standard_normal((tiles, case.n_out, self.lanes), dtype=np.float32)
        )
        self.y, self.dx = aligned_empty(self.dy.shape, "f4"), aligned_empty(self.x.shape, "f4")
        self.bias, self.none = np.zeros(case.n_out, "f4"), np.empty(0, "f4")
        self.precision, self.ctx = precision, Context()
        row_bytes = (4 if precision == "fp32" else 2) * self.lanes if blocked else 1
        pattern = self.weight.pattern
        self.cuts, self.turned = pattern.blocks(row_bytes), pattern.transposed.blocks(row_bytes)
        self.chunks = pattern.chunks_of(row_bytes)
        self.turned_chunks = pattern.transposed.chunks_of(row_bytes)

    def _read(self, name: str, again: bool = False) -> np.ndarray:
        """Return x or dy as it is read; dW reads again what forward has written."""
        array = getattr(self, name)
        if self.precision == "fp32":
            return array
        form = self.precision if name == "x" else "bf16"
        if again:
            from sparsecpu.kernels.vectors.sixteen_bits import narrow_shape

            return self.ctx.workspace.array(name, form, *narrow_shape(array.shape, form))
        return sixteen_bit_copy(self.ctx.workspace, name, array, form)

    def forward(self) -> None:
        """Compute y."""
        from sparsecpu.kernels.linear import RELU, matmul_kernel

        p = self.weight.pattern
        matmul_kernel(self.lanes)(
            *self.cuts, p.indices, self.weight.data, self._read("x"), self.bias, self.y, self.y,
            RELU, self.chunks,
        )  # fmt: skip

    def input_gradient(self) -> None:
        """Compute dx, transposed values refreshed."""
        from sparsecpu.kernels.linear import GATED, matmul_kernel
        from sparsecpu.kernels.update import refresh

        t, values = self.weight.pattern.transposed, self.weight.transposed_memory()
        refresh(self.weight.data, t.perm, values)
        matmul_kernel(self.lanes)(
            *self.turned,
            t.indices,
            values,
            self._read("dy"),
            self.none,
            self.x,
            self.dx,
            GATED,
            self.turned_chunks,
        )

    def weight_gradient(self) -> None:
        """Compute dW and the bias gradient."""
        from sparsecpu.kernels.linear import gradient_kernel

        p = self.weight.pattern
        gradient_kernel(self.lanes)(
            *self.cuts,
            p.indices,
            self._read("x", again=True),
            self.dy,
            self.weight.grad,
            self.bias,
            self.chunks,
        )

    def parts(self) -> dict[str, Callable[[], None]]:
        """Return the three computations."""
        return {
            "forward": self.forward, "dx": self.input_gradient, "dw": self.weight_gradient
        }  # fmt: skip

    def limit(self) -> Loads:
        """Return the loads that limit it: one tile, or one block of its columns."""
        width = self.weight.shape[1] // len(self.cuts[0])
        return Loads(min(width * self.lanes * 4, 2 * uncut_bytes()), lanes=self.lanes)


class Linear(Benchmark):
    """Forward, dx and dW of single layers."""

    name = "linear"
    title = "one layer: y = W x, dx = W' dy and dW at the nonzeros"

    def setup(self) -> None:
        """Look for the rivals."""
        self.rivals, self.missing = present()
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)

    def cases(self) -> list[Case]:
        """Return shapes times sparsities."""
        shapes = self.options.get("shapes") or self.pick(
            ["1024x1024"], ["300x784", "1024x1024", "4096x4096"],
            ["300x784", "1024x1024", "1000x4000", "2048x2048", "4096x4096"],
        )  # fmt: skip
        sparsities = self.options.get("sparsities") or self.pick(
            [0.5, 0.9, 0.95, 0.99], [0.5, 0.8, 0.9, 0.95, 0.98, 0.99],
            [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99],
        )  # fmt: skip
        batches = [self.options.get("batch") or 128]
        if self.scope == "full" and not self.options.get("batch"):
            batches = [32, 128, 512]
        every = tuple(_check(sparsity) for sparsity in sparsities)
        cases = [Case(*_parse(s), b, every, self.threads) for b in batches for s in shapes]
        if self.scope == "full" or self.options.get("sparsities"):
            return cases
        # Large layers far below break-even would take most of the time to say the least.
        return [
            replace(c, sparsities=tuple(s for s in every if s >= 0.9))
            if c.n_out * c.n_in > _LARGE else c for c in cases
        ]  # fmt: skip

    def run(self, case: Case) -> dict[str, Any]:
        """Time one shape beside its rivals; see ``Benchmark.run``.

        Parameters
        ----------
        case : Case
            What to time.

        Returns
        -------
        dict
            ``n_out, n_in, batch, threads, precision``, and ``results``: per sparsity
            ``nnz, lanes, blocks``; ``ms`` per part and in all, with ``quartiles``; ``gflops`` at
            the nonzeros and ``limit_fraction``, those over the rate of random loads of float32; per
            rival ``rival_ms``, ``ratio`` (over the parts that it has; null where a median is
            too vague) and ``least_ratio``; ``dense_ms`` and what ``beside_dense`` says.
        """
        from threadpoolctl import threadpool_limits

        from sparsecpu.kernels.machine.threads import use_threads

        contestants, ours, loads = {}, {}, {}
        for sparsity in case.sparsities:
            made = ours[sparsity] = Sparse(case, sparsity, precision=self.precision)
            limit = loads[sparsity] = made.limit()
            parts = {**made.parts(), "limit": limit.call()}
            contestants |= {f"ours/{k}@{sparsity}": call for k, call in parts.items()}
        for rival in self.rivals:
            for sparsity in _timed_at(rival, case):
                matrix = ours[sparsity].weight.to_scipy()
                parts = rival(matrix, case.batch, case.threads).parts()
                contestants |= {f"{rival.name}/{k}@{sparsity}": c for k, c in parts.items()}
        with use_threads(case.threads), threadpool_limits(case.threads):
            rounds = self.options.get("rounds") or self.pick(3, 5, 9)
            budget = self.pick(20.0, 60.0, np.inf)
            times = compare(contestants, rounds=rounds, budget=budget)
        results = []
        for sparsity, made in ours.items():
            best = loads[sparsity].gflops(times[f"ours/limit@{sparsity}"].ms) * case.threads
            mine = {part: times[f"ours/{part}@{sparsity}"] for part in PARTS}
            result = {"sparsity": sparsity, **_our_figures(made, mine, best)}
            results.append(result | self._beside(case, sparsity, times, mine))
        sizes = {"n_out": case.n_out, "n_in": case.n_in, "batch": case.batch}
        sizes |= {"threads": case.threads, "precision": self.precision}
        return {**sizes, "results": results}

    def _beside(self, case, sparsity, times, ours: dict[str, Timing]) -> dict[str, Any]:
        """Return milliseconds and ratios per rival, and the speed-up over the fastest dense."""
        rival_ms, ratios, least, dense = {}, {}, {}, {}
        for rival in self.rivals:
            at = _timed_at(rival, case)
            at = at[0] if rival.once else sparsity if sparsity in at else None
            head, tail = f"{rival.name}/", f"@{at}"
            found = {n: t for n, t in times.items() if n.startswith(head) and n.endswith(tail)}
            theirs = {n.removeprefix(head).removesuffix(tail): t for n, t in found.items()}
            covered = {part for name in theirs for part in name.split("+")}
            rival_ms[rival.name] = {name: t.ms for name, t in theirs.items()}
            mine = [ours[p] for p in PARTS if p in covered]
            ratios[rival.name] = ratio(theirs.values(), mine) if theirs else None
            least[rival.name] = least_ratio(theirs.values(), mine) if theirs else None
            if rival.dense:
                dense[rival.name] = list(theirs.values())
        found = beside_dense(dense, list(ours.values()))
        spent = sum(t.ms for t in dense[found["fastest_dense"]])
        ratios = {"ratio": ratios, "least_ratio": least}
        return {"rival_ms": rival_ms, **ratios, "dense_ms": spent, **found}

    def heading(self) -> str:
        """Return the table's first line."""
        head = f"{'layer':<10}{'batch':>6}{'spars.':>7}{'fwd + dx + dW ms':>31}{'GFLOP/s':>13}"
        head += f"{'of the limit':>18}{'vs dense':>10}"
        return head + "".join(f"{r.name:>{max(len(r.name) + 3, 10)}}" for r in self.rivals)

    def row(self, result: dict[str, Any]) -> str:
        """Return the lines of one shape; see ``Benchmark.row``.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            One line per sparsity.
        """
        return "\n".join(self._line(result, found) for found in result["results"])

    def _line(self, result: dict[str, Any], found: dict[str, Any]) -> str:
        times = " + ".join(f"{found['ms'][part]:.3f}" for part in PARTS)
        rates = "/".join(f"{found['gflops'][part]:.0f}" for part in PARTS)
        limits = "/".join(f"{found['limit_fraction'][part]:.2f}" for part in PARTS)
        shape = f"{result['n_out']}x{result['n_in']}"
        line = f"{shape:<10}{result['batch']:>6}{found['sparsity']:>7g}{times:>31}{rates:>13}"
        line += f"{limits:>18}{shown_beside_dense(found):>10}"
        for name, value in found["ratio"].items():
            text = shown(value, found["least_ratio"][name]) if found["rival_ms"][name] else "-"
            line += f"{text:>{max(len(name) + 3, 10)}}"
        return line + dense_is_faster(found)

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Return the break-even sparsity of each shape; see ``Benchmark.verdict``.

        Parameters
        ----------
        results : list of dict
            All of them.

        Returns
        -------
        tuple
            Values and lines.
        """
        lines, values = [], {}
        for result in results:
            found, measured = break_even(result["results"])
            name = f"{result['n_out']}x{result['n_in']}, batch {result['batch']}"
            if found is None:
                lines.append(f"{name}: too few clear ratios to say where it breaks even")
                continue
            values[name] = {"sparsity": found, "measured": measured}
            how = "" if measured else " (extrapolated)"
            if found <= 0:
                lines.append(f"{name}: sparse is faster at every sparsity that was measured")
            else:
                lines.append(f"{name}: break-even at {found:.0%} sparsity{how}; below, use dense")
        return {"break_even": values}, lines


def _timed_at(rival: Any, case: Case) -> tuple[float, ...]:
    """Return the sparsities at which a rival is timed: sparse ones where sparsity could pay."""
    if rival.once:
        return case.sparsities[:1]
    return tuple(s for s in case.sparsities if s >= _WORTH_TRYING)


def _our_figures(made: Sparse, mine: dict[str, Timing], best: float) -> dict[str, Any]:
    """Return what is ours alone: times, rates, and the part of the limit that they reach."""
    nnz = made.weight.nnz
    ms = {part: timing.ms for part, timing in mine.items()}
    flop = 2e-6 * nnz * made.batch  # per part, in units of GFLOP/s times ms
    gflops = {part: flop / ms[part] for part in PARTS}
    return {
        "nnz": nnz, "lanes": made.lanes, "blocks": len(made.cuts[0]),
        "ms": {**ms, "total": sum(ms.values())},
        "quartiles": {part: [t.low, t.high] for part, t in mine.items()},
        "gflops": gflops, "limit_gflops": best,
        "limit_fraction": {part: rate / best for part, rate in gflops.items()},
    }  # fmt: skip


def break_even(results: list[dict[str, Any]]) -> tuple[float | None, bool]:
    """Return the sparsity from which on the sparse layer is faster than the fastest dense one.

    Our time is nearly linear in the density, so it is interpolated in that.

    Parameters
    ----------
    results : list of dict
        Of one layer at two or more sparsities.

    Returns
    -------
    sparsity : float or None
        None where there is too little to go by: ratios that are too noisy do not count.
    measured : bool
        Whether it lies between two measured sparsities.
    """
    shares = [(1 - r["sparsity"], known(r)) for r in results]
    points = sorted((density, 1 / speedup) for density, speedup in shares if speedup is not None)
    for (d0, share0), (d1, share1) in itertools.pairwise(points):
        if share0 <= 1 < share1:
            return 1 - (d0 + (d1 - d0) * (1 - share0) / (share1 - share0)), True
    if len(points) < 2:
        return None, False
    (d0, share0), (d1, share1) = points[-2:] if points[-1][1] <= 1 else points[:2]
    if share1 <= share0:
        return None, False
    return 1 - (d0 + (d1 - d0) * (1 - share0) / (share1 - share0)), False


def _parse(shape: str) -> tuple[int, int]:
    try:
        n_out, n_in = (int(part) for part in shape.lower().split("x"))
    except ValueError:
        raise ParameterError("shape", shape, "OUTxIN, such as 1024x784") from None
    if n_out < 1 or n_in < 1:
        raise ParameterError("shape", shape, "OUTxIN, such as 1024x784")
    return n_out, n_in


def _check(sparsity: float) -> float:
    if not 0 <= sparsity < 1:
        raise ParameterError("sparsity", sparsity, "a number in [0, 1)")
    return sparsity
