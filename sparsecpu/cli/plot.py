"""``sparsecpu plot``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.names import Choice
from sparsecpu.cli.options import json_option, quiet_option
from sparsecpu.cli.output import Speaker, beside, in_place, print_json, put
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.tables import folded

if TYPE_CHECKING:
    from sparsecpu.experiments.curves import Curves


@command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option(
    "--out",
    type=click.Path(),
    help="The picture: a .png, .svg or .pdf.  [default: RUN-curves.png, beside RUN; curves.png for "
    "several]",
)
@click.option(
    "--over",
    type=Choice(["epochs", "steps"]),
    default="epochs",
    show_default=True,
    help="What the curves are drawn over.",
)
@quiet_option
@json_option
def plot(
    runs: tuple[str, ...], out: str | None, over: str, quiet: bool, as_json: bool
) -> None:  # fmt: skip
    """Draw the learning curves of RUN, or of several runs over each other, into a file.

    A RUN is the folder that sparsecpu train --out has made; it may still be training. Drawn is what
    its history has: the loss, the scores of --validation, the learning rate and the density of each
    layer. Nothing is opened; the file's name decides what kind of picture it is.

    It may also be the folder of sparsecpu compare, alone: then the losses of its methods are drawn,
    means over their runs, with a panel for each density.

    \b
    sparsecpu train digits --validation 0.1 --out run
    sparsecpu plot run
    sparsecpu plot run other --out both.svg
    """  # noqa: D301
    from sparsecpu.experiments.comparison.result_folder import is_comparison
    from sparsecpu.experiments.curves import read_curves
    from sparsecpu.experiments.plots.curves import MOST_DENSITIES, measured, plot_curves

    speaker = Speaker(quiet)
    if compared := [run for run in runs if is_comparison(run)]:
        if len(runs) > 1:
            expected = "folders of runs; a comparison is drawn by itself"
            raise ParameterError("RUN", compared[0], expected)
        _plot_comparison(runs[0], out, over, as_json)
        return
    if len(set(runs)) < len(runs):
        twice = next(run for run in runs if runs.count(run) > 1)
        raise ParameterError("RUN", twice, "each run once")
    found = [read_curves(run) for run in runs]
    path = _file(runs, found) if out is None else Path(out)
    panels = measured(found)
    if not panels:
        raise ParameterError("RUN", ", ".join(runs), "a run whose history has numbers to draw")
    _say_what_lacks(speaker, found, panels)
    if "density" in panels and len(found) > MOST_DENSITIES:
        speaker.say(f"note: densities are drawn of the first {MOST_DENSITIES} runs only")
    replaces = in_place(path)
    plot_curves(found, path, over)
    epochs = {run: len(curves.records) for run, curves in zip(runs, found, strict=True)}
    if as_json:
        print_json({"out": str(path), "curves": panels, "epochs": epochs})
        return
    words = ", ".join(panel.replace("_", " ") for panel in panels)
    many = f"{len(runs)} runs" if len(runs) > 1 else f"{epochs[runs[0]]} epochs"
    put(folded(f"{path}: {words} of {many}{replaces}"))


def _plot_comparison(run: str, out: str | None, over: str, as_json: bool) -> None:
    """Draw the losses of a comparison's methods."""
    from sparsecpu.experiments.comparison.histories import by_density
    from sparsecpu.experiments.plots.comparison_curves import plot_comparison_curves
    from sparsecpu.experiments.report.comparison_facts import read_comparison

    shown = by_density(read_comparison(run).curves)
    if not shown:
        expected = "a comparison with histories, which older versions did not keep"
        raise ParameterError("RUN", run, expected)
    path = beside(run, "curves.png") if out is None else Path(out)
    replaces = in_place(path)
    plot_comparison_curves(shown, path, over)
    if as_json:
        print_json({"out": str(path), "curves": ["loss"], "densities": list(shown)})
        return
    methods = len({one.label for some in shown.values() for one in some})
    put(folded(f"{path}: loss of {methods} methods, at {len(shown)} densities{replaces}"))


def _file(runs: tuple[str, ...], found: list[Curves]) -> Path:
    """Return the file where nobody says one: beside the run, or here for several."""
    if len(runs) > 1:
        return Path("curves.png")
    return beside(runs[0], "curves.png")


def _say_what_lacks(speaker: Speaker, found: list[Curves], panels: list[str]) -> None:
    """Say which runs were not scored, where that can be told beforehand."""
    if "score" not in panels:
        speaker.say("note: no scores in the history; train --validation 0.1 keeps them")
    if "density" not in panels:
        speaker.say("note: no densities in the history, which is of an older version")
