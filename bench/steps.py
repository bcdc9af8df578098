"""``bench train``: whole training steps, gather to update, beside the same network dense."""

from __future__ import annotations

import importlib.util
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import numpy as np

from sparsecpu.bench.apart import Apart
from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.layer_clock import StepClock, watched
from sparsecpu.bench.ratios import (
    beside_dense,
    beside_each,
    dense_is_faster,
    shown,
    shown_beside_dense,
)
from sparsecpu.bench.step_cases import DECAY, IMAGE, MOMENTUM, NETWORKS, RATE, Batches, Case
from sparsecpu.bench.step_rivals import RIVALS, Rival
from sparsecpu.bench.timing import Timing, compare
from sparsecpu.errors import ParameterError
from sparsecpu.networks.models import find_model
from sparsecpu.step.precision import check_precision

#: Steps that take longer than so many seconds are timed in stretches as well.
_LONG = 0.03
#: What takes a smaller part of a step is not shown.
_SMALL = 0.005
#: Turns of a profile.
_TURNS = 7


class Ours:
    """A training step of ours.

    Parameters
    ----------
    case : Case
        The network.
    sparsity : float
        1 - density, shared out as the case says.
    batches : Batches
        The samples.
    precision : {"fp32", "bf16", "fp16"}
        How layers read their inputs.
    """

    def __init__(
        self, case: Case, sparsity: float, batches: Batches, precision: str = "fp32"
    ) -> None:
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.optimizers import SGD
        from sparsecpu.trainer import Trainer

        shares = case.described().sparsify(1 - sparsity, case.distribution)
        network = shares.build(np.random.default_rng(0))
        self.trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(),
            optimizer=SGD(MOMENTUM, weight_decay=DECAY), learning_rate=RATE,
            batch_size=case.batch, epochs=1, threads=case.threads, precision=precision,
        )  # fmt: skip
        self.batches, self.source = batches, network.samples(batches.x)
        self.targets = self.trainer.loss.prepare(batches.y, case.sizes[-1])

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        self.trainer.step(self.source, self.targets, self.batches.next())

    def watched(self, clock: StepClock) -> AbstractContextManager[None]:
        """Tell a clock what its steps are doing.

        Parameters
        ----------
        clock : StepClock
            Whom to tell.

        Returns
        -------
        context manager
            While it lasts.
        """
        return watched(self.trainer.network, self.trainer.optimizer, clock)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return the parts of a step, each on what the one before left behind."""
        trainer, network = self.trainer, self.trainer.network
        rows = self.batches.order[0]
        ctx, lanes = trainer._context_of(rows, rows), network.lanes(len(rows))
        x = network.gather(self.source, rows, lanes, ctx)
        z, saved = network.forward(x, ctx)
        _, dz = trainer.loss(z, rows, self.targets, ctx)
        parameters = list(network.parameters().values())
        return {
            "gather": lambda: network.gather(self.source, self.batches.next(), lanes, ctx),
            "forward": lambda: network.forward(x, ctx),
            "loss": lambda: trainer.loss(z, rows, self.targets, ctx),
            "backward": lambda: network.backward(dz, saved, ctx),
            "update": lambda: trainer.optimizer.step(parameters, 0.0, 0),
        }


def _turn(rival: type[Rival], sparsity: float) -> str:
    """Return the name of a rival's turns; those of dense ones are the same for all sparsities."""
    return f"{rival.name}/{sparsity if rival.sparse else 'step'}"


def _column(rival: type[Rival], sparsity: float) -> str:
    return f"{rival.name} at {sparsity:g}" if rival.sparse else rival.name


def _call(made: Ours | Rival, stack: ExitStack) -> Callable[[], object]:
    """Return what does a step; long ones are timed in stretches."""
    made.step()
    start = time.perf_counter()
    made.step()
    if time.perf_counter() - start < _LONG:
        return made.step
    clock = StepClock(made.step)
    stack.enter_context(made.watched(clock))
    return clock


def _profile(made: Ours, rounds: int) -> dict[str, Any]:
    """Return the share of each part of a step, and its least milliseconds by kind of layer."""
    parts = {f"ours/{name}": call for name, call in made.parts().items()}
    spent = {name.partition("/")[2]: t.ms for name, t in compare(parts, rounds=rounds).items()}
    clock = StepClock(made.step)
    with made.watched(clock):
        for _ in range(_TURNS):
            clock()
    shares = {name: ms / sum(spent.values()) for name, ms in spent.items()}
    return {"profile": shares, "layers_ms": clock.by_name()}


