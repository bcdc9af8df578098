"""``bench accuracy``: test accuracy over seconds, dense and sparse, one after the other."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsecpu.bench.cases import checked_sparsities
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.rivals.numpy_mlp import THREAD_VARIABLES
from sparsecpu.errors import ParameterError, SparseCPUError

#: How far below the dense network's accuracy a network still counts as equally good.
TOLERANCE = 0.003


class Accuracy(Benchmark):
    """How many seconds of training a network needs to be as good as the dense one.

    Every contestant trains alone, in a process of its own, with the same data, batches, epochs,
    momentum, decay and schedule (scikit-learn's learning rate is constant). Sparse ones start with
    an empty kernel cache: compiling is part of their time.
    """

    name = "accuracy"
    title = "test accuracy over seconds of training; compiling counts"

    def setup(self) -> None:
        self.hidden = self.options.get("hidden") or self.pick("300,100", "1000,1000", "4000,4000")
        try:
            if min(int(size) for size in self.hidden.split(",")) < 1:
                raise ValueError
        except ValueError:
            raise ParameterError("hidden", self.hidden, "sizes such as 1000,1000") from None
        self.samples = self.options.get("samples") or self.pick(8_000, 20_000, 60_000)
        self.epochs = self.options.get("epochs") or self.pick(4, 8, 10)
        self.topology = self.options.get("topology") or "sparse-momentum"
        self.sparsities = checked_sparsities(self.options.get("sparsities") or (0.9, 0.95, 0.98))
        self.seed = self.options.get("seed") or 0
        for name in ("samples", "epochs"):
            if getattr(self, name) < 1:
                raise ParameterError(name, getattr(self, name), "an integer of at least 1")
        self._folder: Any = None

    def cases(self) -> list[dict[str, Any]]:
        from sparsecpu.experiments.recipe import Recipe

        common = {
            "hidden": self.hidden, "epochs": self.epochs, "batch": 128, "learning_rate": 0.05,
            "seed": self.seed, "threads": self.threads,
        }  # fmt: skip
        found = []
        if importlib.util.find_spec("torch") is None:
            self.missing["PyTorch"] = "pip install '.[peers]'"
        else:
            found.append({"kind": "pytorch", "density": 1.0, "topology": "", **common})
        found.append({"kind": "scikit-learn", "density": 1.0, "topology": "", **common})
        for sparsity in self.sparsities:
            density = round(1 - sparsity, 10)
            # Refuses what is not valid before anything is trained.
            Recipe(model=self.hidden, density=density, topology=self.topology)
            case = {"kind": "sparsecpu", "density": density, "topology": self.topology, **common}
            found.append(case)
        return found

    def _data(self) -> str:
        """Return the file with the samples of all contestants, made at the first call."""
        if self._folder is None:
            from sparsecpu.datasets import open_data
            from sparsecpu.step.samples import as_samples

            self._folder = tempfile.TemporaryDirectory()
            data = open_data("digits28", samples=self.samples)
            samples = as_samples(data.x_train, data.x_test.shape[1], np.float32)
            x, rows = samples.take_samples(np.arange(self.samples))
            np.savez(
                Path(self._folder.name) / "data.npz", x_train=x[rows], y_train=data.y_train,
                x_test=data.x_test, y_test=data.y_test,
            )  # fmt: skip
        return str(Path(self._folder.name) / "data.npz")

    def run(self, case: dict[str, Any]) -> dict[str, Any]:
        environment = dict(os.environ)
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(self.threads)))
        with tempfile.TemporaryDirectory() as cache:
            environment["NUMBA_CACHE_DIR"] = cache
            done = subprocess.run(
                [sys.executable, "-m", "sparsecpu.bench.rivals.training"],
                input=json.dumps({**case, "data": self._data()}),
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            words = (done.stderr.strip() or "no message").splitlines()[-1]
            raise SparseCPUError(f"{case['kind']} at density {case['density']:g}: {words}")
        return {**case, **json.loads(done.stdout)}

    def heading(self) -> str:
        return (
            f"784-{self.hidden.replace(',', '-')}-10, digits28, {self.samples:,} samples, "
            f"{self.epochs} epochs\n"
            f"{'contestant':<34}{'weights':>12}{'seconds':>9}{'compiling':>11}{'accuracy %':>12}"
            f"{'best %':>9}"
        )

    def row(self, result: dict[str, Any]) -> str:
        return (
            f"{label(result):<34}{result['nnz']:>12,}{result['seconds'][-1]:>9.1f}"
            f"{result['compile_seconds']:>11.1f}{100 * result['accuracy'][-1]:>12.2f}"
            f"{100 * max(result['accuracy']):>9.2f}"
        )

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        self._folder = None
        dense = [r for r in results if r["kind"] != "sparsecpu"]
        reference = dense[0]
        target = reference["accuracy"][-1] - TOLERANCE
        times = {label(r): reached(r, target) for r in results}
        dense_seconds = times[label(reference)]
        lines = [
            "",
            f"seconds to {100 * target:.2f} %, which is {100 * TOLERANCE:.1f} points below what "
            f"{label(reference)} reaches:",
        ]
        for name, seconds in times.items():
            ratio = f"{dense_seconds / seconds:.1f}x" if seconds and dense_seconds else ""
            lines.append(
                f"  {name:<34}" + (f"{seconds:8.1f} {ratio:>8}" if seconds else "   never")
            )
        lines.append(
            "One training each: differences of a few tenths of a point are noise (360 test digits)."
        )
        return {"target": target, "times": times}, lines


def label(result: dict[str, Any]) -> str:
    """Return a contestant's name: the library, or the algorithm and the sparsity."""
    if result["kind"] != "sparsecpu":
        return {"pytorch": "PyTorch, dense"}.get(result["kind"], f"{result['kind']}, dense")
    return f"{result['topology']}, {1 - result['density']:.0%} sparse"


def reached(result: dict[str, Any], target: float) -> float | None:
    """Return the seconds until an epoch ended at the target accuracy, or None for never."""
    pairs = zip(result["seconds"], result["accuracy"], strict=True)
    return next((seconds for seconds, accuracy in pairs if accuracy >= target), None)
