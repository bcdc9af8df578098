"""Groups at equal time: what they reach in as many milliseconds per step as rows that stand alone.

Groups make a step faster, so that in the same time a network may keep more weights. How accurate it
is then lies between two of the densities that were trained.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.experiments.comparison.statistics import paired

#: Milliseconds per step, and scores by seed, of the networks of one method and group, by density.
Line = dict[float, tuple[float, dict[int, float]]]


def at_equal_time(results: Iterable[dict[str, Any]], alone: str) -> list[dict[str, Any]]:
    """Return a row per method, density and group: its score less that of rows alone, as ``paired``.

    ``results`` are those of ``Runner.run``; ``alone`` is the group of rows that stand alone.
    ``density`` and ``ms`` (per step) are those of rows alone, ``equal_density`` is what takes as
    long in groups. Where even the densest network in groups takes less, that one counts; where even
    the sparsest takes more, there is no row. Scores are interpolated over the logarithm of time.
    """
    lines = _lines(results)
    rows = []
    for (method, group), line in lines.items():
        if group == alone or (method, alone) not in lines:
            continue
        for density, (ms, scores) in sorted(lines[method, alone].items()):
            found = _at(line, ms)
            if found is not None:
                row = {"method": method, "density": density, "group": group, "ms": ms}
                row["equal_density"] = found[0]
                rows.append({**row, **paired(found[1], scores)})
    return rows


def _lines(results: Iterable[dict[str, Any]]) -> dict[tuple[str, str], Line]:
    """Return the networks of each method and group; seeds with a diverged run are left out."""
    cells: dict[tuple[str, str, float], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        if result.get("step_ms") is not None:
            cells[result["method"], result["group"], result["density"]].append(result)
    lines: dict[tuple[str, str], Line] = defaultdict(dict)
    for (method, group, density), cell in cells.items():
        by_seed: dict[int, list[float | None]] = defaultdict(list)
        for result in cell:
            by_seed[result["seed"]].append(result["score"])
        scores = {
            seed: float(np.mean([s for s in found if s is not None]))
            for seed, found in by_seed.items()
            if None not in found
        }
        ms = float(np.median([result["step_ms"] for result in cell]))
        lines[method, group][density] = ms, scores
    return lines


def _at(line: Line, ms: float) -> tuple[float, dict[int, float]] | None:
    """Return the density that takes so long, and its scores by seed."""
    densities = sorted(line, key=lambda density: line[density][0])
    times = np.array([line[density][0] for density in densities])
    if ms < times[0]:
        return None
    seeds = set.intersection(*(set(line[density][1]) for density in densities))

    def between(values: list[float]) -> float:
        return float(np.interp(np.log(ms), np.log(times), values))

    scores = {seed: between([line[d][1][seed] for d in densities]) for seed in seeds}
    return float(np.exp(between([np.log(density) for density in densities]))), scores
