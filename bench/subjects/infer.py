"""``bench infer``: predictions of whole networks, one sample or a batch, beside dense ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from sparsecpu.bench.cases import NetworkCase, Variant
from sparsecpu.bench.measuring.precisions import beside_precisions
from sparsecpu.bench.measuring.speedups import beside_each
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.generation import OurToken
from sparsecpu.bench.ours.predictions import OurPrediction
from sparsecpu.bench.rivals.predictions import RIVALS
from sparsecpu.bench.subjects.networks import NetworkBenchmark

_SCIPY = "SciPy"


class Infer(NetworkBenchmark):
    """Predictions of whole networks."""

    name = "infer"
    title = "a prediction: samples in the users' order in, outputs out (compiled predictor)"
    rivals = RIVALS

    def cases(self) -> list[NetworkCase]:
        names = self.options.get("models") or self.pick(
            ["lenet-300-100", "truly-sparse"],
            ["lenet-300-100", "mlp-1000-1000", "truly-sparse", "vgg16-small"],
            ["lenet-300-100", "mlp-1000-1000", "nerva", "truly-sparse", "vgg16-small", "resnet-18"],
        )
        sparsities = self.options.get("sparsities") or (0.9, 0.95, 0.98)
        asked = self.options.get("batch")
        cases = []
        for name in names:
            text = self.case(name, sparsities, 1).text
            batches = [asked] if asked else [1, 8] if text else [1, 16, 128]
            cases += [self.case(name, sparsities, batch) for batch in batches]
        return cases

    def run(self, case: NetworkCase) -> dict[str, Any]:
        x, make = _inputs(case), OurToken if case.text else OurPrediction
        rivals = self.rivals_of(case)
        with limited_threads(case.threads):
            ours = {v: make(case, v, x, self.precision) for v in case.variants()}
            contestants: dict[str, Callable[[], object]] = {
                f"ours/{variant}": made.predict for variant, made in ours.items()
            }
            contestants |= {
                f"{_SCIPY}/{variant}": made.scipy for variant, made in ours.items()
                if isinstance(made, OurPrediction) and not case.images
            }  # fmt: skip
            contestants |= {f"{rival.name}/step": rival(case, x).predict for rival in rivals}
            budget = self.budget(6.0, 30.0)
            times = compare(contestants, rounds=self.rounds, seconds=0.02, budget=budget)
        return {
            "network": str(case), "batch": case.batch, "threads": case.threads,
            "distribution": case.distribution, "precision": self.precision,
            "rival_ms": {rival.name: times[f"{rival.name}/step"].ms for rival in rivals},
            "results": [self._figures(v, made, times, case) for v, made in ours.items()],
        }  # fmt: skip

    def _figures(
        self,
        variant: Variant,
        made: OurPrediction | OurToken,
        times: dict[str, Timing],
        case: NetworkCase,
    ) -> dict[str, Any]:
        rivals, ours = self.rivals_of(case), times[f"ours/{variant}"]
        theirs = {rival.name: times[f"{rival.name}/step"] for rival in rivals}
        beside = beside_precisions(rivals, {name: [t] for name, t in theirs.items()}, [ours])
        if not (case.images or case.text):
            theirs[_SCIPY] = times[f"{_SCIPY}/{variant}"]
        return {
            **asdict(variant), "nnz": made.network.nnz, "ms": ours.ms,
            "quartiles": [ours.low, ours.high], "samples_per_second": 1e3 * case.batch / ours.ms,
            **beside_each(theirs, ours), **beside,
        }  # fmt: skip

    def columns(self) -> list[str]:
        some_mlp = not all(case.images or case.text for case in self.cases())
        return [*super().columns(), *([_SCIPY] if some_mlp else [])]

    def rivals_times(self, result: dict[str, Any]) -> list[str]:
        most = max(found["samples_per_second"] for found in result["results"])
        return [*super().rivals_times(result), f"ours up to {most:,.0f} samples/s"]


def _inputs(case: NetworkCase) -> np.ndarray:
    """Return a batch of samples, or one token for each stream."""
    rng = np.random.default_rng(1)
    if case.text:
        return rng.integers(0, case.sizes[1], case.batch)
    return rng.standard_normal((case.batch, case.sizes[0]), dtype=np.float32)
