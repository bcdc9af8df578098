"""``sparsecpu inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.attention import attention_of, attention_table
from sparsecpu.cli.circuit import circuit_of, circuit_table, draw_circuit
from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.options import json_option
from sparsecpu.cli.output import Speaker, print_json, put
from sparsecpu.errors import FileFormatError, ParameterError
from sparsecpu.experiments.tables import Column, Table, folded

#: What a tracker adds to an update.
_TRACKED = {"explored", "distance", "survivor_age", "dead_outputs", "dead_inputs"}


@command()
@click.argument("model")
@click.option(
    "--plot",
    type=click.Path(),
    help="Draw the patterns into this .png, .svg or .pdf; with --attention, what heads look at.",
)
@click.option(
    "--plot-history",
    type=click.Path(),
    help="Draw how the patterns changed over a run: densities, and weights per input. MODEL must "
    "be the folder of a run.",
)
@click.option(
    "--spectrum", is_flag=True, help="Show each pattern's spectral gap and Ramanujan's bound."
)
@click.option(
    "--circuit",
    metavar="PROMPT",
    help="Of a language model: which connections it takes for the token that it says behind a "
    "prompt, each taken away in turn.",
)
@click.option(
    "--plot-circuit", type=click.Path(), help="Draw these connections. For --circuit alone."
)
@click.option(
    "--attention",
    metavar="TEXT",
    help="Of a language model: how sharply and how far back each head looks in a text, and which "
    "heads and neurons do nothing.",
)
@json_option
def inspect(
    model: str,
    plot: str | None,
    plot_history: str | None,
    spectrum: bool,
    circuit: str | None,
    plot_circuit: str | None,
    attention: str | None,
    as_json: bool,
) -> None:
    """Show what is in MODEL, layer by layer.

    MODEL is a file, or the folder of a run.
    """
    if plot_circuit is not None and circuit is None:
        raise ParameterError("plot_circuit", plot_circuit, "--circuit PROMPT beside it")
    network, updates, document = examine(model, spectrum)
    if circuit is not None:
        facts = document["facts"]
        document["circuit"] = circuit_of(network, facts, circuit, model)
        if plot_circuit is not None:
            draw_circuit(network, facts, document["circuit"], plot_circuit)
            Speaker(False).say(f"drew {plot_circuit}")
    if attention is not None:
        facts = document["facts"]
        document["attention"], note = attention_of(network, facts, attention, model, plot)
        _say_drawn(plot, note)
    elif plot is not None:
        from sparsecpu.experiments.plots.patterns import plot_patterns

        _say_drawn(plot, plot_patterns(network, plot))
    if plot_history is not None:
        _draw_history(network, updates, model, plot_history)
        Speaker(False).say(f"drew {plot_history}")
    print_json(document) if as_json else put(table(document))


def _say_drawn(path: str | None, note: str) -> None:
    if path is not None:
        Speaker(False).say(f"drew {path}" + (f": {note}" if note else ""))


def examine(model: str, spectrum: bool = False) -> tuple[Any, list[dict[str, Any]], dict[str, Any]]:
    """Return the network of a file or folder, its topology updates, and what there is to show."""
    from sparsecpu.experiments.history_file import HistoryFile
    from sparsecpu.files.model import load_all
    from sparsecpu.files.places import model_path

    path = model_path(model)
    network, header, _ = load_all(path)
    updates = HistoryFile(Path(model) / "history.jsonl").updates() if Path(model).is_dir() else []
    document = {
        "model": str(path),
        "architecture": header["architecture"].to_dict(),
        "dtype": network.dtype.name,
        "density": network.density,
        "nnz": network.nnz,
        "weights": network.size,
        "layers": _layers(network, updates, spectrum),
        "facts": {k: v for k, v in header["facts"].items() if k != "trainer"},
    }
    return network, updates, document


def _layers(network: Any, updates: list[dict[str, Any]], spectrum: bool) -> list[dict[str, Any]]:
    """Return what is worth knowing about each layer, its last update included."""
    from sparsecpu.training.spectral_gap import spectral_gap

    last = {name: (u["step"], found) for u in updates for name, found in u["layers"].items()}
    layers = []
    for name, parameter in network.sparse_parameters().items():
        facts = layer_facts(name, parameter)
        if spectrum:
            facts["spectrum"] = spectral_gap(parameter.pattern)
        if name in last:
            step, found = last[name]
            shown = {key: value for key, value in found.items() if key != "inputs"}
            facts["last_update"] = {"step": step, **shown}
        layers.append(facts)
    return layers


def _draw_history(network: Any, updates: list[dict[str, Any]], model: str, path: str) -> None:
    from sparsecpu.experiments.plots.updates import plot_updates

    if not updates:
        expected = "the folder of a run with topology updates, for --plot-history"
        raise ParameterError("MODEL", model, expected)
    shapes = {name: p.shape for name, p in network.sparse_parameters().items()}
    for update in updates:
        for name, shape in shapes.items():
            if len(update["layers"].get(name, {}).get("inputs", [0] * shape[1])) != shape[1]:
                raise FileFormatError(f"the history of {model} is that of another network")
    plot_updates(updates, shapes, network.input_shape, path)


def layer_facts(name: str, parameter: Any) -> dict[str, Any]:
    """Return a layer's shape, density, and least, median and most weights per output and input."""
    from sparsecpu.training.pattern_history import spread

    pattern = parameter.pattern
    return {
        "name": name,
        "shape": list(pattern.shape),
        "nnz": pattern.nnz,
        "density": pattern.density,
        "group": pattern.group,
        "fan_in": spread(pattern.fan_in),
        "fan_out": spread(pattern.fan_out),
        "bytes": parameter.stored_bytes,
    }


