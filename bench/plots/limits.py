"""Rooflines: rates beside what loads from the caches and arithmetic in registers allow."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.plots.speedups import name_of
from sparsecpu.experiments.plots.style import INK, legend, look, plain_log


def draw_linear(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the rates of single layers under both limits, over density."""
    densities: set[float] = set()
    number = 0
    for result in results:
        peaks = [found["peak_gflops"] for found in result["results"]]
        axes.axhline(peaks[0], color=INK, linewidth=1)
        for group in dict.fromkeys(found["group"] for found in result["results"]):
            own = [found for found in result["results"] if found["group"] == group]
            x = [1 - found["sparsity"] for found in own]
            # Each of the three products has as many operations.
            rates = [3 / sum(1 / rate for rate in found["gflops"].values()) for found in own]
            mine = look(number)
            axes.plot(x, rates, label=f"{name_of(result)}, group {group}", **mine)
            limits = [found["limit_gflops"] for found in own]
            if min(limits) < 1.2 * peaks[0]:  # higher ones limit nothing
                axes.plot(x, limits, ":", color=mine["color"], label=f"loads allow group {group}")
            densities.update(x)
            number += 1
    axes.annotate("multiply-adds in registers (float32)", (0.99, peaks[0]), va="bottom", ha="right",
                  xycoords=("axes fraction", "data"), fontsize=8, color=INK)  # fmt: skip
    axes.set(xlabel="density: the fraction of the weights that is kept",
             ylabel="GFLOP/s at the nonzeros, forward + dx + dW")  # fmt: skip
    plain_log(axes, "x", at=densities)
    axes.invert_xaxis()
    axes.set_ylim(0, 1.1 * max(result["results"][0]["peak_gflops"] for result in results))
    axes.set_title("Its rate, and what loads and arithmetic allow")
    legend(axes)


def draw_kernels(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw how fast loads come from tiles of many sizes, and the kernels on such tiles."""
    sizes = [r["kib"] for r in results]
    axes.axhline(results[0]["peak_gflops"], color=INK, linewidth=1, linestyle="--",
                 label="the limit of groups: multiply-adds in registers")  # fmt: skip
    axes.plot(sizes, [r["random_gflops"] for r in results], "o-", color=INK,
              label="the limit: random loads of 512 bytes")  # fmt: skip
    for number, part in enumerate(("forward", "dx", "dw")):
        points = [(r["kib"], r[part]) for r in results if part in r]
        if points:
            x, y = zip(*points, strict=True)
            signs = {**look(number + 1), "linestyle": "", "markersize": 6}
            axes.plot(x, y, label=f"{part}, 95 % sparsity", **signs)
    axes.set(xlabel="size of the tile, KiB", ylabel="GFLOP/s, one thread")
    plain_log(axes, "x", at=sizes)
    axes.set_ylim(bottom=0)
    axes.set_title("How fast the caches deliver, and how near the kernels come")
    legend(axes)
