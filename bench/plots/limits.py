"""Rooflines: rates beside what loads from the caches and arithmetic in registers allow."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.plots.looks import COLOURS, INK
from sparsecpu.bench.plots.speedups import name_of


def draw_linear(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw the rates of single layers under both limits, over density."""
    colours = iter(COLOURS * len(results))
    densities: set[float] = set()
    for result in results:
        peaks = [found["peak_gflops"] for found in result["results"]]
        axes.axhline(peaks[0], color=INK, linewidth=1)
        for group in dict.fromkeys(found["group"] for found in result["results"]):
            own = [found for found in result["results"] if found["group"] == group]
            x = [1 - found["sparsity"] for found in own]
            # Each of the three products has as many operations.
            rates = [3 / sum(1 / rate for rate in found["gflops"].values()) for found in own]
            colour, name = next(colours), f"{name_of(result)}, group {group}"
            axes.plot(x, rates, "o-", markersize=4, color=colour, label=name)
            limits = [found["limit_gflops"] for found in own]
            if min(limits) < 1.2 * peaks[0]:  # higher ones limit nothing
                axes.plot(x, limits, ":", color=colour, label=f"loads allow group {group}")
            densities.update(x)
    axes.annotate("multiply-adds in registers (float32)", (0.99, peaks[0]), va="bottom", ha="right",
                  xycoords=("axes fraction", "data"), fontsize=8, color=INK)  # fmt: skip
    axes.set(xscale="log", xlabel="density (fraction of weights kept), log scale",
             ylabel="GFLOP/s at the nonzeros, forward + dx + dW")  # fmt: skip
    axes.set_xticks(sorted(densities), [f"{d:.2g}" for d in sorted(densities)])
    axes.minorticks_off()
    axes.invert_xaxis()
    axes.set_ylim(0, 1.4 * max(result["results"][0]["peak_gflops"] for result in results))
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left")
    axes.set_title("Its rate, and what loads and arithmetic allow", loc="left", fontsize=11)


def draw_kernels(axes: Any, results: list[dict[str, Any]]) -> None:
    """Draw how fast loads come from tiles of many sizes, and the kernels on such tiles."""
    sizes = [r["kib"] for r in results]
    axes.axhline(results[0]["peak_gflops"], color=INK, linewidth=1, linestyle="--",
                 label="the limit of groups: multiply-adds in registers")  # fmt: skip
    axes.plot(sizes, [r["random_gflops"] for r in results], "o-", color=INK,
              label="the limit: random loads of 512 bytes")  # fmt: skip
    for colour, part in zip(COLOURS, ("forward", "dx", "dw"), strict=False):
        points = [(r["kib"], r[part]) for r in results if part in r]
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, "s", color=colour, label=f"{part}, 95 % sparsity", markersize=5)
    axes.set(xscale="log", xlabel="size of the tile, KiB", ylabel="GFLOP/s, one thread")
    axes.set_xticks(sizes, [f"{s:g}" for s in sizes], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8)
    axes.set_title("How fast the caches deliver, and how near the kernels come",
                   loc="left", fontsize=11)  # fmt: skip
