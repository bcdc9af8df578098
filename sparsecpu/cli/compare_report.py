"""What ``sparsecpu compare`` says at the end: a table, and the same as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any


def table(document: dict[str, Any]) -> str:
    """Return a comparison, as ``--json`` prints it, as a table for people."""
    plan = document["plan"]
    width = max(len(row["method"]) for row in document["rows"]) + 2
    lines = [
        f"{plan['data']}, {plan['recipe']['model']}, {plan['recipe']['epochs']} epochs, learning "
        f"rate {document['learning_rate']:g}; {plan['seeds']} seeds"
        + (f" of {plan['folds']} folds" if plan["folds"] else ""),
        f"{'method':<{width}}{'density':>8}{'nnz':>10}{'score %':>16}{'minus dense':>26}"
        f"{'minus static':>26}{'s/run':>8}",
    ]
    for row in document["rows"]:
        lines.append(
            f"{row['method']:<{width}}{row['density']:>8g}{row['nnz']:>10,}{_score(row):>16}"
            f"{_difference(row['vs_dense']):>26}{_difference(row['vs_static']):>26}"
            f"{row['seconds']:>8.2f}"
        )
        if row["diverged"]:
            lines.append(f"{'':<{width}}{row['diverged']} of {row['runs']} runs diverged")
    lines += [
        "",
        "Scores are means over seeds +- their standard error, in percent (accuracy, or R²).",
        "Differences are paired by seed, with 95 % bootstrap intervals; where 0 lies inside there",
        "is no significant difference, and '~' says so.",
        f"results: {document['out']}",
    ]
    return "\n".join(lines)


def _score(row: dict[str, Any]) -> str:
    if row["score"] is None:
        return "-"
    error = "" if row["error"] is None else f" +- {100 * row['error']:.2f}"
    return f"{100 * row['score']:.2f}{error}"


def _difference(pair: dict[str, Any] | None) -> str:
    if pair is None or pair["difference"] is None:
        return ""
    if pair["low"] is None:
        return f"{100 * pair['difference']:+.2f} (too few)"
    mark = "" if pair["significant"] else "~ "
    return (
        f"{mark}{100 * pair['difference']:+.2f} "
        f"[{100 * pair['low']:+.2f}, {100 * pair['high']:+.2f}]"
    )


def csv_of(rows: list[dict[str, Any]]) -> str:
    """Return the rows of a comparison as CSV."""
    out = io.StringIO()
    plain = [k for k in rows[0] if not k.startswith("vs_")]
    pairs = ("difference", "error", "low", "high", "pairs", "significant")
    names = plain + [f"vs_{o}_{k}" for o in ("dense", "static") for k in pairs]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {k: row[k] for k in plain}
        for other in ("dense", "static"):
            flat |= {f"vs_{other}_{k}": v for k, v in (row[f"vs_{other}"] or {}).items()}
        writer.writerow(flat)
    return out.getvalue()
