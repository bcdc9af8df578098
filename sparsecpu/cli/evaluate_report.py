"""What ``sparsecpu evaluate --report`` says in detail, in lines that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sparsecpu.experiments.tables import Column, Table, folded, room

#: Of so many classes each is shown; of more, the worst.
_MOST, _WORST = 60, 20
#: Characters of a name in a table, and at the head of a column of confusions.
_LONGEST, _HEAD = 30, 7
_MEANS = {"micro": "all labels together", "macro": "mean", "weighted": "weighted mean"}


def detailed_lines(report: dict[str, Any], samples: int) -> list[str]:
    """Return detailed scores, as ``experiments.detailed_scores`` has them, as tables for people."""
    return [line for text in _tables(report, samples) for line in text.split("\n")]


def _tables(report: dict[str, Any], samples: int) -> list[str]:
    if "targets" in report:
        lines = _of_quantities(report["targets"])
        if "labels" in report:
            head = "as labels: a prediction of 0.5 or more says yes"
            lines += ["", folded(head), *_of_labels(report["labels"], samples)]
        return lines
    if "labels" in report:
        return _of_labels(report["labels"], samples)
    return [*_of_classes(report, "class"), "", *_confusions(report)]


def shortened(text: Any, most: int) -> str:
    """Return a name in one line of at most so many characters."""
    words = " ".join(str(text).split())
    words = "".join(sign if sign.isprintable() else "?" for sign in words)
    return words if len(words) <= most else words[: most - 1] + "…"


def _of_classes(report: dict[str, Any], what: str) -> list[str]:
    """Return a line per class, and their means."""
    rows = report["classes"]
    shown, note = rows, []
    if len(rows) > _MOST:
        shown = sorted(rows, key=lambda row: row["f1"])[:_WORST]
        words = f"the {_WORST} of {len(rows):,} with the lowest F1; --json holds all of them"
        note = [folded(words)]
    means = [{"label": words, **report[key]} for key, words in _MEANS.items() if key in report]
    made = _table_of_classes(what, [*shown, *means])
    lines = [made.row(_cells(row, made)) for row in (*shown, *means)]
    return [made.heading(), *lines[: len(shown)], *note, *lines[len(shown) :]]


def _table_of_classes(what: str, rows: list[dict[str, Any]]) -> Table:
    """Return the columns of classes: with four digits, or with three where it is narrow."""
    longest = max(len(what), *(len(shortened(row["label"], _LONGEST)) for row in rows))
    heads = ("precision", "recall", "F1", "support")
    wide = [Column(head, 12 if head == "precision" else 10) for head in heads]
    table = Table([Column(what, longest + 1, left=True), *wide])
    if len(table.inside) == len(table.columns):
        return table
    narrow = [Column(head, max(len(head), 5) + 1) for head in heads]
    left = min(longest + 1, max(room() - sum(column.width for column in narrow), len(what) + 1))
    return Table([Column(what, left, left=True), *narrow])


def _cells(row: dict[str, Any], table: Table) -> list[str]:
    """Return a row of such a table; names that are too long for it are shortened."""
    digits = 4 if table.columns[2].width > 8 else 3
    scores = [f"{row[name]:.{digits}f}" for name in ("precision", "recall", "f1")]
    label = row["label"]
    if "support" not in row and len(label) >= table.columns[0].width:
        label = label.split()[0]  # of a mean, one word says enough
    name = shortened(label, table.columns[0].width - 1)
    return [name, *scores, f"{row['support']:,}" if "support" in row else ""]


def _confusions(report: dict[str, Any]) -> list[str]:
    """Return the matrix of confusions if it fits a line, or else the pairs of most of them."""
    names = [row["label"] for row in report["classes"]]
    for gap in (2, 1):
        lines = _matrix(names, report["confusion"] or [], gap)
        if lines and max(map(len, lines)) <= room():
            head = "true classes by row, predicted ones by column"
            return [folded(head, ""), *lines]
    if not report["confused"]:
        return ["no class is taken for another"]
    support = {row["label"]: row["support"] for row in report["classes"]}
    pairs = (folded(_pair(pair, support), "    ") for pair in report["confused"])
    return ["confused most", *pairs]


def _matrix(names: list[Any], matrix: list[list[int]], gap: int) -> list[str]:
    """Return the matrix of confusions, with so many blanks between its columns."""
    if not matrix:
        return []
    heads = [shortened(name, _HEAD) for name in names]
    cells = [[f"{count:,}" for count in row] for row in matrix]
    cell = gap + max(len(text) for row in [heads, *cells] for text in row)
    left = max(len(shortened(name, 16)) for name in names)
    lines = [" " * left + "".join(f"{head:>{cell}}" for head in heads)]
    for name, row in zip(names, cells, strict=True):
        lines.append(f"{shortened(name, 16):<{left}}{''.join(f'{text:>{cell}}' for text in row)}")
    return lines


def _pair(pair: dict[str, Any], support: dict[Any, int]) -> str:
    right, found = (shortened(pair[side], 22) for side in ("right", "found"))
    share = f"{100 * pair['count'] / support[pair['right']]:.0f} % of {right}"
    return f"  {right} taken for {found}: {pair['count']:,} ({share})"


def _of_quantities(targets: list[dict[str, Any]]) -> list[str]:
    """Return a line of errors per target."""
    shown = sorted(targets, key=lambda t: t["r2"] or 0.0)[:_WORST] if len(targets) > _MOST else None
    wide = max(6, *(len(shortened(t["label"], 18)) for t in targets))
    keys = {"r2": "R2", "mae": "MAE", "rmse": "RMSE", "median": "median", "largest": "largest",
            "bias": "bias"}  # fmt: skip
    table = Table([
        Column("target", wide + 1, left=True), *(Column(head, 10) for head in keys.values()),
    ])  # fmt: skip
    lines = [table.heading()]
    lines += [
        table.row([shortened(target["label"], 18), *_numbers(target, keys)])
        for target in shown or targets
    ]
    if shown:
        lines.append(
            folded(f"the {_WORST} of {len(targets):,} with the lowest R2; --json holds all")
        )
    words = "MAE, RMSE, median and largest are of errors; bias: prediction less target"
    return [*lines, folded(words)]


def _numbers(target: dict[str, Any], keys: Iterable[str]) -> list[str]:
    return [_number(target[key]) for key in keys]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _of_labels(report: dict[str, Any], samples: int) -> list[str]:
    """Return the scores of samples with several labels."""
    return [
        folded(
            f"all labels right    {100 * report['subset_accuracy']:.2f} % of {samples:,} samples"
        ),
        f"wrong labels        {100 * report['hamming_loss']:.2f} % (Hamming loss)",
        "",
        *_of_classes(report, "label"),
    ]
