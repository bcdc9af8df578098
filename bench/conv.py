"""``bench conv``: sparse convolutions beside PyTorch's dense ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.ratios import beside_dense, dense_is_faster, known, shown, shown_beside_dense
from sparsecpu.bench.timing import compare
from sparsecpu.errors import ParameterError
from sparsecpu.kernels.machine.arrays import aligned_copy
from sparsecpu.layers import SparseConv2d, Spec
from sparsecpu.layers.images.planes import Planes
from sparsecpu.step.context import Context

PARTS = ("forward", "dx+dw")
#: Products of each part: for every nonzero and pixel, a multiplication and an addition.
_PRODUCTS = {"forward": 1, "dx+dw": 2}
_LANES = 16
_LAYOUTS = ("NCHW", "channels-last")


@dataclass(frozen=True)
class Case:
    """One shape, at several sparsities.

    Parameters
    ----------
    channels, filters, side, kernel, stride, batch : int
        Sizes.
    sparsities : tuple of float
        1 - density.
    threads : int
        Threads of everybody.
    """

    channels: int
    filters: int
    side: int
    kernel: int
    stride: int
    batch: int
    sparsities: tuple[float, ...]
    threads: int

    def __str__(self) -> str:
        stride = f"/{self.stride}" if self.stride > 1 else ""
        kernel = f"{self.kernel}x{self.kernel}{stride}"
        return f"{self.channels}-{self.filters} {kernel} {self.side}x{self.side}"


class Sparse:
    """Our layer; putting the weights in the order of the taps counts, both ways.

    Parameters
    ----------
    case : Case
        The shape.
    sparsity : float
        1 - density.
    """

    def __init__(self, case: Case, sparsity: float) -> None:
        rng = np.random.default_rng(0)
        self.layer = SparseConv2d(
            case.channels, case.filters, case.kernel, stride=case.stride, padding=case.kernel // 2,
            density=1 - sparsity, bias=False, rng=rng,
        )  # fmt: skip
        spec = self.layer.plan(Spec((case.channels, case.side, case.side), needs_gradient=True))
        self.ctx = Context(n_valid=case.batch)
        self.macs = self.layer.weight.nnz * spec.shape[1] * spec.shape[2] * case.batch
        tiles = -(-case.batch // _LANES)

        def planes(channels: int, height: int, width: int) -> Planes:
            shape = (tiles, height, channels, width, _LANES)
            return Planes(aligned_copy(rng.standard_normal(shape, dtype=np.float32)))

        self.x, self.dy = planes(case.channels, case.side, case.side), planes(*spec.shape)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return forward and backward, as the layer makes them."""
        layer, ctx = self.layer, self.ctx
        return {
            "forward": lambda: layer.forward(self.x, ctx),
            "dx+dw": lambda: layer.backward(self.dy, self.x, ctx),
        }


