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

from sparsecpu.bench.cases import checked_groups, checked_sparsities
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.rivals.dense_children import THREAD_VARIABLES
from sparsecpu.errors import ParameterError, SparseCPUError
from sparsecpu.experiments.tables import Column, Table
from sparsecpu.kernels.machine.compile import compile_clock
from sparsecpu.step.precision import check_precision

#: How far below the dense network's accuracy a network still counts as equally good.
TOLERANCE = 0.003


class Accuracy(Benchmark):
    """How many seconds of training a network needs to be as good as the dense one.

    Every contestant trains alone, in a process of its own, with the same data, batches, epochs,
    momentum, decay and schedule (scikit-learn's learning rate is constant). Before its clock starts
    it trains on a few batches: kernels are compiled then, or read from the cache, and all sparse
    contestants share them.
    """

    name = "accuracy"
    title = "test accuracy over seconds of training; all have warmed up before the clock starts"

    def setup(self) -> None:
        self.hidden = self.options.get("hidden") or self.pick("500,300", "1000,1000", "4000,4000")
        try:
            if min(int(size) for size in self.hidden.split(",")) < 1:
                raise ValueError
        except ValueError:
            raise ParameterError("hidden", self.hidden, "sizes such as 1000,1000") from None
        self.samples = self.options.get("samples") or self.pick(8_000, 20_000, 60_000)
        self.epochs = self.options.get("epochs") or self.pick(4, 8, 10)
        self.topology = self.options.get("topology") or "sparse-momentum"
        self.sparsities = checked_sparsities(self.options.get("sparsities") or (0.9, 0.95, 0.98))
        self.groups = checked_groups(self.options.get("group"), (1, 4))
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)
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
        found: list[dict[str, Any]] = []
        if importlib.util.find_spec("torch") is None:
            self.missing["PyTorch"] = "pip install 'sparsecpu[peers]'"
        else:
            found += [{"kind": "pytorch", "precision": p} for p in self._dense_precisions()]
        found.append({"kind": "scikit-learn", "precision": "fp32"})
        found = [{"density": 1.0, "topology": "", "group": 1, **case} for case in found]
        for sparsity in self.sparsities:
            density = round(1 - sparsity, 10)
            # Refuses what is not valid before anything is trained.
            Recipe(model=self.hidden, density=density, topology=self.topology)
            ours = {"kind": "sparsecpu", "density": density, "topology": self.topology}
            found += [{**ours, "precision": self.precision, "group": g} for g in self.groups]
        return [{**case, **common} for case in found]

    def _dense_precisions(self) -> list[str]:
        if not self.options.get("no_dense_bf16"):
            return ["fp32", "bf16"]
        self.missing["PyTorch in bf16"] = "left out by --no-dense-bf16"
        return ["fp32"]

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
        done = subprocess.run(
            [sys.executable, "-m", "sparsecpu.bench.rivals.training"],
            input=json.dumps({**case, "data": self._data()}),
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            words = (done.stderr.strip() or "no message").splitlines()[-1]
            raise SparseCPUError(f"{case['kind']} at density {case['density']:g}: {words}")
        result = json.loads(done.stdout)
        compile_clock.seconds += result["compile_seconds"]  # which that process compiled for us
        return {**case, **result}

    def table(self) -> Table:
        return Table([
            Column("contestant", 38, left=True), Column("weights", 9), Column("step ms", 9),
            Column("seconds", 8), Column("right %", 8), Column("best %", 7),
            Column("compiling s", 12, below="compiling"),
        ])  # fmt: skip

    def heading(self) -> str:
        about = (
            f"784-{self.hidden.replace(',', '-')}-10, digits28, {self.samples:,} samples, "
            f"{self.epochs} epochs"
        )
        return f"{about}\n{super().heading()}"

    def row(self, result: dict[str, Any]) -> str:
        return self.table().row([
            label(result), f"{result['nnz']:,}", f"{result['step_ms']:.3f}",
            f"{result['seconds'][-1]:.1f}", f"{100 * result['accuracy'][-1]:.2f}",
            f"{100 * max(result['accuracy']):.2f}",
            f"{result['compile_seconds']:.1f} s" if result["compile_seconds"] else "",
        ])  # fmt: skip

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        self._folder = None
        dense = [r for r in results if r["kind"] != "sparsecpu"]
        reference = dense[0]
        target = reference["accuracy"][-1] - TOLERANCE
        times = {label(r): reached(r, target) for r in results}
        theirs = [label(r) for r in dense if r["kind"] == reference["kind"]]
        lines = [
            "",
            f"seconds to {100 * target:.2f} %, {100 * TOLERANCE:.1f} points below what "
            f"{label(reference)} reaches at",
            f"the end; how many times as fast as {' and '.join(theirs)}",
        ]
        for name, seconds in times.items():
            if not seconds:
                lines.append(f"  {name:<38}   never")
                continue
            known = [times[other] for other in theirs]
            ratios = [f"{other / seconds:>8.1f}x" if other else f"{'-':>9}" for other in known]
            lines.append(f"  {name:<38}{seconds:8.2f}{''.join(ratios)}")
        lines += ["", *self._bought(results, times)]
        return {"target": target, "times": times}, lines

    def _bought(self, results: list[dict[str, Any]], times: dict[str, Any]) -> list[str]:
        """Return in words what sparsity bought in this race, or that it bought nothing."""
        ours = {label(r): r for r in results if r["kind"] == "sparsecpu"}
        rivals = [label(r) for r in results if r["kind"] != "sparsecpu"]
        lines = []
        first = min((n for n in ours if times[n]), key=lambda n: times[n], default=None)
        best = min((n for n in rivals if times[n]), key=lambda n: times[n])
        if first is None:
            lines.append("No sparse network gets there in so few epochs: sparsity bought nothing.")
        else:
            ratio = times[best] / times[first]
            won = f"{ratio:.1f} times as fast as" if ratio >= 1 else f"{1 / ratio:.1f} times behind"
            lines += [f"The first sparse one there is {first},", f"{won} {best}."]
        dense = min((r for r in results if label(r) in rivals), key=lambda r: r["step_ms"])
        if ours:
            name, quickest = min(ours.items(), key=lambda item: item[1]["step_ms"])
            points = 100 * (dense["accuracy"][-1] - quickest["accuracy"][-1])
            more = f"{abs(points):.1f} points {'less' if points > 0 else 'more'} accurate."
            ratio = dense["step_ms"] / quickest["step_ms"]
            lines += [f"The quickest steps are those of {name},"]
            lines += [f"{ratio:.1f} times as quick as {label(dense)}, and {more}"]
        return [*lines, "One training each: tenths of a point are noise (360 test digits)."]


def label(result: dict[str, Any]) -> str:
    """Return a contestant's name: the library, or the algorithm, the sparsity and the group."""
    rounded = f" {result['precision']}" if result["precision"] != "fp32" else ""
    if result["kind"] != "sparsecpu":
        library = {"pytorch": "PyTorch"}.get(result["kind"], result["kind"])
        return f"{library}, dense{rounded}"
    grouped = f", group {result['group']}" if result["group"] > 1 else ""
    return f"{result['topology']}, {1 - result['density']:.0%} sparse{grouped}{rounded}"


def reached(result: dict[str, Any], target: float) -> float | None:
    """Return the seconds until an epoch ended at the target accuracy, or None for never."""
    pairs = zip(result["seconds"], result["accuracy"], strict=True)
    return next((seconds for seconds, accuracy in pairs if accuracy >= target), None)
