"""``bench train``: whole training steps, gather to update, beside the same network dense."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from sparsecpu.bench.base import Benchmark
from sparsecpu.bench.layer_clock import least_times
from sparsecpu.bench.step_cases import DECAY, IMAGE, MOMENTUM, NETWORKS, RATE, Batches, Case
from sparsecpu.bench.step_rivals import RIVALS, Rival
from sparsecpu.bench.timing import Timing, compare, fastest, ratio, shown

from sparsecpu.errors import ParameterError
from sparsecpu.models import find_model
from sparsecpu.workspace import check_precision


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
        self.batches, self.source = batches, network.source(batches.x)
        self.targets = self.trainer.loss.prepare(batches.y, case.sizes[-1])

    def step(self) -> None:
        """Gather, forward, loss, backward, update."""
        self.trainer.step(self.source, self.targets, self.batches.next())

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return the parts of a step, each on what the one before left behind."""
        trainer, network = self.trainer, self.trainer.network
        ctx, rows = trainer._ctx, self.batches.order[0]
        lanes = network.lanes(len(rows))
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


class Train(Benchmark):
    """Whole steps of whole networks."""

    name = "train"
    title = "a training step: gather, forward, loss, backward, update (SGD, Nesterov, weight decay)"

    def setup(self) -> None:
        """Look for the rivals."""
        here = [r for r in RIVALS if not r.needs or importlib.util.find_spec(r.needs)]
        self.by_kind = {kind: [r for r in here if r.images == kind] for kind in (False, True)}
        self.missing = {r.name: r.how for r in RIVALS if r not in here}
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
            ``sizes, batch, threads, rival_ms``, and per sparsity ``ms``, ``quartiles``, ``nnz``,
            ``ratio`` by rival, ``dense_speedup`` over the fastest dense one and, where asked for,
            ``profile``: the share of each part; and ``least_ms``: the least milliseconds by kind
            of layer and pass.
        """
        from threadpoolctl import threadpool_limits

        from sparsecpu.kernels.threads import use_threads

        batches = Batches(case)
        ours = {s: Ours(case, s, batches, self.precision) for s in case.sparsities}
        rivals = self.by_kind[bool(case.model)]
        theirs = {
            (rival, sparsity): rival(case, batches, sparsity)
            for rival in rivals
            for sparsity in (case.sparsities if rival.sparse else (0.0,))
        }
        contestants: dict[str, Callable[[], object]] = {
            f"ours/{s}": made.step for s, made in ours.items()
        }
        contestants |= {_turn(r, s): made.step for (r, s), made in theirs.items()}
        rounds = self.options.get("rounds") or self.pick(3, 5, 9)
        with use_threads(case.threads), threadpool_limits(case.threads):
            budget = self.pick(15.0, 60.0, np.inf)
            times = compare(contestants, rounds=rounds, seconds=0.02, budget=budget)
            results = [self._one(s, made, times, rivals, rounds) for s, made in ours.items()]
        return {
            "network": str(case), "sizes": list(case.sizes), "batch": case.batch,
            "threads": case.threads, "distribution": case.distribution,
            "precision": self.precision,
            "rival_ms": {_column(r, s): times[_turn(r, s)].ms for r, s in theirs},
            "results": results,
        }  # fmt: skip

    def _one(self, sparsity, made, times: dict[str, Timing], rivals, rounds) -> dict[str, Any]:
        mine = times[f"ours/{sparsity}"]
        dense = {r.name: [times[f"{r.name}/step"]] for r in rivals if r.dense}
        name, clear = fastest(dense) if dense else (None, False)
        found: dict[str, Any] = {
            "sparsity": sparsity, "nnz": made.trainer.network.nnz, "ms": mine.ms,
            "quartiles": [mine.low, mine.high], "fastest_dense": name,
            "dense_speedup": ratio(dense[name], [mine]) if clear else None,
            "ratio": {r.name: ratio([times[_turn(r, sparsity)]], [mine]) for r in rivals},
        }  # fmt: skip
        if self.options.get("profile"):
            parts = {f"ours/{name}": call for name, call in made.parts().items()}
            spent = {n.partition("/")[2]: t.ms for n, t in compare(parts, rounds=rounds).items()}
            found["profile"] = {name: ms / sum(spent.values()) for name, ms in spent.items()}
            found["least_ms"] = least_times(made.trainer.network, made.step)
        return found

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
            line += f"{shown(found['dense_speedup']):>10}"
            for rival in self._names():
                value = shown(found["ratio"][rival]) if rival in found["ratio"] else "-"
                line += f"{value:>{max(len(rival) + 3, 10)}}"
            if found["dense_speedup"] is not None and found["dense_speedup"] < 1:
                line += "  use dense here"
            if "profile" in found:
                line += "  " + ", ".join(f"{n} {v:.0%}" for n, v in found["profile"].items())
            lines.append(line)
            least = found.get("least_ms", {})
            for first in range(0, len(least), 4):
                some = list(least.items())[first : first + 4]
                words = "least ms " if first == 0 else ""
                lines.append(f"{words:>30}" + ", ".join(f"{n} {ms:.3g}" for n, ms in some))
        spent = ", ".join(f"{rival} {ms:.3f} ms" for rival, ms in result["rival_ms"].items())
        return "\n".join([*lines, f"{'':<24}{spent}"])