class Dense:
    """PyTorch's convolution, forward and backward, in one of its layouts.

    Parameters
    ----------
    case : Case
        The shape.
    layout : {"NCHW", "channels-last"}
        How its images lie in memory.
    """

    def __init__(self, case: Case, layout: str) -> None:
        import torch

        torch.set_num_threads(case.threads)
        form = torch.contiguous_format if layout == "NCHW" else torch.channels_last
        sizes = case.batch, case.channels, case.side, case.side
        x = torch.randn(sizes).contiguous(memory_format=form)
        w = torch.randn(case.filters, case.channels, case.kernel, case.kernel)
        w = w.contiguous(memory_format=form)
        settings = {"stride": case.stride, "padding": case.kernel // 2}
        self.forward = lambda: torch.nn.functional.conv2d(x, w, **settings)
        dy = torch.randn_like(self.forward())
        edge, step = [case.kernel // 2] * 2, [case.stride] * 2
        backward = torch.ops.aten.convolution_backward
        self.backward = lambda: backward(
            dy, x, w, None, step, edge, [1, 1], False, [0, 0], 1, [True, True, False]
        )

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return forward, and dx and dW in one."""
        return {"forward": self.forward, "dx+dw": self.backward}


class SparsePropConv:
    """SparseProp's convolution, forward and backward as its modules do them under PyTorch.

    Parameters
    ----------
    case : Case
        The shape.
    ours : Sparse
        Has the weights.
    over : bool
        Which of its two forms: vectorised over samples, or over pixels.
    """

    def __init__(self, case: Case, ours: Sparse, over: bool) -> None:
        import torch
        from sparseprop.modules import SparseConv2d as Theirs

        weight, pattern = torch.zeros(ours.layer.weight.shape), ours.layer.weight.pattern
        weight.numpy()[pattern.rows(), pattern.indices] = ours.layer.weight.data
        filters = weight.reshape(case.filters, case.channels, case.kernel, case.kernel)
        layer = Theirs(filters, None, case.kernel // 2, case.stride, over)
        x = torch.randn(case.batch, case.channels, case.side, case.side, requires_grad=True)
        y = layer(x)
        dy, wanted = torch.randn_like(y), [x, layer.W_val]
        self.forward = lambda: layer(x)
        self.backward = lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return forward, and dx and dW in one."""
        return {"forward": self.forward, "dx+dw": self.backward}


class Conv(Benchmark):
    """Forward, dx and dW of single convolutions."""

    name = "conv"
    title = (
        "one convolution: y = W * x, dx and dW at the nonzeros (no normalisation on either side)"
    )

    def setup(self) -> None:
        """Look for PyTorch."""
        self.layouts = _LAYOUTS if importlib.util.find_spec("torch") else ()
        if not self.layouts:
            self.missing = {"dense PyTorch": "pip install 'sparsecpu[peers]'"}
        self.with_sparseprop = bool(self.layouts and importlib.util.find_spec("sparseprop"))
        if not self.with_sparseprop:
            self.missing["SparseProp"] = "build https://pypi.org/project/sparseprop by hand (Linux)"

    def cases(self) -> list[Case]:
        """Return shapes times sparsities."""
        small = ["64-64-32-3", "256-256-8-3"]
        many = ["64-64-32-3", "128-128-16-3", "256-256-8-3", "512-512-4-3"]
        more = [*many, "64-128-32-3-2", "256-256-16-1", "512-512-8-1"]
        shapes = self.options.get("shapes") or self.pick(small, more, more)
        sparsities = tuple(self.options.get("sparsities") or (0.9, 0.95, 0.98))
        for sparsity in sparsities:
            if not 0 <= sparsity < 1:
                raise ParameterError("sparsity", sparsity, "a number in [0, 1)")
        batches = [self.options.get("batch") or 32]
        if self.scope == "full" and not self.options.get("batch"):
            batches = [32, 128]
        sizes = [_parse(shape) for shape in shapes]
        return [Case(*s, batch, sparsities, self.threads) for batch in batches for s in sizes]

    def run(self, case: Case) -> dict[str, Any]:
        """Time one shape; see ``Benchmark.run``.

        Parameters
        ----------
        case : Case
            What to time.

        Returns
        -------
        dict
            ``case, batch, threads, rival_ms``, and ``results``: per sparsity ``nnz``, ``ms`` per
            part and in all, ``gflops`` at the nonzeros, ``dense_speedup`` over PyTorch's faster
            layout and ``sparseprop_speedup`` over SparseProp's faster form (null where a median is
            too vague).
        """
        from threadpoolctl import threadpool_limits

        from sparsecpu.kernels.machine.threads import use_threads

        ours = {sparsity: Sparse(case, sparsity) for sparsity in case.sparsities}
        contestants = {
            f"ours/{part}@{sparsity}": call
            for sparsity, made in ours.items()
            for part, call in made.parts().items()
        }
        for layout in self.layouts:
            parts = Dense(case, layout).parts()
            contestants |= {f"dense {layout}/{part}": call for part, call in parts.items()}
        if self.with_sparseprop:
            for sparsity, made in ours.items():
                for over in (False, True):
                    parts = SparsePropConv(case, made, over).parts()
                    name = _theirs(sparsity, over)
                    contestants |= {f"{name}/{part}": call for part, call in parts.items()}
        with use_threads(case.threads), threadpool_limits(case.threads):
            rounds = self.options.get("rounds") or self.pick(3, 5, 9)
            budget = self.pick(15.0, 40.0, np.inf)
            times = compare(contestants, rounds=rounds, budget=budget)
        dense = {
            layout: [times[f"dense {layout}/{part}"] for part in ("forward", "dx+dw")]
            for layout in self.layouts
        }
        results = []
        for sparsity, made in ours.items():
            mine = {part: times[f"ours/{part}@{sparsity}"] for part in PARTS}
            ms = {part: timing.ms for part, timing in mine.items()}
            found = {
                "sparsity": sparsity, "nnz": made.layer.weight.nnz,
                "ms": {**ms, "total": sum(ms.values())},
                "gflops": {
                    part: 2e-6 * _PRODUCTS[part] * made.macs / spent for part, spent in ms.items()
                },
                **beside_dense(dense, list(mine.values())),
            }  # fmt: skip
            if self.with_sparseprop:
                forms = {
                    name: [times[f"{name}/{part}"] for part in ("forward", "dx+dw")]
                    for name in (_theirs(sparsity, over) for over in (False, True))
                }
                beside = beside_dense(forms, list(mine.values()))
                name = beside["fastest_dense"]
                found["sparseprop_speedup"] = beside["dense_speedup"]
                found["sparseprop_least_speedup"] = beside["least_speedup"]
                found["sparseprop_ms"] = sum(timing.ms for timing in forms[name])
            results.append(found)
        rivals = {layout: sum(t.ms for t in parts) for layout, parts in dense.items()}
        return {"case": str(case), "batch": case.batch, "threads": case.threads,
                "rival_ms": rivals, "results": results}  # fmt: skip

    def heading(self) -> str:
        """Return the table's first line."""
        head = f"{'layer':<24}{'batch':>6}{'spars.':>7}{'fwd + (dx and dW) ms':>31}{'GFLOP/s':>13}"
        head += f"{'vs dense':>10}"
        head += f"{'SparseProp':>12}" if self.with_sparseprop else ""
        return head + "  dense PyTorch, ms"

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
        rivals = ", ".join(f"{name} {ms:.1f}" for name, ms in result["rival_ms"].items())
        lines = []
        for found in result["results"]:
            times = " + ".join(f"{found['ms'][part]:.2f}" for part in PARTS)
            rates = "/".join(f"{found['gflops'][part]:.0f}" for part in PARTS)
            line = f"{result['case']:<24}{result['batch']:>6}{found['sparsity']:>7g}{times:>31}"
            line += f"{rates:>13}{shown_beside_dense(found):>10}"
            if self.with_sparseprop:
                ratios = (found[f"sparseprop_{kind}"] for kind in ("speedup", "least_speedup"))
                line += f"{shown(*ratios):>12}"
            lines.append(f"{line}  {rivals}{dense_is_faster(found)}")
        return "\n".join(lines)

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        """Return the geometric mean over the shapes; see ``Benchmark.verdict``.

        Parameters
        ----------
        results : list of dict
            All of them.

        Returns
        -------
        tuple
            Values and lines.
        """
        found: dict[float, list[float]] = {}
        for result in results:
            for one in result["results"]:
                speedup = known(one)
                if speedup is not None:
                    found.setdefault(one["sparsity"], []).append(speedup)
        means = {s: float(np.exp(np.mean(np.log(ratios)))) for s, ratios in found.items()}
        lines = [
            f"sparsity {sparsity:g}: {means[sparsity]:.2f}x in the geometric mean of "
            f"{len(ratios)} ratio(s), {min(ratios):.2f}x to {max(ratios):.2f}x"
            for sparsity, ratios in sorted(found.items())
        ]
        return {"geometric_mean": {str(s): mean for s, mean in means.items()}}, lines


def _theirs(sparsity: float, over: bool) -> str:
    """Return the name of a form of SparseProp's, at a sparsity."""
    return f"SparseProp {'pixels' if over else 'samples'} {sparsity:g}"


def _parse(shape: str) -> tuple[int, int, int, int, int]:
    expected = "IN-OUT-SIDE-KERNEL or IN-OUT-SIDE-KERNEL-STRIDE, such as 64-128-32-3-2"
    try:
        sizes = tuple(int(part) for part in shape.split("-"))
    except ValueError:
        raise ParameterError("shape", shape, expected) from None
    sizes = (*sizes, 1) if len(sizes) == 4 else sizes
    if len(sizes) != 5 or min(sizes) < 1:
        raise ParameterError("shape", shape, expected)
    channels, filters, side, kernel, stride = sizes
    return channels, filters, side, kernel, stride
