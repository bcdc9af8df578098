"""``sparsecpu compare``."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.compare_report import length_of, table
from sparsecpu.cli.grouped_help import command, option
from sparsecpu.cli.names import data_argument
from sparsecpu.cli.options import (
    data_options,
    json_option,
    numbers,
    quiet_option,
    reading,
    scaling_option,
)
from sparsecpu.cli.output import Speaker, print_json, put
from sparsecpu.cli.recipe_options import recipe_options, unsaid, usual_values
from sparsecpu.cli.runs_progress import RunsProgress
from sparsecpu.cli.unused_options import refuse_for_data, refuse_for_methods
from sparsecpu.datasets.text import is_text
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.comparison import Comparison, split_methods
from sparsecpu.experiments.comparison.result_folder import ResultFolder, cell_of
from sparsecpu.experiments.options import either
from sparsecpu.experiments.recipe import ALONE, Recipe
from sparsecpu.isoflop import TRANSFORMS
from sparsecpu.networks.groups import AUTO, group_text
from sparsecpu.topology import TOPOLOGIES

#: Learning rates that are tried on text: one, for each run takes long.
RATES_OF_TEXT = "0.001"


@command()
@data_argument()
@option(
    "--methods",
    default="dense,static,set,rigl,gse,sparse-momentum",
    show_default=True,
    help="What to compare, with commas between: dense, small-dense (narrower, with as many "
    f"weights), {', '.join(TOPOLOGIES)}, each with options if it needs them, such as "
    f"gse:distribution=grabo,subset=2; and {either(f'ift-{name}' for name in TRANSFORMS)}, with a "
    "topology behind a slash if it needs another than rigl, such as ift-wide/set.",
    group="comparison",
)
@option(
    "--densities", default="0.01,0.05,0.1,0.2", show_default=True,
    help="Fractions of the weights to keep, with commas between.",
    group="comparison",
)  # fmt: skip
@option(
    "--group", "groups", default=ALONE, show_default=True,
    help="How many neighbouring outputs of a layer share their inputs, as in sparsecpu train: "
    "sizes to compare, with commas between, such as 1,4; auto is one of them.",
    group="sparsity",
)  # fmt: skip
@option(
    "--seeds", type=int, default=5, show_default=True,
    help="How many seeds: every run is repeated with seed 0, 1, …",
    group="comparison",
)  # fmt: skip
@option(
    "--folds",
    type=int,
    help="Parts of cross-validation, cut anew for each seed; 0 for the data's own test part.  "
    "[default: 5; 0 for data with a test part]",
    group="comparison",
)
@option(
    "--learning-rates",
    default="0.02,0.05,0.1",
    show_default=True,
    help="Tried on the dense network alone; the best one serves all methods. A single one is taken "
    "as it is.",
    group="comparison",
)
@recipe_options(
    "model", "width", "pattern", "distribution", "epochs", "steps", "batch_size", "accumulate",
    "schedule", "optimizer", "momentum", "weight_decay", "clip", "label_smoothing", "update_every",
    "augment",
)  # fmt: skip
@option(
    "--jobs", type=int, default=1, show_default=True,
    help="Processes that train at the same time, with a thread each.",
    group="comparison",
)  # fmt: skip
@option("--out", help="Folder for the results.  [default: compare-DATA]", group="output")
@option(
    "--plot", is_flag=True,
    help="Draw error over density into that folder (needs the plot extra).",
    group="output",
)  # fmt: skip
@data_options
@scaling_option
@json_option
@quiet_option
@click.pass_context
def compare(ctx: click.Context, data: str, **options: Any) -> None:
    """Compare methods on DATA by paired differences over seeds.

    On text (text:FILE) runs are compared by the loss per token of what is held out, of which less
    is better; the defaults are those of sparsecpu train on text.

    Every run is kept in the folder as it ends. The same command goes on where it was interrupted.

    \b
    sparsecpu compare digits --methods dense,static,rigl --densities .01,.1 --seeds 3 --jobs 2
    """  # noqa: D301
    if options["jobs"] < 1:
        raise ParameterError("jobs", options["jobs"], "an integer of at least 1")
    speaker = Speaker(options["quiet"])
    comparison = _described(ctx, data, options)
    if options["plot"]:
        from sparsecpu.experiments.plots.figures import require_matplotlib

        require_matplotlib()
    folder = ResultFolder(options["out"] or f"compare-{Path(data.replace(':', '-')).stem}")
    ctx.call_on_close(folder.lock.release)
    document = _carry_out(comparison, folder, options["jobs"], speaker)
    if options["plot"]:
        from sparsecpu.experiments.plots.runs import plot_comparison

        recipe, seeds = comparison.recipe, comparison.seeds
        title = f"{data}, {recipe.model}, {length_of(recipe.to_dict())}, {seeds} seeds"
        loss = comparison.measure.sign < 0
        plot_comparison(document["rows"], title, folder.path / "comparison.png", loss)
    print_json(document) if options["as_json"] else put(table(document))


def _described(ctx: click.Context, data: str, options: dict[str, Any]) -> Comparison:
    """Return the comparison that the options describe, checked."""
    from sparsecpu.datasets import open_data
    from sparsecpu.experiments.comparison import has_its_test

    methods, dataset = split_methods(options["methods"]), open_data(data, **reading(options))
    refuse_for_methods(ctx, methods)
    refuse_for_data(ctx, data, dataset.task)
    folds, own_test = options["folds"], has_its_test(dataset)
    if folds is None:
        folds = 0 if own_test else 5
    rates = RATES_OF_TEXT if is_text(data) else options["learning_rates"]
    options |= unsaid(ctx, {"learning_rates": rates})
    return Comparison(
        data,
        reading(options),
        methods,
        numbers("densities", options["densities"]) or (),
        options["seeds"],
        folds,
        Recipe(**usual_values(ctx, data, options)),
        numbers("learning_rates", options["learning_rates"]) or (),
        tuple(size.strip() for size in options["groups"].split(",")),
    )


def _carry_out(
    comparison: Comparison, folder: ResultFolder, jobs: int, speaker: Speaker
) -> dict[str, Any]:
    """Tune, do the runs that are missing, and write what came out."""
    from sparsecpu.experiments.comparison import Runner, summarise
    from sparsecpu.experiments.memory import check_comparison

    began = time.perf_counter()
    speaker.announce_compilation()
    runner: Runner | None = Runner(comparison)
    check_comparison(runner, jobs)
    state = folder.open(comparison.to_dict())
    order = {cell: place for place, cell in enumerate(comparison.cells())}
    results = folder.results(order)
    try:
        comparison = _choose_groups(comparison, folder, state, speaker, runner)
        runner = runner if jobs == 1 else None  # each process reads the data for itself
        _tune(comparison, folder, state, jobs, speaker, runner)
        _run_missing(comparison, folder, state, results, jobs, speaker, runner)
    except (OSError, MemoryError, KeyboardInterrupt) as error:
        error.add_note(f"the same command goes on with {folder.path}")
        raise
    results.sort(key=lambda result: order[cell_of(result)])
    return _written(folder, state, summarise(results), results, time.perf_counter() - began)


def _tune(comparison, folder, state, jobs, speaker, runner) -> None:
    """Choose the learning rate, and note it in the folder, unless that is done already."""
    from sparsecpu.experiments.comparison import tune, tuning_runs

    if "learning_rate" in state:
        return
    if to_tune := tuning_runs(comparison):
        speaker.say("choosing the learning rate on the dense network")
    with _shown(speaker, runner, to_tune, "rate") as shown:
        rate, scores = tune(comparison, jobs, shown.note, runner)
    state |= {"learning_rate": rate, "tuning": {str(r): s for r, s in scores.items()}}
    folder.write("plan.json", json.dumps(state, indent=2) + "\n")


def _choose_groups(comparison, folder, state, speaker, runner) -> Comparison:
    """Return the comparison with what auto stands for, timed here and noted, unless it is known."""
    from sparsecpu.cli.group_table import group_table
    from sparsecpu.networks.group_choice import choose_groups

    chosen = state.setdefault("groups", {})
    cells = {cell.kind: cell for cell in comparison.cells() if cell.group == AUTO}
    for kind, cell in cells.items():
        if kind in chosen:
            continue
        recipe, architecture = runner.described(cell, comparison.learning_rates[0])
        batch = recipe.batch(runner.dataset.x_train.shape[0])
        choices = choose_groups(architecture, batch, threads=1)
        chosen[kind] = group_text(choice.takes for choice in choices)
        speaker.say(f"{kind}\n{group_table(choices, batch)}")
        folder.write("plan.json", json.dumps(state, indent=2) + "\n")
    runner.comparison = comparison = replace(comparison, chosen=chosen)
    return comparison


def _run_missing(comparison, folder, state, results, jobs, speaker, runner) -> None:
    """Do the runs that have no result yet, and keep each result as it comes."""
    from sparsecpu.experiments.comparison import run_all

    done = set(map(cell_of, results))
    missing = [cell for cell in comparison.cells() if cell not in done]
    speaker.say(f"{len(missing)} runs to do; {len(results)} are done already")
    with _shown(speaker, runner, len(missing), "run") as shown:

        def keep(result: dict[str, Any]) -> None:
            folder.append(result, result.pop("history"))
            results.append(result)
            shown.note(result)

        runs = [(cell, state["learning_rate"], False) for cell in missing]
        run_all(comparison, runs, jobs, keep, runner)


@contextlib.contextmanager
def _shown(speaker: Speaker, runner: Any, total: int, label: str) -> Iterator[RunsProgress]:
    """Show so many runs while the block does them, and say what they warn of."""
    shown = RunsProgress(speaker.line, total, label)
    if runner is not None and not speaker.quiet:
        runner.watch = shown.watching
    try:
        with speaker.saying_warnings():
            yield shown
    finally:
        shown.end()


def _written(folder, state, rows, results, seconds: float) -> dict[str, Any]:
    """Write the result as JSON and CSV, and return it."""
    from sparsecpu.bench import cpu_model, versions
    from sparsecpu.cli.compare_report import csv_of

    document = {
        **state, "rows": rows, "seconds": seconds,
        "training_seconds": sum(r["seconds"] for r in results),
        "cpu": cpu_model(), "cores": os.cpu_count(), "versions": versions(),
        "out": str(folder.path),
    }  # fmt: skip
    folder.write("comparison.json", json.dumps(document, indent=2, default=str) + "\n")
    folder.write("comparison.csv", csv_of(rows))
    return document