def table(document: dict[str, Any]) -> str:
    """Return the document as a table for people."""
    lines = [f"{document['model']}  {document['architecture']['name']}, {document['dtype']}", ""]
    lines += _layer_lines(document)
    lines += [
        f"{layer['name']}, spectrum: {_gap(layer['spectrum'])}"
        for layer in document["layers"]
        if "spectrum" in layer
    ]
    updates = [
        f"{layer['name']}, last update: {_sentence(layer['last_update'])}"
        for layer in document["layers"]
        if "last_update" in layer
    ]
    lines += updates + _data(document["facts"])
    if "circuit" in document:
        lines += ["", circuit_table(document["circuit"], document["nnz"])]
    if "attention" in document:
        lines += ["", attention_table(document["attention"])]
    metrics = document["facts"].get("metrics")
    for key, value in metrics.items() if isinstance(metrics, dict) else ():
        lines.append(f"{key}: {value:.4f}" if isinstance(value, float) else f"{key}: {value}")
    return folded("\n".join(lines))


def _layer_lines(document: dict[str, Any]) -> list[str]:
    """Return the table of the layers; groups are named where rows of any layer stand in groups."""
    layers = document["layers"]
    grouped = any(layer["group"] > 1 for layer in layers)
    shapes = [" x ".join(map(str, layer["shape"])) for layer in layers]
    spans = {side: ["/".join(map(str, layer[side])) for layer in layers]
             for side in ("fan_in", "fan_out")}  # fmt: skip
    table = Table([
        Column("layer", max(9, *(len(layer["name"]) + 1 for layer in layers), 0), left=True),
        Column("shape", max(12, *(len(shape) + 1 for shape in shapes), 0)),
        Column("nnz", 11), Column("density", 8),
        *([Column("group", 6)] if grouped else []),
        Column("per output", max(11, *(len(span) + 1 for span in spans["fan_in"]), 0)),
        Column("per input", max(10, *(len(span) + 1 for span in spans["fan_out"]), 0)),
        Column("bytes", 12, optional=True),
    ])  # fmt: skip
    lines = [table.heading()]
    for layer, shape, *sides in zip(layers, shapes, *spans.values(), strict=True):
        group = [f"{layer['group']}"] if grouped else []
        lines.append(table.row([
            layer["name"], shape, f"{layer['nnz']:,}", f"{layer['density']:.4f}", *group, *sides,
            f"{layer['bytes']:,}",
        ]))  # fmt: skip
    blank = [""] * (len(table.columns) - 4)
    every = table.row(["all", "", f"{document['nnz']:,}", f"{document['density']:.4f}", *blank])
    return [*lines, f"{every}  (least/median/most)"]


def _data(facts: dict[str, Any]) -> list[str]:
    """Return lines that say what the model was trained on."""
    from sparsecpu.datasets.columns import Columns, few

    lines, target = [], "target"
    if facts.get("columns") is not None:
        columns = Columns.from_dict(facts["columns"])
        lines.append(f"features: {few(columns.names)}")
        target += "" if columns.target is None else f" {columns.target!r}"
        if columns.dropped:
            lines.append(f"left out: {few(columns.dropped)}")
        lines += [f"values of {n!r}: {few(known)}" for n, known in columns.categories.items()]
    if isinstance(facts.get("classes"), list):
        lines.append(f"{target}: {few([str(label) for label in facts['classes']])}")
    elif len(target) > len("target"):
        lines.append(f"{target}: a quantity")
    return lines


def _gap(found: dict[str, float]) -> str:
    verdict = "within" if found["margin"] >= 0 else "above"
    return (
        f"sigma1 {found['sigma1']:.3f}, sigma2 {found['sigma2']:.3f}, gap {found['gap']:.3f}; "
        f"sigma2 is {verdict} Ramanujan's bound, {found['bound']:.3f}"
    )


def _sentence(update: dict[str, Any]) -> str:
    text = f"step {update['step']}, dropped {update['dropped']}, grew {update['grown']}"
    if "source" in update and "shortfall" in update:
        text += f" (momentum by {update['source']}, {update['shortfall']} at random)"
    if update.keys() >= _TRACKED:
        text += f"; {update['explored']:.1%} of all positions were active once"
        text += f", {update['distance']:.0%} of the first pattern is gone"
        text += f", survivors are {update['survivor_age']:.0f} steps old"
        dead = update["dead_outputs"], update["dead_inputs"]
        text += f", {dead[0]} outputs and {dead[1]} inputs without a weight" if any(dead) else ""
    return text
