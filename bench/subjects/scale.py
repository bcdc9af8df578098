"""``bench scale``: time and memory as width grows at fixed connections per neuron."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np

from sparsecpu.bench.cases import checked_groups
from sparsecpu.bench.measuring.benchmark import Benchmark
from sparsecpu.bench.measuring.cache_loads import level_of
from sparsecpu.bench.measuring.machine import peak_memory, start_of_peak
from sparsecpu.bench.measuring.timing import summarise
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.tables import Column, Table
from sparsecpu.reading.memory import free_memory

_INPUTS, _OUTPUTS, _PER_NEURON, _LAYERS, _BATCH = 256, 10, 8, 5, 16
_UPDATE_EVERY = 4
#: Hidden neurons of the smallest case.
_LEAST = 1000
#: Hidden neurons of the cases beyond the doublings.
_LARGE = (2_000_000, 5_000_000, 10_000_000, 20_000_000, 50_000_000)


class Scale(Benchmark):
    """Steps of MLPs with five hidden layers and eight connections per neuron."""

    name = "scale"
    title = (
        f"steps at {_PER_NEURON} connections per neuron, {_LAYERS} hidden layers, batch {_BATCH}; "
        "update: what a change of the topology costs beyond its steps"
    )

    def cases(self) -> list[tuple[int, int, bool]]:
        """Return numbers of hidden neurons, each in groups, and with stored gradients or lean."""
        wanted = self.options.get("neurons") or ()
        if wanted and min(wanted) < _LEAST:
            raise ParameterError("neurons", min(wanted), f"an integer of at least {_LEAST}")
        sizes = list(wanted)
        if not sizes:
            sizes = [_LEAST * 2**k for k in range(self.pick(7, 10, 10))]
            sizes += self.pick((), (1_000_000,), (1_000_000, *_LARGE))
        groups = checked_groups(self.options.get("group"))
        return [(n, group, lean) for n in sizes for group in groups for lean in (False, True)]

    def run(self, case: tuple[int, int, bool]) -> dict[str, Any]:
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.networks.memory_estimate import bytes_per_connection, estimate

        neurons, group, lean = case
        found = {"neurons": neurons, "group": group, "lean": lean, "threads": self.threads}
        described = _describe(neurons, group)
        need, free = estimate(described, _BATCH, lean=lean).total, free_memory()
        if free is not None and need > free:
            return {**found, "skipped": f"needs {need / 1e9:.1f} GB of {free / 1e9:.1f} GB"}
        before, rng = start_of_peak(), np.random.default_rng(0)
        start = time.perf_counter()
        network = described.build(rng)
        built = time.perf_counter() - start
        x = rng.standard_normal((4 * _BATCH, _INPUTS), dtype=np.float32)
        data = (
            network.samples(x),
            SoftmaxCrossEntropy().prepare(rng.integers(0, _OUTPUTS, len(x)), _OUTPUTS),
        )
        times, updates = [], {}
        for name in ("gse", "sparse-momentum"):
            steps, updates[name] = self._times(network, data, name, lean)
            times += steps
        timing, lanes = summarise(times), network.lanes(_BATCH)
        held = sum(_bytes(p) for p in network.sparse_parameters().values())
        tile = 4 * (neurons // _LAYERS) * lanes
        return {
            **found, "nnz": network.nnz, "ms": timing.ms, "quartiles": [timing.low, timing.high],
            "ns": 1e6 * timing.ms / (network.nnz * _BATCH), "update_ms": updates,
            "build_seconds": built, "bytes": held / network.nnz,
            "budget": bytes_per_connection(lean=lean, group=group),
            "peak_mb": max(0, peak_memory() - before) / 1e6,
            "tile_bytes": tile, "level": level_of(tile), "lanes": lanes,
        }  # fmt: skip

    def _times(
        self, network: Any, data: tuple[Any, Any], name: str, lean: bool
    ) -> tuple[list[float], float]:
        """Return the milliseconds of steps without an update, and those that an update adds."""
        from sparsecpu.losses import SoftmaxCrossEntropy
        from sparsecpu.topology import GuidedStochasticExploration, SparseMomentum
        from sparsecpu.trainer import Trainer

        if name == "gse":
            topology: Any = GuidedStochasticExploration(update_every=_UPDATE_EVERY, stop_after=1.0)
        else:
            topology = SparseMomentum(
                update_every=_UPDATE_EVERY, window=1, source="candidates", candidate_factor=0.25,
                redistribution="none",
            )  # fmt: skip
        trainer = Trainer(
            network, loss=SoftmaxCrossEntropy(), learning_rate=1e-3, batch_size=_BATCH,
            epochs=100_000, threads=self.threads, topology=topology, lean=lean,
        )  # fmt: skip
        trainer.start(_BATCH * 100)
        rows = np.arange(_BATCH)
        cycles: list[list[float]] = []
        with trainer.machine():
            began = time.perf_counter()
            while len(cycles) < 2 or (time.perf_counter() - began < 2 and len(cycles) < 200):
                cycle = []
                for _ in range(_UPDATE_EVERY):
                    start = time.perf_counter()
                    trainer.step(*data, rows)
                    cycle.append((time.perf_counter() - start) * 1e3)
                cycles.append(cycle)
            trainer.step(*data, rows)  # allocates again what an update has freed
        # The first step after an update builds the transposed index; the second one is plain.
        plain = [cycle[1] for cycle in cycles[1:]]
        step = float(np.median(plain))
        turns = itertools.pairwise(cycles)
        extra = [sum(before[2:]) + after[0] - 3 * step for before, after in turns]
        return plain, max(0.0, float(np.median(extra)))

    def table(self) -> Table:
        return Table([
            Column("neurons", 11), Column("group", 6), Column("", 5), Column("connections", 13),
            Column("step ms", 10), Column("bytes/conn.", 12), Column("peak MB", 8),
            Column("tile fits in", 14), Column("ns per conn., sample", 22),
            Column("GSE update ms", 15), Column("SM update ms", 14),
        ])  # fmt: skip

    def row(self, result: dict[str, Any]) -> str:
        table = self.table()
        cells = [f"{result['neurons']:,}", f"{result['group']}", "lean" if result["lean"] else ""]
        if "skipped" in result:
            return table.row(cells + [""] * (len(table.columns) - 3), result["skipped"])
        update = result["update_ms"]
        return table.row([
            *cells, f"{result['nnz']:,}", f"{result['ms']:.3f}",
            f"{result['bytes']:.1f} of {result['budget']}", f"{result['peak_mb']:.0f}",
            result["level"], f"{result['ns']:.3f}", f"{update['gse']:.2f}",
            f"{update['sparse-momentum']:.2f}",
        ])  # fmt: skip

    def verdict(self, results: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
        values: dict[str, Any] = {}
        lines = []
        for group, lean in sorted({(r["group"], r["lean"]) for r in results}):
            for least in (0, 10_000):
                found = [
                    r for r in results
                    if (r["group"], r["lean"]) == (group, lean)
                    and "ms" in r and r["neurons"] >= least
                ]  # fmt: skip
                if len(found) < 2:
                    continue
                logs = {k: np.log([r[k] for r in found]) for k in ("neurons", "nnz", "ms")}
                operations = float(np.polyfit(logs["neurons"], logs["nnz"], 1)[0])
                time_ = float(np.polyfit(logs["neurons"], logs["ms"], 1)[0])
                reach = f"from {found[0]['neurons']:,} to {found[-1]['neurons']:,} neurons"
                title = ("lean" if lean else "normal") + (f", group {group}" if group > 1 else "")
                lines.append(
                    f"exponents {reach}, {title}: operations {operations:.2f}, time {time_:.2f} "
                    "(1 is linear)"
                )
                key = f"group_{group}_" if group > 1 else ""
                key += ("lean_" if lean else "") + (f"from_{least}_" if least else "")
                values[f"{key}operations_exponent"] = operations
                values[f"{key}time_exponent"] = time_
        return values, list(dict.fromkeys(lines))  # only once where all cases are large


def _describe(neurons: int, group: int) -> Any:
    """Describe the network with this many hidden neurons, its rows in groups."""
    from sparsecpu.networks.description import mlp

    width = neurons // _LAYERS
    described = mlp((_INPUTS,), (width,) * _LAYERS, _OUTPUTS)
    size = sum(rows * columns for rows, columns in described.weight_shapes())
    density = min(1.0, _PER_NEURON * (neurons + _OUTPUTS) / size)
    return described.sparsify(density, "er").in_groups(group)


def _bytes(parameter: Any) -> int:
    """Return the bytes that grow with the connections of a layer."""
    pattern = parameter.pattern
    held = sum(vector.nbytes for vector in parameter.vectors().values())
    held += pattern.groups.indices.nbytes  # one for all rows of a group ...
    if pattern.group > 1 and "indices" in vars(pattern):
        held += pattern.indices.nbytes  # ... unless something has asked for each row's
    if "transposed" in vars(pattern):
        transposed = pattern.transposed
        held += transposed.indices.nbytes + transposed.perm.nbytes
    return held + (parameter.data.nbytes if parameter.holds_transposed else 0)
