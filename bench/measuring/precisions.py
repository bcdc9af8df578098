"""Dense rivals by their precision: the fastest in float32, the fastest in bfloat16, and of all.

Who may round to bfloat16 has a faster rival than who may not, so both ratios are said, each with
its precision; "use dense here" stands where a dense rival of either wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sparsecpu.bench.measuring.speedups import beside_dense, break_even, known, shown_beside_dense
from sparsecpu.bench.measuring.timing import Timing
from sparsecpu.experiments.tables import Column

if TYPE_CHECKING:
    from sparsecpu.bench.rivals.base import Rival

_WIDTH = 10


def precisions_of(rivals: Iterable[type[Rival]]) -> list[str]:
    """Return the precisions of the dense rivals among some, in their order."""
    return list(dict.fromkeys(rival.precision for rival in rivals if rival.dense))


def beside_precisions(
    rivals: Iterable[type[Rival]], times: dict[str, list[Timing]], ours: list[Timing]
) -> dict[str, Any]:
    """Return ``beside_dense`` over all dense rivals, and ``by_precision`` over those of each.

    ``times`` has the parts of each rival by its name. ``dense_ms`` is what the fastest one takes.
    """
    dense = [rival for rival in rivals if rival.dense and rival.name in times]
    by_precision = {
        precision: _beside({r.name: times[r.name] for r in dense if r.precision == precision}, ours)
        for precision in precisions_of(dense)
    }
    return {**_beside({r.name: times[r.name] for r in dense}, ours), "by_precision": by_precision}


def _beside(dense: dict[str, list[Timing]], ours: list[Timing]) -> dict[str, Any]:
    found = beside_dense(dense, ours)
    name = found["fastest_dense"]
    return {**found, "dense_ms": None if name is None else sum(t.ms for t in dense[name])}


def columns(precisions: Iterable[str]) -> list[Column]:
    """Return the columns with our speed-ups, one for each precision of the rivals."""
    return [Column(f"vs {precision}", _WIDTH) for precision in precisions]


def cells(found: dict[str, Any], precisions: Iterable[str]) -> list[str]:
    """Return our speed-ups over the fastest dense rival of each precision."""
    beside = found["by_precision"]
    return [shown_beside_dense(beside[p]) if p in beside else "-" for p in precisions]


def dense_is_faster(found: dict[str, Any]) -> str:
    """Return the warning for a table's line, empty unless dense is known to win."""
    for precision, beside in found["by_precision"].items():
        value = known(beside)
        if value is not None and value < 1:
            return f"use dense {precision} here"
    return ""


def fastest_lines(results: list[dict[str, Any]]) -> list[str]:
    """Return lines that say who the fastest dense rivals are, of each precision and of all."""
    names: dict[str, dict[str, None]] = {}
    for found in results:
        for precision, beside in found["by_precision"].items():
            names.setdefault(precision, {})[beside["fastest_dense"]] = None
        if found["fastest_dense"] is not None:
            names.setdefault("of all", {})[found["fastest_dense"]] = None
    each = (f"{what}: {' or '.join(who)}" for what, who in names.items())
    return [f"the fastest dense, {'; '.join(each)}"] if names else []


def break_evens(results: list[dict[str, Any]], precision: str) -> tuple[float | None, bool]:
    """Return ``break_even`` beside the fastest dense rival of one precision."""
    return break_even([
        {"sparsity": found["sparsity"], **found["by_precision"][precision]} for found in results
    ])  # fmt: skip
