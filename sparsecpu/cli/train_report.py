"""What ``sparsecpu train`` says at the end: a document, and a table of it."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from sparsecpu.cli.dense_timing import dense_steps
from sparsecpu.cli.train_run import TrainRun
from sparsecpu.experiments.language_scores import in_words
from sparsecpu.experiments.networks import describe, describe_dense
from sparsecpu.experiments.tables import Column, Table, folded

#: Where what a line says begins, behind its name.
_INDENT = 17


def result(run: TrainRun, scores: dict[str, float], seconds: float, dense: Any) -> dict[str, Any]:
    """Return the document that ``--json`` prints; ``dense`` times the dense network, or is None.

    ``seconds`` and ``compile_seconds`` are of all parts of a run that was resumed, of which the
    last took ``part_seconds``.
    """
    from sparsecpu.bench import cpu_model, versions
    from sparsecpu.kernels.machine.compile import compile_clock

    recipe, dataset, trainer = run.recipe, run.dataset, run.trainer
    network = trainer.network
    parameters = network.sparse_parameters()
    described = describe_dense(recipe, dataset.input_shape, dataset.n_outputs)
    before, compiled_before = run.spent_before()
    found: dict[str, Any] = {
        **scores,
        "seconds": before + seconds,
        "part_seconds": seconds if run.request.config is not None else None,
        "threads": trainer.team or run.allowed_threads,
        "dense_threads": run.allowed_threads,
        "ranks": run.comm.size,
        "data": dataset.name,
        "model": recipe.init or recipe.model,
        "topology": recipe.topology,
        "group_choice": run.group_choice and [asdict(choice) for choice in run.group_choice],
        "density": network.density,
        "nnz": network.nnz,
        "weights": network.size,
        "weight_bytes": sum(p.stored_bytes for p in parameters.values()),
        "dense_weight_bytes": 4 * sum(math.prod(s) for s in described.weight_shapes()),
        "iso_flop": _iso_flop(run, described),
        "train_samples": run.samples,
        "test_samples": dataset.x_test.shape[0],
        **run.validated.facts(),
        "epochs": trainer.epochs_done,
        "steps": trainer.steps_done,
        "batch_size": recipe.batch(run.samples),
        "accumulate": trainer.accumulate,
        "seconds_per_epoch": run.clock.seconds_per_epoch(),
        "compile_seconds": compiled_before + compile_clock.seconds - run.compiled,
        "precision": recipe.precision,
        "layers": [_layer(name, parameter) for name, parameter in parameters.items()],
        "seed": recipe.seed,
        "out": None if run.folder is None else str(run.folder.path),
        "cpu": cpu_model(),
        "versions": versions(),
    }
    return {**found, **dense_steps(run, described, dense)}  # last: it makes further steps


def _layer(name: str, parameter: Any) -> dict[str, Any]:
    return {
        "name": name, "shape": list(parameter.shape), "nnz": parameter.nnz,
        "density": parameter.density, "group": parameter.pattern.group,
    }  # fmt: skip


def _iso_flop(run: TrainRun, described: Any) -> list[dict[str, Any]] | None:
    """Return what the dense network and its transformation cost, where there is one."""
    if run.recipe.ift == "none":
        return None
    from sparsecpu.isoflop import compare_costs

    after = describe(run.recipe, run.dataset.input_shape, run.dataset.n_outputs)
    batch, threads = run.recipe.batch(run.samples), run.options["threads"] or 1
    return compare_costs(described, after, batch_size=batch, threads=threads)[0]


def table(result: dict[str, Any], passes: bool = True) -> str:
    """Return what was trained and what sparsity bought, in a few lines for people.

    A run that counts steps may be cut into parts shorter than an epoch: ``passes`` is False then.
    """
    lines = [*_layer_lines(result), ""]
    if "test_accuracy" in result:
        right = f"{100 * result['test_accuracy']:.2f} %"
        lines.append(f"test accuracy    {right} of {result['test_samples']:,} held-out samples")
    elif "test_loss" in result:
        found = {name: result[f"test_{name}"] for name in ("loss", "perplexity", "bits_per_byte")}
        lines.append(f"test loss        {in_words(found, result['test_samples'])}")
    else:
        lines.append(
            f"test R2          {result['test_r2']:.4f} on {result['test_samples']:,} samples"
        )
    if "validation_samples" in result:
        lines.append(_validation_line(result))
    sparse, dense = result["weight_bytes"], result["dense_weight_bytes"]
    lines.append(f"weights          {sparse:,} bytes; dense {dense:,} ({dense / sparse:.1f}x)")
    lines += _step_lines(result)
    if result["seconds_per_epoch"] is not None:
        part = "epoch" if passes else "part"
        parts = f"{result['epochs']:,} {part}{'s' * (result['epochs'] != 1)}"
        steps = f"{result['steps']:,} step{'s' * (result['steps'] != 1)}"
        if (waited := result.get("waited_epochs")) is not None:
            steps += f"; ended early: epoch {result['epochs'] - waited} was not bettered"
        lines.append(f"{part:<17}{result['seconds_per_epoch']:.3f} s, {parts}, {steps}")
    whole = f"{result['seconds']:.1f} s, of which compiling {result['compile_seconds']:.1f} s"
    if result["part_seconds"] is not None:
        whole += f"; {result['part_seconds']:.1f} s of it since --resume"
    lines.append(f"in all           {whole}")
    teams = f"{result['threads']} thread(s)"
    if result["dense_step_ms"] is not None or result["dense_bf16_step_ms"] is not None:
        teams += f", dense up to {result['dense_threads']}"
    if result["ranks"] > 1:
        teams = f"{result['ranks']} ranks of {result['threads']} thread(s)"
    lines.append(f"measured on      {result['cpu']}, {teams}")
    if result.get("iso_flop"):
        from sparsecpu.isoflop import cost_table

        lines += ["", cost_table(result["iso_flop"]), ""]
    first = lines.index("")  # the table is as wide as the terminal already
    lines[first:] = [folded(line, " " * _INDENT) for line in lines[first:]]
    if result["out"]:
        lines.append(f"kept in          {result['out']}")
    return "\n".join(lines)


def _layer_lines(result: dict[str, Any]) -> list[str]:
    """Return a table of the layers; of groups only where rows stand in any."""
    rows = [
        (
            layer["name"], " x ".join(map(str, layer["shape"])), f"{layer['nnz']:,}",
            f"{layer['density']:.4f}", str(layer["group"]),
        )
        for layer in result["layers"]
    ]  # fmt: skip
    rows.append(("all", "", f"{result['nnz']:,}", f"{result['density']:.4f}", ""))
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    grouped = any(layer["group"] != 1 for layer in result["layers"])
    table = Table([
        Column("layer", max(wide[0], 5) + 1, left=True), Column("shape", max(wide[1], 5) + 1),
        Column("nnz", max(wide[2], 3) + 2), Column("density", 9),
        *([Column("group", 7)] if grouped else []),
    ])  # fmt: skip
    cells = [row if grouped else row[:-1] for row in rows]
    return [table.heading(), *map(table.row, cells)]


def _validation_line(result: dict[str, Any]) -> str:
    """Return the score of the network that is kept on the samples held out for validation."""
    if "validation_accuracy" in result:
        line = f"validation       {100 * result['validation_accuracy']:.2f} %"
    else:
        line = f"validation R2    {result['validation_r2']:.4f}"
    line += f" of {result['validation_samples']:,} samples"
    best = result["best_epoch"]
    return line if best is None else f"{line}, the best: epoch {best} of {result['epochs']}"


def _step_lines(result: dict[str, Any]) -> list[str]:
    """Return what a step takes, beside the fastest dense one of each precision.

    Where several batches make a step, times are those of one of them.
    """
    ours, batches = result["step_ms"], result["accumulate"]
    if ours is None:
        return ["step             nothing was left to train"]
    beside = []
    for precision, name in (("fp32", "dense"), ("bf16", "dense_bf16")):
        dense = result[f"{name}_step_ms"]
        if dense is not None:
            library = result[f"{name}_library"]
            beside.append(f"dense {precision} ({library}) {dense:.3f} ms: {_verdict(result, name)}")
    times = f"{batches} x " if batches > 1 else ""
    line = f"step             {times}{ours:.3f} ms at batch {result['batch_size']}"
    line += f" in {result['precision']}"
    if not beside:
        return [f"{line}; the dense network was not timed"]
    return [line, *(f"{'':<{_INDENT}}{words}" for words in beside)]


def _verdict(result: dict[str, Any], name: str) -> str:
    """Return which is faster, if that is more than what the rounds of timing differ by."""
    ratio, (low, high) = result[f"{name}_ratio"], result[f"{name}_ratio_range"]
    return {
        "ours": f"ours is {ratio:.1f}x as fast",
        "dense": f"{1 / ratio:.1f}x as fast: use dense here",
        "alike": "about as fast",
        "unclear": f"too noisy to tell, {low:.1f}x to {high:.1f}x",
    }[result[f"{name}_verdict"]]
