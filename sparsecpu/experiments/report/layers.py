"""The layers of a network, and what of them is there."""

from __future__ import annotations

from typing import Any

from sparsecpu.experiments.report.html import Html, Section, element, escaped, note, section, table
from sparsecpu.experiments.report.run_facts import RunFacts
from sparsecpu.training.pattern_history import spread


def layers(run: RunFacts) -> Section:
    """Return a table of the layers: weights, groups, bytes, and what became of their patterns."""
    parameters = run.network.sparse_parameters()
    last = {name: found for u in run.updates for name, found in u["layers"].items()}
    rows = [_row(name, p, last.get(name, {})) for name, p in parameters.items()]
    explored = any(row[-1] != "" for row in rows)
    heads = ["layer", "shape", "weights", "density", "group", "bytes", "per output", "per input"]
    heads += ["explored"] if explored else []
    rows = [row if explored else row[:-1] for row in rows]
    total = sum(p.stored_bytes for p in parameters.values())
    sums = ["all", "", f"{run.network.nnz:,}", f"{run.network.density:.4g}", "", f"{total:,}"]
    rows.append([element("strong", text) for text in sums] + [""] * (len(heads) - len(sums)))
    words = "Per output and per input: least, median and most weights. Bytes are those of values "
    words += "and of where they are, in memory."
    if explored:
        words += " Explored: the part of all positions that had a weight at some time."
    made = table("Layers with weights that can be sparse", heads, rows)
    return section("Layers", made, note(words), *_others(run))


def _row(name: str, parameter: Any, last: dict[str, Any]) -> list[Any]:
    pattern = parameter.pattern
    sides = ("/".join(f"{n:,}" for n in spread(s)) for s in (pattern.fan_in, pattern.fan_out))
    explored = last.get("explored")
    return [
        name, "\u00a0×\u00a0".join(map(str, pattern.shape)),
        f"{pattern.nnz:,}", f"{pattern.density:.4g}",
        str(pattern.group), f"{parameter.stored_bytes:,}", *sides,
        "" if explored is None else f"{100 * explored:.1f} %",
    ]  # fmt: skip


def _others(run: RunFacts) -> list[Html]:
    """Return how many numbers the network has besides, which are never sparse."""
    sparse = run.network.sparse_parameters()
    dense = [p for name, p in run.network.parameters().items() if name not in sparse]
    if not dense:
        return []
    count = sum(p.data.size for p in dense)
    return [note(escaped(f"Biases, norms and embeddings have {count:,} numbers more, all kept."))]
