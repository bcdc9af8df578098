"""``sparsecpu compare``."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.common import Speaker, data_options, print_json
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.comparison.result_folder import ResultFolder


@click.command()
@click.argument("data")
@click.option(
    "--methods",
    default="dense,static,set,rigl,gse,sparse-momentum",
    show_default=True,
    help="What to compare: dense, small-dense (narrower, with as many weights), topologies with "
    "options if need be (gse:distribution=grabo,subset=2), ift-wide and its kin.",
)
@click.option("--densities", default="0.01,0.05,0.1,0.2", show_default=True)
@click.option("--seeds", type=int, default=5, show_default=True, help="Seeds 0, 1, ...")
@click.option(
    "--folds",
    type=int,
    help="Parts of cross-validation, cut anew for each seed; 0 for the data's own test part.  "
    "[default: 5; 0 for data with a test part]",
)
@click.option(
    "--learning-rates",
    default="0.02,0.05,0.1",
    show_default=True,
    help="Tried on the dense network alone; the best serves all. One is taken as it is.",
)
@click.option("--model", default="lenet-300-100", show_default=True)
@click.option("--width", type=float, default=1.0, show_default=True)
@click.option("--pattern", default="random", show_default=True)
@click.option("--distribution", default="erk", show_default=True)
@click.option("--epochs", type=int, default=40, show_default=True)
@click.option("--batch-size", type=int)
@click.option("--optimizer", default="sgd", show_default=True)
@click.option("--momentum", type=float, default=0.9, show_default=True)
@click.option("--weight-decay", type=float, default=5e-4, show_default=True)
@click.option("--label-smoothing", type=float, default=0.1, show_default=True)
@click.option("--update-every", type=int, help="Steps between updates.  [default: an epoch]")
@click.option("--augment", default="none", show_default=True)
@click.option("--jobs", type=int, default=1, show_default=True, help="Processes, of a thread each.")
@click.option("--out", help="Folder for results.  [default: compare-DATA]")
@click.option("--plot", is_flag=True, help="Draw error over density there (the plot extra).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress and no messages.")
@data_options
def compare(data: str, **options: Any) -> None:
    """Compare methods on DATA by paired differences over seeds.

    Every run is kept in the folder as it ends. The same command goes on where it was interrupted.

    \b
    sparsecpu compare digits --methods dense,static,rigl --densities .01,.1 --seeds 3 --jobs 2
    """  # noqa: D301
    from sparsecpu.datasets import open_data
    from sparsecpu.experiments.comparison import Plan, split_methods
    from sparsecpu.experiments.recipe import Recipe

    if options["jobs"] < 1:
        raise ParameterError("jobs", options["jobs"], "an integer of at least 1")
    reading = {name: options[name] for name in ("samples", "target", "task")}
    folds = options["folds"]
    if folds is None:
        folds = 0 if open_data(data, **reading).own_test else 5
    names = {field.name for field in fields(Recipe)}
    plan = Plan(
        data,
        reading,
        split_methods(options["methods"]),
        _numbers("densities", options["densities"]),
        options["seeds"],
        folds,
        Recipe(**{name: value for name, value in options.items() if name in names}),
        _numbers("learning_rates", options["learning_rates"]),
    )
    if options["plot"]:
        from sparsecpu.experiments.plots.figures import require_matplotlib

        require_matplotlib()
    folder = ResultFolder(options["out"] or f"compare-{Path(data.replace(':', '-')).stem}")
    document = _carry_out(plan, folder, options, Speaker(options["quiet"]))
    if options["plot"]:
        from sparsecpu.experiments.plots.runs import plot_comparison

        title = f"{data}, {plan.recipe.model}, {plan.recipe.epochs} epochs, {plan.seeds} seeds"
        plot_comparison(document["rows"], title, folder.path / "comparison.png")
    print_json(document) if options["as_json"] else click.echo(table(document))


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ParameterError(name, text, "numbers with commas between them") from None


def _carry_out(plan, folder, options, speaker) -> dict[str, Any]:
    """Tune, do the runs that are missing, and write what came out."""
    from sparsecpu.bench import cpu_model, versions
    from sparsecpu.experiments.comparison import Cell, run_all, summarise, tune

    began = time.perf_counter()
    speaker.announce_compilation()
    state = folder.open(plan.to_dict())
    results = folder.results()
    done = {Cell(**{f: r[f] for f in ("method", "density", "seed", "fold")}) for r in results}
    cells = [cell for cell in plan.cells() if cell not in done]
    try:
        if "learning_rate" not in state:
            speaker.say("choosing the learning rate on the dense network")
            rate, scores = tune(plan, options["jobs"], lambda result: None)
            state |= {"learning_rate": rate, "tuning": {str(r): s for r, s in scores.items()}}
            folder.write("plan.json", json.dumps(state, indent=2) + "\n")
        speaker.say(f"{len(cells)} runs, {len(results)} are there already")
        with click.progressbar(
            length=len(cells), file=sys.stderr, hidden=not speaker.bar, label="runs"
        ) as bar:

            def keep(result: dict[str, Any]) -> None:
                folder.append(result)
                results.append(result)
                bar.update(1)

            jobs = [(cell, state["learning_rate"], False) for cell in cells]
            run_all(plan, jobs, options["jobs"], keep)
    except KeyboardInterrupt:
        speaker.say(f"interrupted; the same command goes on with {folder.path}")
        sys.exit(130)
    order = {cell: i for i, cell in enumerate(plan.cells())}
    results.sort(key=lambda r: order[Cell(r["method"], r["density"], r["seed"], r["fold"])])
    rows = summarise(results)
    document = {
        **state, "rows": rows, "seconds": time.perf_counter() - began,
        "training_seconds": sum(r["seconds"] for r in results),
        "cpu": cpu_model(), "cores": os.cpu_count(), "versions": versions(),
        "out": str(folder.path),
    }  # fmt: skip
    folder.write("comparison.json", json.dumps(document, indent=2, default=str) + "\n")
    folder.write("comparison.csv", _csv(rows))
    return document


def _csv(rows: list[dict[str, Any]]) -> str:
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


def table(document: dict[str, Any]) -> str:
    """Return a comparison as a table.

    Parameters
    ----------
    document : dict
        As ``--json`` prints it.

    Returns
    -------
    str
        Lines.
    """
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
