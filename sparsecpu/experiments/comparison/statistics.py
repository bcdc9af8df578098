"""Means, standard errors and paired differences."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from sparsecpu.experiments.comparison.methods import DENSE
from sparsecpu.experiments.recipe import ALONE

_RESAMPLES = 9999


def paired(ours: dict[int, float], theirs: dict[int, float]) -> dict[str, Any]:
    """Return the mean difference of two methods' scores over the seeds that both have.

    ``difference`` is ours less theirs, with its standard ``error`` and a 95 % bootstrap interval
    (BCa) from ``low`` to ``high``; ``significant`` is True if 0 lies outside. Fewer than three
    ``pairs`` have no interval and are never significant.
    """
    seeds = sorted(ours.keys() & theirs.keys())
    d = np.array([ours[s] - theirs[s] for s in seeds])
    n = len(d)
    result: dict[str, Any] = {"difference": float(d.mean()) if n else None, "pairs": n}
    result |= {"error": None, "low": None, "high": None, "significant": False}
    if n >= 2:
        result["error"] = float(d.std(ddof=1) / np.sqrt(n))
    if n >= 3:
        low, high = _interval(d)
        result |= {"low": low, "high": high, "significant": not low <= 0.0 <= high}
    return result


def _interval(d: np.ndarray) -> tuple[float, float]:
    from scipy.stats import bootstrap

    if np.ptp(d) == 0:
        return float(d[0]), float(d[0])
    found = bootstrap(
        (d,), np.mean, n_resamples=_RESAMPLES, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(found.low), float(found.high)


def summarise(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per method, density and group for the results of ``Runner.run``, in their order.

    ``score`` is the mean over seeds of the mean over folds, with its standard ``error``; ``nnz``
    and ``seconds`` are medians; ``vs_dense``, ``vs_static`` (in the same groups) and ``vs_alone``
    (the same method, rows standing alone) are as ``paired`` returns them, None where there is
    nothing to compare with.
    """
    cells: dict[tuple[str, float, str], list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        cells[result["method"], result["density"], result.get("group", ALONE)].append(result)
    by_seed = {key: _by_seed(cell) for key, cell in cells.items()}
    rows = []
    for key, cell in cells.items():
        method, density, group = key
        scores = np.array(list(by_seed[key].values()))
        many = len(scores) > 1
        row = {
            "method": method, "density": density, "group": group, "runs": len(cell),
            "diverged": sum(r["score"] is None for r in cell),
            "score": float(scores.mean()) if len(scores) else None,
            "error": float(scores.std(ddof=1) / np.sqrt(len(scores))) if many else None,
            "nnz": int(np.median([r["nnz"] for r in cell])), "weights": cell[0]["weights"],
            "seconds": float(np.median([r["seconds"] for r in cell])),
        }  # fmt: skip
        for name, other in (
            ("dense", (DENSE, 1.0, ALONE)), ("static", ("static", density, group)),
            ("alone", (method, density, ALONE)),
        ):  # fmt: skip
            known = other in by_seed and other != key
            row[f"vs_{name}"] = paired(by_seed[key], by_seed[other]) if known else None
        rows.append(row)
    return rows


def _by_seed(cell: list[dict[str, Any]]) -> dict[int, float]:
    """Return the mean score over folds; seeds with a diverged run are left out."""
    scores: dict[int, list[float | None]] = defaultdict(list)
    for result in cell:
        scores[result["seed"]].append(result["score"])
    whole = max(len(found) for found in scores.values())
    return {
        seed: float(np.mean([s for s in found if s is not None]))
        for seed, found in scores.items()
        if len(found) == whole and None not in found
    }
