"""``bench train``: whole training steps, gather to update, beside the same network dense."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from sparsecpu.bench.cases import NETWORKS, Batches, NetworkCase, Variant
from sparsecpu.bench.measuring.precisions import beside_precisions
from sparsecpu.bench.measuring.speedups import beside_each
from sparsecpu.bench.measuring.step_clock import StepClock
from sparsecpu.bench.measuring.timing import Timing, compare, limited_threads
from sparsecpu.bench.ours.steps import OurStep
from sparsecpu.bench.rivals.step_process import StepProcess
from sparsecpu.bench.rivals.steps import RIVALS, StepRival
from sparsecpu.bench.subjects.networks import NetworkBenchmark
from sparsecpu.experiments.tables import Table, folded

#: Steps that take more seconds than this are timed in stretches as well.
_LONG = 0.03
#: Layers that take a smaller fraction of a step are not listed.
_SMALL = 0.005
#: Steps of a profile, and of a measurement of memory.
_PROFILED_STEPS, _MEASURED_STEPS = 7, 3


class Train(NetworkBenchmark):
    """Whole steps of whole networks."""

    name = "train"
    title = (
        "a training step: gather, forward, loss, backward, update (SGD, Nesterov, weight decay; of "
        "language models AdamW)"
    )
    rivals = RIVALS

    def cases(self) -> list[NetworkCase]:
        names = self.options.get("models") or self.pick(
            ["lenet-300-100", "mlp-1000-1000"], list(NETWORKS), list(NETWORKS)
        )
        sparsities = self.options.get("sparsities") or (0.9, 0.95, 0.98, 0.99)
        return [self.case(name, sparsities, self.options.get("batch")) for name in names]

    def run(self, case: NetworkCase) -> dict[str, Any]:
        batches, rivals = Batches(case), self.rivals_of(case)
        ours = {v: OurStep(case, v, batches, self.precision) for v in case.variants()}
        theirs = {
            (rival, variant): rival(case, batches, variant)
            for rival in rivals
            for variant in (case.variants() if rival.sparse else (Variant(0.0),))
        }
        contestants: dict[str, OurStep | StepRival] = {f"ours/{v}": o for v, o in ours.items()}
        contestants |= {_key(*which): rival for which, rival in theirs.items()}
        with limited_threads(case.threads):
            with ExitStack() as stack:
                for rival in theirs.values():
                    stack.callback(rival.close)
                calls = {name: _call(made, stack) for name, made in contestants.items()}
                times = compare(
                    calls, rounds=self.rounds, seconds=0.02, budget=self.budget(15.0, 60.0)
                )
            results = [_figures(v, made, times, rivals) for v, made in ours.items()]
            if self.options.get("profile"):
                for found, made in zip(results, ours.values(), strict=True):
                    found |= _profile(made, self.rounds)
        return {
            "network": str(case), "sizes": list(case.sizes), "batch": case.batch,
            "tokens": case.tokens, "threads": case.threads, "distribution": case.distribution,
            "precision": self.precision, **_rivals_figures(list(theirs), times, calls),
            "peak_mb": self._peak_memory(case) if self.options.get("memory") else {},
            "results": results,
        }  # fmt: skip

    def _peak_memory(self, case: NetworkCase) -> dict[str, float]:
        """Return the peak of each contestant's memory in MB, in processes of their own."""
        rivals = [r for r in self.rivals_of(case) if r.needs == "torch" and r.here]
        found = {}
        for contestant in ["ours", *(rival.name for rival in rivals)]:
            process = StepProcess(contestant, case, next(case.variants()), self.precision)
            for _ in range(_MEASURED_STEPS):
                process.step()
            found[contestant] = process.peak() / 1e6
            process.close()
        return found

    def lines(self, table: Table, result: dict[str, Any]) -> list[str]:
        lines = []
        for found in result["results"]:
            parts = ", ".join(f"{n} {part:.0%}" for n, part in found.get("profile", {}).items())
            tokens = result["tokens"]
            rate = f"{1e3 * tokens / found['ms']:,.0f} tokens/s" if tokens else ""
            lines.append(self.line(table, result, found, parts, rate))
            lines += _layer_lines("ours", found.get("layers_ms", {}))
        if self.options.get("profile"):
            for rival, layers in result["rival_layers_ms"].items():
                lines += _layer_lines(rival, layers)
        return lines

    def rivals_times(self, result: dict[str, Any]) -> list[str]:
        memory = ", ".join(f"{name} {mb:.0f} MB" for name, mb in result["peak_mb"].items())
        return super().rivals_times(result) + ([f"peak memory: {memory}"] if memory else [])