class Train(Benchmark):
    """Whole steps of whole networks."""

    name = "train"
    title = "a training step: gather, forward, loss, backward, update (SGD, Nesterov, weight decay)"

    def setup(self) -> None:
        """Look for the rivals."""
        wanted = set(self.options.get("rivals") or ())
        if wanted - {r.name for r in RIVALS}:
            expected = ", ".join(r.name for r in RIVALS)
            raise ParameterError("rival", ", ".join(sorted(wanted)), expected)
        rivals = [r for r in RIVALS if r.name in wanted or not wanted]
        here = [
            r for r in rivals
            if (not r.needs or importlib.util.find_spec(r.needs)) and r.usable()
        ]  # fmt: skip
        self.by_kind = {kind: [r for r in here if r.images == kind] for kind in (False, True)}
        self.missing = {r.name: r.how for r in rivals if r not in here}
        self.precision = check_precision(self.options.get("precision", "fp32"), np.float32)

    def cases(self) -> list[Case]:
        """Return the networks."""
        names = self.options.get("models") or self.pick(
            ["lenet-300-100", "mlp-1000-1000"], list(NETWORKS), list(NETWORKS)
        )
        sparsities = tuple(self.options.get("sparsities") or (0.9, 0.95, 0.98, 0.99))
        return [self._case(name, sparsities) for name in names]

    def _case(self, name: str, sparsities: tuple[float, ...]) -> Case:
        model = ""
        if name in NETWORKS:
            sizes, batch = NETWORKS[name]
        elif find_model(name) is not None:
            sizes, batch, model = (math.prod(IMAGE), 10), 128, name
        else:
            try:
                sizes, batch = tuple(int(size) for size in name.split("-")), 128
            except ValueError:
                sizes, batch = (), 0
            if len(sizes) < 2 or min(sizes) < 1:
                expected = f"one of {', '.join(NETWORKS)}, or sizes such as 784-300-10"
                raise ParameterError("model", name, expected)
        batch = self.options.get("batch") or batch
        shares = self.options.get("distribution") or ("uniform" if model else "erk")
        return Case(sizes, batch, sparsities, self.threads, model, shares)

    def run(self, case: Case) -> dict[str, Any]:
        """Time one network; see ``Benchmark.run``.

        Parameters
        ----------
        case : Case
            What to time.

        Returns
        -------
        dict
            ``sizes, batch, threads, rival_ms, rival_least_ms, peak_mb`` (where memory is asked
            for), and per sparsity ``ms``,
            ``least_ms``, ``quartiles``, ``nnz``, ``ratio`` and ``least_ratio`` by rival, what
            ``beside_dense`` says and, where asked for, ``profile``: the share of each part; and
            ``layers_ms``: the least milliseconds by kind of layer and pass. ``rival_layers_ms`` has
            those of rivals whose steps are long.
        """
        from threadpoolctl import threadpool_limits

        from sparsecpu.kernels.machine.threads import use_threads

        batches = Batches(case)
        ours = {s: Ours(case, s, batches, self.precision) for s in case.sparsities}
        rivals = self.by_kind[bool(case.model)]
        theirs = {
            (rival, sparsity): rival(case, batches, sparsity)
            for rival in rivals
            for sparsity in (case.sparsities if rival.sparse else (0.0,))
        }
        everybody: dict[str, Ours | Rival] = {f"ours/{s}": made for s, made in ours.items()}
        everybody |= {_turn(r, s): made for (r, s), made in theirs.items()}
        rounds = self.options.get("rounds") or self.pick(3, 5, 9)
        with use_threads(case.threads), threadpool_limits(case.threads):
            budget = self.pick(15.0, 60.0, np.inf)
            with ExitStack() as stack:
                for rival in theirs.values():
                    stack.callback(rival.close)
                calls = {name: _call(made, stack) for name, made in everybody.items()}
                times = compare(calls, rounds=rounds, seconds=0.02, budget=budget)
            results = [self._one(s, made, times, rivals) for s, made in ours.items()]
            if self.options.get("profile"):
                for found, made in zip(results, ours.values(), strict=True):
                    found |= _profile(made, rounds)
        memory = self._memory(case) if self.options.get("memory") else {}
        return {
            "network": str(case), "sizes": list(case.sizes), "batch": case.batch,
            "threads": case.threads, "distribution": case.distribution,
            "precision": self.precision,
            "rival_ms": {_column(r, s): times[_turn(r, s)].ms for r, s in theirs},
            "rival_least_ms": {_column(r, s): times[_turn(r, s)].least for r, s in theirs},
            "rival_layers_ms": {
                _column(r, s): call.by_name()
                for r, s in theirs
                if isinstance(call := calls[_turn(r, s)], StepClock)
            },
            "peak_mb": memory, "results": results,
        }  # fmt: skip

    def _memory(self, case: Case) -> dict[str, float]:
        """Return the megabytes that steps take at most, each in a process of its own."""
        rivals = [r for r in self.by_kind[bool(case.model)] if r.needs == "torch" and r.here]
        found = {}
        for who in ["ours", *(rival.name for rival in rivals)]:
            apart = Apart(who, case, case.sparsities[0], self.precision)
            for _ in range(3):
                apart.step()
            found[who] = apart.peak() / 1e6
            apart.close()
        return found

    def _one(self, sparsity, made, times: dict[str, Timing], rivals) -> dict[str, Any]:
        mine = times[f"ours/{sparsity}"]
        dense = {r.name: [times[f"{r.name}/step"]] for r in rivals if r.dense}
        theirs = {rival.name: times[_turn(rival, sparsity)] for rival in rivals}
        return {
            "sparsity": sparsity, "nnz": made.trainer.network.nnz, "ms": mine.ms,
            "least_ms": mine.least, "quartiles": [mine.low, mine.high],
            **beside_each(theirs, mine), **beside_dense(dense, [mine]),
        }  # fmt: skip

    def heading(self) -> str:
        """Return the table's first line."""
        head = f"{'network':<24}{'batch':>6}{'spars.':>7}{'ours ms':>9}{'vs dense':>10}"
        return head + "".join(f"{name:>{max(len(name) + 3, 10)}}" for name in self._names())

    def _names(self) -> list[str]:
        """Return the rivals that have a column: those of the kinds of networks that are timed."""
        kinds = {bool(case.model) for case in self.cases()}
        return [r.name for kind in sorted(kinds) for r in self.by_kind[kind]]

    def row(self, result: dict[str, Any]) -> str:
        """Return the lines of one network; see ``Benchmark.row``.

        Parameters
        ----------
        result : dict
            From ``run``.

        Returns
        -------
        str
            One line per sparsity, and the rivals' milliseconds.
        """
        name = result["network"]
        lines = []
        for found in result["results"]:
            line = f"{name:<24}{result['batch']:>6}{found['sparsity']:>7g}{found['ms']:>9.3f}"
            line += f"{shown_beside_dense(found):>10}"
            for rival in self._names():
                ratios = (found[kind].get(rival) for kind in ("ratio", "least_ratio"))
                value = shown(*ratios) if rival in found["ratio"] else "-"
                line += f"{value:>{max(len(rival) + 3, 10)}}"
            line += dense_is_faster(found)
            if "profile" in found:
                line += "  " + ", ".join(f"{n} {v:.0%}" for n, v in found["profile"].items())
            lines.append(line)
            lines += _least_lines("ours", found.get("layers_ms", {}))
        if self.options.get("profile"):
            for rival, layers in result["rival_layers_ms"].items():
                lines += _least_lines(rival, layers)
        spent = ", ".join(f"{rival} {ms:.3f} ms" for rival, ms in result["rival_ms"].items())
        lines.append(f"{'':<24}{spent}")
        if result["peak_mb"]:
            memory = ", ".join(f"{who} {mb:.0f} MB" for who, mb in result["peak_mb"].items())
            lines.append(f"{'':<24}most memory: {memory}")
        return "\n".join(lines)


def _least_lines(who: str, layers: dict[str, float]) -> list[str]:
    """Return the least times by kind of layer, four to a line, but for the smallest."""
    total = sum(layers.values())
    lines, each = [], [f"{name} {ms:.3g}" for name, ms in layers.items() if ms > _SMALL * total]
    for first in range(0, len(each), 4):
        words = f"{who}, least ms " if first == 0 else ""
        lines.append(f"{words:>36}{', '.join(each[first : first + 4])}")
    return lines
