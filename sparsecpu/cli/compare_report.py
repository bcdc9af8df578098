"""What ``sparsecpu compare`` says at the end: a table, and the same as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from sparsecpu.experiments.comparison import Measure, measure_of
from sparsecpu.experiments.recipe import ALONE

#: What a method is compared with.
_OTHERS = ("dense", "static", "alone")


def table(document: dict[str, Any]) -> str:
    """Return a comparison, as ``--json`` prints it, as a table for people."""
    plan, rows = document["plan"], document["rows"]
    measure = measure_of(plan["data"])
    head = measure.name if measure.times == 1 else f"{measure.name} %"
    lines = [
        f"{plan['data']}, {plan['recipe']['model']}, {length_of(plan['recipe'])}, learning "
        f"rate {document['learning_rate']:g}; {plan['seeds']} seeds"
        + (f" of {plan['folds']} folds" if plan["folds"] else "")
    ]
    heads = _heads(rows)
    lines.append(
        f"{heads[0]}{'nnz':>10}{head:>16}{'minus dense':>26}{'minus static':>26}{'s/run':>8}"
    )
    for row, head in zip(rows, heads[1:], strict=True):
        lines.append(
            f"{head}{row['nnz']:>10,}{_score(row, measure):>16}"
            f"{_difference(row['vs_dense'], measure):>26}"
            f"{_difference(row['vs_static'], measure):>26}{row['seconds']:>8.2f}"
        )
        if row["diverged"]:
            lines.append(f"{'':<{len(head) - 8}}{row['diverged']} of {row['runs']} runs diverged")
    lines += [
        "",
        *_beside_alone(rows, measure),
        f"Scores are means over seeds +- their standard error, {measure.words}.",
        "Differences are paired by seed, with 95 % bootstrap intervals; where 0 lies inside there",
        "is no significant difference, and '~' says so.",
        f"results: {document['out']}",
    ]
    return "\n".join(lines)


def length_of(recipe: dict[str, Any]) -> str:
    """Return how long the runs of a recipe are."""
    steps = recipe.get("steps")
    return f"{recipe['epochs']} epochs" if steps is None else f"{steps:,} steps"


def _heads(rows: list[dict[str, Any]]) -> list[str]:
    """Return what stands at the left: names of columns, then what each row is of.

    Groups are named where any rows stand in groups.
    """
    width = max(len(row["method"]) for row in rows) + 2
    grouped = any(row["group"] != ALONE for row in rows)
    heads = [f"{'method':<{width}}{'density':>8}"]
    heads += [f"{row['method']:<{width}}{row['density']:>8g}" for row in rows]
    groups = ["group", *(row["group"] for row in rows)]
    return [
        f"{head}{group:>7}" if grouped else head for head, group in zip(heads, groups, strict=True)
    ]


def _beside_alone(rows: list[dict[str, Any]], measure: Measure) -> list[str]:
    """Return a table of what groups change: the score, and the seconds of a run."""
    alone = {(row["method"], row["density"]): row for row in rows if row["group"] == ALONE}
    heads = _heads(rows)
    lines = [
        f"{head}{_difference(row['vs_alone'], measure):>26}"
        f"{alone[row['method'], row['density']]['seconds'] / row['seconds']:>14.2f}x"
        for row, head in zip(rows, heads[1:], strict=True)
        if row["vs_alone"] is not None
    ]
    return [f"{heads[0]}{'minus group 1':>26}{'times as fast':>15}", *lines, ""] if lines else []


def _score(row: dict[str, Any], measure: Measure) -> str:
    if row["score"] is None:
        return "-"
    times, digits = measure.times, measure.digits
    error = "" if row["error"] is None else f" +- {times * row['error']:.{digits}f}"
    return f"{times * row['score']:.{digits}f}{error}"


def _difference(pair: dict[str, Any] | None, measure: Measure) -> str:
    if pair is None or pair["difference"] is None:
        return ""

    def shown(name: str) -> str:
        return f"{measure.times * pair[name]:+.{measure.digits}f}"

    if pair["low"] is None:
        return f"{shown('difference')} (too few)"
    mark = "" if pair["significant"] else "~ "
    return f"{mark}{shown('difference')} [{shown('low')}, {shown('high')}]"


def csv_of(rows: list[dict[str, Any]]) -> str:
    """Return the rows of a comparison as CSV."""
    out = io.StringIO()
    plain = [k for k in rows[0] if not k.startswith("vs_")]
    pairs = ("difference", "error", "low", "high", "pairs", "significant")
    names = plain + [f"vs_{o}_{k}" for o in _OTHERS for k in pairs]
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {k: row[k] for k in plain}
        for other in _OTHERS:
            flat |= {f"vs_{other}_{k}": v for k, v in (row[f"vs_{other}"] or {}).items()}
        writer.writerow(flat)
    return out.getvalue()