def _key(rival: type[StepRival], variant: Variant) -> str:
    """Return what ``compare`` calls a rival; a dense one is the same at every sparsity."""
    return f"{rival.name}/{variant if rival.sparse else 'step'}"


def _label(rival: type[StepRival], variant: Variant) -> str:
    return f"{rival.name} at {variant}" if rival.sparse else rival.name


def _call(made: OurStep | StepRival, stack: ExitStack) -> Callable[[], object]:
    """Return the function to time: the step, or a clock around it where it is long."""
    made.step()
    start = time.perf_counter()
    made.step()
    if time.perf_counter() - start < _LONG:
        return made.step
    clock = StepClock(made.step)
    stack.enter_context(made.watched(clock))
    return clock


def _figures(
    variant: Variant, made: OurStep, times: dict[str, Timing], rivals: list[type[StepRival]]
) -> dict[str, Any]:
    """Return our times, beside those of the rivals."""
    our_times = times[f"ours/{variant}"]
    theirs = {rival.name: times[_key(rival, variant)] for rival in rivals}
    beside = beside_precisions(rivals, {name: [t] for name, t in theirs.items()}, [our_times])
    return {
        **asdict(variant), "nnz": made.network.nnz, "ms": our_times.ms,
        "least_ms": our_times.least, "quartiles": [our_times.low, our_times.high],
        **beside_each(theirs, our_times), **beside,
    }  # fmt: skip


def _rivals_figures(
    rivals: list[tuple[type[StepRival], Variant]],
    times: dict[str, Timing],
    calls: dict[str, Callable[[], object]],
) -> dict[str, Any]:
    """Return the rivals' times, and by kind of layer those of rivals whose steps are long."""
    labels = {_label(*which): _key(*which) for which in rivals}
    clocks = {label: calls[key] for label, key in labels.items()}
    return {
        "rival_ms": {label: times[key].ms for label, key in labels.items()},
        "rival_least_ms": {label: times[key].least for label, key in labels.items()},
        "rival_layers_ms": {
            label: clock.by_name()
            for label, clock in clocks.items()
            if isinstance(clock, StepClock)
        },
    }


def _profile(made: OurStep, rounds: int) -> dict[str, Any]:
    """Return the fraction of each part of a step, and its least milliseconds by kind of layer."""
    parts = {f"ours/{name}": call for name, call in made.parts().items()}
    spent = {name.partition("/")[2]: t.ms for name, t in compare(parts, rounds=rounds).items()}
    clock = StepClock(made.step)
    with made.watched(clock):
        for _ in range(_PROFILED_STEPS):
            clock()
    profile = {name: ms / sum(spent.values()) for name, ms in spent.items()}
    return {"profile": profile, "layers_ms": clock.by_name()}


def _layer_lines(contestant: str, layers: dict[str, float]) -> list[str]:
    """Return lines with the least times by kind of layer, without small ones."""
    total = sum(layers.values())
    each = ", ".join(f"{name} {ms:.3g}" for name, ms in layers.items() if ms > _SMALL * total)
    return folded(f"    {contestant}, least ms: {each}", "      ").split("\n") if each else []
