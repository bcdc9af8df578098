"""What ``sparsecpu evaluate --report`` says in detail, in lines that fit 80 columns."""

from __future__ import annotations

from typing import Any

#: Characters of a line.
_WIDE = 80
#: Of so many classes each is shown; of more, the worst.
_MOST, _WORST = 60, 20
#: Characters of a name in a table, and at the head of a column of confusions.
_LONGEST, _HEAD = 30, 7
_MEANS = {"micro": "all labels together", "macro": "mean", "weighted": "weighted mean"}


def detailed_lines(report: dict[str, Any], samples: int) -> list[str]:
    """Return detailed scores, as ``experiments.detailed_scores`` has them, as tables for people."""
    if "targets" in report:
        lines = _of_quantities(report["targets"])
        if "labels" in report:
            head = "as labels: a prediction of 0.5 or more says yes"
            lines += ["", head, *_of_labels(report["labels"], samples)]
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
        note = [f"the {_WORST} of {len(rows):,} with the lowest F1; --json holds all of them"]
    means = [{"label": words, **report[key]} for key, words in _MEANS.items() if key in report]
    wide = max(len(shortened(row["label"], _LONGEST)) for row in (*shown, *means))
    wide = max(wide, len(what))
    head = f"{what:<{wide}}{'precision':>12}{'recall':>10}{'F1':>10}{'support':>10}"
    return [head, *(_line(row, wide) for row in shown), *note, *(_line(row, wide) for row in means)]


def _line(row: dict[str, Any], wide: int) -> str:
    name = shortened(row["label"], _LONGEST)
    text = f"{name:<{wide}}{row['precision']:>12.4f}{row['recall']:>10.4f}{row['f1']:>10.4f}"
    return text + (f"{row['support']:>10,}" if "support" in row else "")


def _confusions(report: dict[str, Any]) -> list[str]:
    """Return the matrix of confusions if it fits a line, or else the pairs of most of them."""
    lines = _matrix([row["label"] for row in report["classes"]], report["confusion"] or [])
    if lines and max(map(len, lines)) <= _WIDE:
        return lines
    if not report["confused"]:
        return ["no class is taken for another"]
    support = {row["label"]: row["support"] for row in report["classes"]}
    return ["confused most", *(_pair(pair, support) for pair in report["confused"])]


def _matrix(names: list[Any], matrix: list[list[int]]) -> list[str]:
    if not matrix:
        return []
    heads = [shortened(name, _HEAD) for name in names]
    cells = [[f"{count:,}" for count in row] for row in matrix]
    cell = 2 + max(len(text) for row in [heads, *cells] for text in row)
    left = max(len(shortened(name, 16)) for name in names)
    lines = [" " * left + "".join(f"{head:>{cell}}" for head in heads)]
    for name, row in zip(names, cells, strict=True):
        lines.append(f"{shortened(name, 16):<{left}}{''.join(f'{text:>{cell}}' for text in row)}")
    return ["true classes by row, predicted ones by column", *lines]


def _pair(pair: dict[str, Any], support: dict[Any, int]) -> str:
    right, found = (shortened(pair[side], 22) for side in ("right", "found"))
    share = f"{100 * pair['count'] / support[pair['right']]:.0f} % of {right}"
    return f"  {right} taken for {found}: {pair['count']:,} ({share})"[:_WIDE]


def _of_quantities(targets: list[dict[str, Any]]) -> list[str]:
    """Return a line of errors per target."""
    shown = sorted(targets, key=lambda t: t["r2"] or 0.0)[:_WORST] if len(targets) > _MOST else None
    wide = max(6, *(len(shortened(t["label"], 18)) for t in targets))
    keys = {"r2": "R2", "mae": "MAE", "rmse": "RMSE", "median": "median", "largest": "largest",
            "bias": "bias"}  # fmt: skip
    lines = [f"{'target':<{wide}}{''.join(f'{head:>10}' for head in keys.values())}"]
    for target in shown or targets:
        values = "".join(f"{_number(target[key]):>10}" for key in keys)
        lines.append(f"{shortened(target['label'], 18):<{wide}}{values}")
    if shown:
        lines.append(f"the {_WORST} of {len(targets):,} with the lowest R2; --json holds all")
    return [*lines, "MAE, RMSE, median and largest are of errors; bias: prediction less target"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _of_labels(report: dict[str, Any], samples: int) -> list[str]:
    """Return the scores of samples with several labels."""
    return [
        f"all labels right    {100 * report['subset_accuracy']:.2f} % of {samples:,} samples",
        f"wrong labels        {100 * report['hamming_loss']:.2f} % (Hamming loss)",
        "",
        *_of_classes(report, "label"),
    ]
