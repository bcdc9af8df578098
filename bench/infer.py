"""``bench infer``: predictions of whole networks, one sample or a batch, beside dense ones."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from sparsecpu.bench.ratios import beside_dense, beside_each
from sparsecpu.bench.step_cases import IMAGE, Case
from sparsecpu.bench.steps import Train
from sparsecpu.bench.timing import Timing, compare
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.precision import check_precision


class Rival:
    """Somebody else's prediction of one batch.

    Parameters
    ----------
    case : Case
        The network.
    x : ndarray of float32, shape (batch, features)
        The samples.
    """

    name: ClassVar[str]
    needs: ClassVar[str | None] = None
    #: Whether it counts when the fastest dense one is looked for.
    dense: ClassVar[bool] = True
    #: Whether it predicts convolutional networks, or MLPs.
    images: ClassVar[bool] = False

    def __init__(self, case: Case, x: np.ndarray) -> None:
        self.case, self.x = case, x
        self.setup()

    def setup(self) -> None:
        """Prepare what is not timed."""

    def predict(self) -> object:
        """Return the outputs."""
        raise NotImplementedError


class NumPyInfer(Rival):
    """Plain NumPy on its BLAS."""

    name = "dense NumPy"

    def setup(self) -> None:
        """Make the weights."""
        rng, sizes = np.random.default_rng(0), self.case.sizes
        self.layers = [
            (rng.standard_normal((a, b), dtype=np.float32) / np.float32(a) ** 0.5,
             np.zeros(b, np.float32))
            for a, b in itertools.pairwise(sizes)
        ]  # fmt: skip

    def predict(self) -> object:
        """Multiply, add, cut off."""
        h = self.x
        for weight, bias in self.layers:
            z = h @ weight
            z += bias
            h = np.maximum(z, 0, out=z)
        return z


class TorchInfer(Rival):
    """PyTorch as users write it, under ``inference_mode``."""

    name, needs = "dense PyTorch", "torch"

    def setup(self) -> None:
        """Make the network."""
        import torch

        from sparsecpu.files.interop import torch_network

        torch.set_num_threads(self.case.threads)
        torch.manual_seed(0)
        self.torch, self.network = torch, torch_network(self.case.described()).eval()
        self.tensor = torch.from_numpy(self.x)

    def predict(self) -> object:
        """Run the network."""
        with self.torch.inference_mode():
            return self.network(self.tensor)


class MaskedInfer(TorchInfer):
    """PyTorch as sparse networks are usually kept: weights times their mask, each time."""

    name, dense = "masked PyTorch", False

    def setup(self) -> None:
        """Make masks of 5 %; what they hold does not change the time."""
        super().setup()
        linear = [m for m in self.network if isinstance(m, self.torch.nn.Linear)]
        self.layers = [(m, (self.torch.rand_like(m.weight) < 0.05).float()) for m in linear]

    def predict(self) -> object:
        """Mask, multiply, cut off."""
        with self.torch.inference_mode():
            h = self.tensor
            for layer, mask in self.layers:
                z = self.torch.nn.functional.linear(h, layer.weight * mask, layer.bias)
                h = z.relu()
            return z


class TorchImageInfer(TorchInfer):
    """PyTorch's convolutional network, images as they come."""

    name, images = "PyTorch NCHW", True
    channels_last: ClassVar[bool] = False

    def setup(self) -> None:
        """Make the network."""
        super().setup()
        form = self.torch.channels_last if self.channels_last else self.torch.contiguous_format
        self.network = self.network.to(memory_format=form)
        self.tensor = self.tensor.reshape(-1, *IMAGE).contiguous(memory_format=form)


class TorchLastInfer(TorchImageInfer):
    """The same, channels last."""

    name, channels_last = "PyTorch channels-last", True


#: A new rival is one class and one entry here.
RIVALS: tuple[type[Rival], ...] = (
    NumPyInfer, TorchInfer, MaskedInfer, TorchImageInfer, TorchLastInfer,
)  # fmt: skip


class Ours:
    """A compiled predictor of ours, and SciPy on the same weights.

    Parameters
    ----------
    case : Case
        The network.
    sparsity : float
        1 - density, shared out as the case says.
    x : ndarray of float32, shape (batch, features)
        The samples.
    precision : {"fp32", "bf16", "fp16"}
        How wide layers read their inputs.
    """

    def __init__(self, case: Case, sparsity: float, x: np.ndarray, precision: str = "fp32") -> None:
        described = case.described().sparsify(1 - sparsity, case.distribution)
        self.network = described.build(np.random.default_rng(0))
        self.predictor = self.network.compile(case.batch, threads=case.threads, precision=precision)
        self.x, self.out = x, np.empty((len(x), self.network.n_outputs), np.float32)
        weights = self.network.parameters().values()
        self.matrices = [p.to_scipy() for p in weights if isinstance(p, SparseParameter)]
        self.turned = np.ascontiguousarray(x.T)

    def predict(self) -> object:
        """Return the outputs."""
        return self.predictor(self.x, out=self.out)

    def scipy(self) -> object:
        """Return what SciPy's CSR products give, without biases."""
        h = self.turned
        for matrix in self.matrices:
            z = matrix @ h
            h = np.maximum(z, 0)
        return z


