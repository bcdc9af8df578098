"""What ``sparsecpu compare`` says at the end: a table, and the same as CSV."""

from __future__ import annotations

import csv
import io
from typing import Any

from sparsecpu.experiments.comparison import Measure, measure_of
from sparsecpu.experiments.recipe import ALONE
from sparsecpu.experiments.tables import Column, Table, folded

#: What a method is compared with.
_OTHERS = ("dense", "static", "alone")


#: Columns of a difference with its interval beside it, and with it below.
_WIDE, _NARROW = 26, 16


def table(document: dict[str, Any]) -> str:
    """Return a comparison, as ``--json`` prints it, as a table for people.

    Intervals stand beside differences where the terminal is wide, else below them.
    """
    plan, rows = document["plan"], document["rows"]
    measure = measure_of(plan["data"])
    score = measure.name if measure.times == 1 else f"{measure.name} %"
    wide = _table(rows, score, _WIDE)
    beside = len(wide.inside) == len(wide.columns)
    shown = wide if beside else _table(rows, score, _NARROW)
    lines = [
        f"{plan['data']}, {plan['recipe']['model']}, {length_of(plan['recipe'])}, learning "
        f"rate {document['learning_rate']:g}; {plan['seeds']} seeds"
        + (f" of {plan['folds']} folds" if plan["folds"] else ""),
        shown.heading(),
    ]
    for row in rows:
        pairs = [row[f"vs_{other}"] for other in _beside(rows)]
        inside = [column in shown.inside for column in shown.columns[-2 - len(pairs) : -2]]
        differences = [
            _difference(pair, measure, beside or not stands)
            for pair, stands in zip(pairs, inside, strict=True)
        ]
        cells = [*_named(rows, row), _score(row, measure), *differences]
        note = f"{row['diverged']} of {row['runs']} runs diverged" if row["diverged"] else ""
        lines.append(shown.row([*cells, f"{row['nnz']:,}", f"{row['seconds']:.2f}"], note))
        intervals = [
            _interval(pair, measure) if stands else ""
            for pair, stands in zip(pairs, inside, strict=True)
        ]
        if any(intervals) and not beside:
            blank = [""] * (len(_named(rows, row)) + 1)
            lines.append(shown.row([*blank, *intervals, "", ""]))
    lines += [
        "",
        *_beside_alone(rows, measure),
        f"Scores are means over seeds +- their standard error, {measure.words}. "
        "Differences are paired by seed, with 95 % bootstrap intervals where there are three seeds "
        "(too few, otherwise); where 0 lies inside there is no significant difference, and '~' "
        "says so.",
        f"results: {document['out']}",
    ]
    return "\n".join(folded(line, "") for line in lines)


def _table(rows: list[dict[str, Any]], score: str, width: int) -> Table:
    """Return the columns of a comparison, whose differences are so wide."""
    return Table([
        *_names(rows), Column(score, max(len(score) + 2, 15)),
        *(Column(f"minus {other}", width) for other in _beside(rows)),
        Column("nnz", 10, optional=True), Column("s/run", 8, optional=True),
    ])  # fmt: skip


def _beside(rows: list[dict[str, Any]]) -> list[str]:
    """Return which methods any row is compared with: each has a column."""
    return [other for other in ("dense", "static") if any(row[f"vs_{other}"] for row in rows)]


def _names(rows: list[dict[str, Any]]) -> list[Column]:
    """Return the columns that say what each row is of; of groups where rows stand in any."""
    method = Column("method", max(6, *(len(row["method"]) for row in rows)) + 1, left=True)
    group = [Column("group", 6)] if any(row["group"] != ALONE for row in rows) else []
    return [method, Column("density", 8), *group]


def _named(rows: list[dict[str, Any]], row: dict[str, Any]) -> list[str]:
    """Return what stands in these columns."""
    group = [str(row["group"])] if len(_names(rows)) == 3 else []
    return [row["method"], f"{row['density']:g}", *group]


def length_of(recipe: dict[str, Any]) -> str:
    """Return how long the runs of a recipe are."""
    steps = recipe.get("steps")
    return f"{recipe['epochs']} epochs" if steps is None else f"{steps:,} steps"


def _beside_alone(rows: list[dict[str, Any]], measure: Measure) -> list[str]:
    """Return a table of what groups change: the score, and the seconds of a run."""
    alone = {(row["method"], row["density"]): row for row in rows if row["group"] == ALONE}
    shown = Table([*_names(rows), Column("minus group 1", _WIDE), Column("times as fast", 15)])
    lines = [
        shown.row([
            *_named(rows, row), _difference(row["vs_alone"], measure, True),
            f"{alone[row['method'], row['density']]['seconds'] / row['seconds']:.2f}x",
        ])
        for row in rows
        if row["vs_alone"] is not None
    ]  # fmt: skip
    return [shown.heading(), *lines, ""] if lines else []


def _score(row: dict[str, Any], measure: Measure) -> str:
    if row["score"] is None:
        return "-"
    times, digits = measure.times, measure.digits
    error = "" if row["error"] is None else f" +- {times * row['error']:.{digits}f}"
    return f"{times * row['score']:.{digits}f}{error}"


def _difference(pair: dict[str, Any] | None, measure: Measure, beside: bool) -> str:
    """Return a difference, with its interval beside it or not."""
    if pair is None or pair["difference"] is None:
        return ""
    text = f"{measure.times * pair['difference']:+.{measure.digits}f}"
    if pair["low"] is None:
        return f"{text} (too few)" if beside else text
    text = text if pair["significant"] else f"~ {text}"
    return f"{text} {_interval(pair, measure)}" if beside else text


def _interval(pair: dict[str, Any] | None, measure: Measure) -> str:
    """Return the interval of a difference, or why it has none; empty where nothing differs."""
    if pair is None or pair["difference"] is None:
        return ""
    if pair["low"] is None:
        return "(too few)"
    low, high = (f"{measure.times * pair[k]:+.{measure.digits}f}" for k in ("low", "high"))
    return f"[{low}, {high}]"


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
