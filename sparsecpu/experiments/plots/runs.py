"""The picture of a comparison of methods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsecpu.experiments.comparison.methods import label_of
from sparsecpu.experiments.plots.figures import figure, keep
from sparsecpu.experiments.plots.style import INK, legend, look, plain_log, styled
from sparsecpu.experiments.recipe import ALONE


def _label(row: dict[str, Any]) -> str:
    return label_of(row["method"], row.get("group", ALONE))


@styled()
def plot_comparison(
    rows: list[dict[str, Any]], title: str, path: Path | str, loss: bool = False
) -> None:
    """Draw test error over density for every method, with 95 % bars, dense as a band.

    Scores are accuracies, or of text the ``loss``, which is drawn as it is.
    """
    times = 1 if loss else 100

    def error_of(row: dict[str, Any]) -> float:
        return row["score"] if loss else times * (1 - row["score"])

    drawing, axis = figure(figsize=(7.2, 4.4))
    methods = dict.fromkeys(_label(row) for row in rows if row["score"] is not None)
    sparse = [method for method in methods if method != "dense"]
    for number, method in enumerate(sparse):
        own = sorted((r for r in rows if _label(r) == method and r["score"] is not None),
                     key=lambda r: r["density"])  # fmt: skip
        shift = 1.015 ** (number - len(sparse) / 2)  # so that bars stand side by side
        axis.errorbar(
            [r["density"] * shift for r in own],
            [error_of(r) for r in own],
            yerr=[1.96 * times * (r["error"] or 0) for r in own],
            label=method, **look(number),
        )  # fmt: skip
    for row in rows:
        if row["method"] == "dense" and row["score"] is not None:
            error, half = error_of(row), 1.96 * times * (row["error"] or 0)
            axis.axhline(error, color=INK, linewidth=1, label="dense")
            axis.axhspan(error - half, error + half, color=INK, alpha=0.1, linewidth=0)
    plain_log(axis, "x", at=[r["density"] for r in rows if r["method"] != "dense"])
    plain_log(axis, "y")
    axis.set_title(title)
    axis.set_xlabel("density: the fraction of the weights that is kept")
    what = "held-out loss, nats per token" if loss else "test error, %"
    axis.set_ylabel(f"{what} (bars: 95 % of the mean over seeds)")
    axis.grid(True)
    legend(axis)
    keep(drawing, path)