class Infer(Train):
    """Predictions of whole networks."""

    name = "infer"
    title = "a prediction: samples in the users' order in, outputs out (compiled predictor)"

    def setup(self) -> None:
        """Look for the rivals."""
        here = [r for r in RIVALS if not r.needs or importlib.util.find_spec(r.needs)]
        self.by_kind = {kind: [r for r in here if r.images == kind] for kind in (False, True)}
        how = "pip install 'sparsecpu[peers]'"
        self.missing = {r.name: how for r in RIVALS if r not in here}
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)

    def cases(self) -> list[Case]:
        """Return the networks, at each batch size."""
        names = self.options.get("models") or self.pick(
            ["lenet-300-100", "truly-sparse"],
            ["lenet-300-100", "mlp-1000-1000", "truly-sparse", "vgg16-small"],
            ["lenet-300-100", "mlp-1000-1000", "nerva", "truly-sparse", "vgg16-small", "resnet-18"],
        )
        sparsities = tuple(self.options.get("sparsities") or (0.9, 0.95, 0.98))
        batches = [self.options["batch"]] if self.options.get("batch") else [1, 16, 128]
        return [
            dataclasses.replace(self._case(name, sparsities), batch=batch)
            for name in names
            for batch in batches
        ]

    def run(self, case: Case) -> dict[str, Any]:
        """Time one network; see ``Benchmark.run``.

        Parameters
        ----------
        case : Case
            What to time.

        Returns
        -------
        dict
            ``network, batch, threads, rival_ms``, and per sparsity ``ms``, ``quartiles``, ``nnz``,
            ``samples_per_second``, ``ratio`` and ``least_ratio`` by rival, and what
            ``beside_dense`` says.
        """
        from threadpoolctl import threadpool_limits

        from sparsecpu.kernels.machine.threads import use_threads

        x = np.random.default_rng(1).standard_normal((case.batch, case.sizes[0]), dtype=np.float32)
        rivals = self.by_kind[bool(case.model)]
        with use_threads(case.threads), threadpool_limits(case.threads):
            ours = {s: Ours(case, s, x, self.precision) for s in case.sparsities}
            contestants: dict[str, Callable[[], object]] = {
                f"ours/{s}": made.predict for s, made in ours.items()
            }
            if not case.model:
                contestants |= {f"SciPy/{s}": made.scipy for s, made in ours.items()}
            contestants |= {f"{r.name}/step": r(case, x).predict for r in rivals}
            rounds = self.options.get("rounds") or self.pick(3, 5, 9)
            budget = self.pick(6.0, 30.0, np.inf)
            times = compare(contestants, rounds=rounds, seconds=0.02, budget=budget)
        return {
            "network": str(case), "batch": case.batch, "threads": case.threads,
            "distribution": case.distribution, "precision": self.precision,
            "rival_ms": {r.name: times[f"{r.name}/step"].ms for r in rivals},
            "results": [self._row(s, made, times, case) for s, made in ours.items()],
        }  # fmt: skip

    def _row(self, sparsity, made, times: dict[str, Timing], case: Case) -> dict[str, Any]:
        rivals, mine = self.by_kind[bool(case.model)], times[f"ours/{sparsity}"]
        dense = {r.name: [times[f"{r.name}/step"]] for r in rivals if r.dense}
        theirs = {r.name: times[f"{r.name}/step"] for r in rivals}
        if not case.model:
            theirs["SciPy"] = times[f"SciPy/{sparsity}"]
        return {
            "sparsity": sparsity, "nnz": made.network.nnz, "ms": mine.ms,
            "quartiles": [mine.low, mine.high], "samples_per_second": 1e3 * case.batch / mine.ms,
            **beside_each(theirs, mine), **beside_dense(dense, [mine]),
        }  # fmt: skip

    def _names(self) -> list[str]:
        kinds = sorted({bool(case.model) for case in self.cases()})
        names = [r.name for kind in kinds for r in self.by_kind[kind]]
        return names if kinds == [True] else [*names, "SciPy"]

    def row(self, result: dict[str, Any]) -> str:
        """Return the lines of one network and batch; see ``Benchmark.row``.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            One line per sparsity, and the rivals' milliseconds.
        """
        lines = super().row(result).splitlines()
        single = max(result["results"], key=lambda found: found["samples_per_second"])
        lines[-1] += f"; ours up to {single['samples_per_second']:,.0f} samples/s"
        return "\n".join(lines)
