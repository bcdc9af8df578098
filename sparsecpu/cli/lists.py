"""``sparsecpu list``: everything that has a name, each with a sentence."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass

import click

from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.options import json_option
from sparsecpu.cli.output import print_json, put
from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry
from sparsecpu.registries.names import find_name, read_name, suggested

#: Columns of a line that goes into a file or to another program, which may break it by itself.
_UNBROKEN = 10_000


@dataclass(frozen=True)
class List:
    """Names of one kind: what they are for, and in which modules they are, as ``module:NAME``.

    What is there is a registry, or has sentences by name, or returns them.
    """

    purpose: str
    places: tuple[str, ...]

    def sentences(self) -> dict[str, str]:
        """Return all names in order, with a sentence for each."""
        found: dict[str, str] = {}
        for place in self.places:
            module, _, name = place.partition(":")
            known = getattr(importlib.import_module(f"sparsecpu.{module}"), name)
            if isinstance(known, Registry):
                known = {name: known.sentence(name) for name in known}
            found |= known() if callable(known) else known
        return found


#: All lists, in the order in which they are shown.
LISTS = {
    name: List(purpose, tuple(places))
    for name, purpose, *places in (
        ("models", "Networks, for --model.", "models:MODELS", "networks.models:FAMILIES"),
        ("topologies", "How a pattern changes, for --topology.", "topology:TOPOLOGIES"),
        ("data", "Data sets, for DATA.", "datasets.names:BUNDLED", "datasets.names:GENERATED",
         "datasets.image_sets:sentences", "datasets.names:KINDS_OF_NAMES"),
        ("losses", "What training minimises, for Trainer(loss=…).", "losses:LOSSES"),
        ("optimizers", "How weights follow gradients, for --optimizer.", "optimizers:OPTIMIZERS"),
        ("schedules", "Courses of the learning rate, for --schedule.", "schedules:SCHEDULES"),
        ("activations", "For --model 300,100:activation=NAME.", "layers:ACTIVATIONS"),
        ("layers", "Kinds of layers, in descriptions of networks.", "layers:KINDS"),
        ("distributions", "How layers share the weights, for --distribution.",
         "sparse.densities:DISTRIBUTIONS"),
        ("patterns", "Where the first weights are, for --pattern.",
         "sparse.first_patterns:PATTERNS", "networks.at_start:CHOOSERS"),
        ("transforms", "Larger networks of the same FLOPs, for --ift.", "isoflop:TRANSFORMS"),
        ("methods", "What can be compared, for compare --methods.",
         "experiments.comparison.methods:method_sentences"),
        ("augmentations", "How images are varied, for --augment.",
         "step.augmentation:AUGMENTATIONS"),
        ("precisions", "How layers read their inputs, for --precision.",
         "step.precision:PRECISIONS"),
        ("scalings", "How inputs are standardised, for --scaling.", "datasets.base:SCALINGS"),
        ("tasks", "What can be learnt, for --task.", "datasets.base:TASKS"),
        ("formats", "What a file of data may be, for --format.", "datasets.formats:FORMATS"),
        ("tokenizers", "How text becomes numbers, for text:FILE:tokens=NAME.",
         "datasets.text:TOKENIZERS"),
        ("benchmarks", "What can be measured, for sparsecpu bench.",
         "cli.bench_subjects:sentences"),
    )
}  # fmt: skip


@command("list", help=f"""Show the names that can be given, with a sentence for each.

    KIND is one of {", ".join(LISTS)}. Without it, all kinds are shown.

    Case, hyphens, underscores and spaces do not matter: ResNet18 is resnet-18.
    """)  # fmt: skip
@click.argument("kind", required=False)
@json_option
@click.pass_context
def list_names(ctx: click.Context, kind: str | None, as_json: bool) -> None:
    """Show the names that can be given, with a sentence for each."""
    if kind is None:
        if as_json:
            print_json({name: _document(name) for name in LISTS})
        else:
            purposes = {name: known.purpose for name, known in LISTS.items()}
            put(_table(ctx, purposes, "sparsecpu list KIND shows all names of a kind:"))
        return
    if find_name(kind, LISTS) is None:
        expected = f"one that sparsecpu list shows{suggested(kind, LISTS)}"
        raise ParameterError("KIND", kind, expected)
    kind = read_name("KIND", kind, LISTS)
    print_json({kind: _document(kind)}) if as_json else put(_table(ctx, LISTS[kind].sentences()))


def _document(kind: str) -> list[dict[str, str]]:
    return [{"name": name, "about": words} for name, words in LISTS[kind].sentences().items()]


def _table(ctx: click.Context, sentences: dict[str, str], heading: str = "") -> str:
    """Return names with their sentences as wide as the terminal; unbroken where there is none."""
    formatter = ctx.make_formatter()
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        formatter.width = _UNBROKEN
    if heading:
        formatter.write_text(heading)
        formatter.write_paragraph()
    formatter.write_dl(list(sentences.items()))
    return formatter.getvalue().rstrip("\n")
