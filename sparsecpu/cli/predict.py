"""``sparsecpu predict``."""

from __future__ import annotations

from typing import Any

import click

from sparsecpu.cli.grouped_help import command
from sparsecpu.cli.names import data_argument
from sparsecpu.cli.options import data_options, output_options, part_option, reading
from sparsecpu.cli.output import Speaker, print_json, put
from sparsecpu.errors import ConflictError, DataError


@command()
@click.argument("model")
@data_argument()
@click.option("--proba", is_flag=True, help="Print the probability of each class as well.")
@part_option
@data_options
@output_options
def predict(model: str, data: str, proba: bool, part: str | None, **options: Any) -> None:
    """Print MODEL's prediction for each sample of DATA, one per line.

    MODEL is a file, or the folder of a run. All samples of a file are predicted, in its order, with
    or without the targets; of data that has a test part, or is a name such as digits, the test
    part.
    """
    from sparsecpu.experiments.parts import part_to_predict
    from sparsecpu.experiments.scoring import outputs
    from sparsecpu.experiments.trained_models import read_model
    from sparsecpu.files.places import model_path
    from sparsecpu.kernels.machine.threads import use_threads

    speaker = Speaker(options["quiet"])
    speaker.announce_compilation()
    network, facts = read_model(model_path(model), options["task"], speaker.note)
    if proba and facts["task"] == "regression":
        raise ConflictError("proba", model, "which predicts numbers, not classes")
    if facts["task"] == "language":
        raise DataError(f"{model} writes text; see sparsecpu generate -h, and evaluate for scores")
    found = part_to_predict(network, facts, data, part, reading(options))
    for note in found.notes:
        speaker.note(note)
    with use_threads(options["threads"]):
        z = outputs(network, found.x)
    labels, probabilities = _predictions(z, facts, proba)
    if options["as_json"]:
        document: dict[str, Any] = {"predictions": labels}
        if probabilities:
            document |= {"classes": facts["classes"], "probabilities": probabilities}
        print_json(document)
        return
    for number, label in enumerate(labels):
        cells = label if isinstance(label, list) else [label]
        cells = [*cells, *(f"{p:.6f}" for p in (probabilities[number] if probabilities else ()))]
        put(",".join(map(_cell, cells)) if probabilities else ",".join(map(str, cells)))


def _cell(value: Any) -> str:
    """Return a label as a cell of a table; numbers never need quotes."""
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"') else text


def _predictions(z: Any, facts: dict[str, Any], proba: bool) -> tuple[list, list]:
    """Return labels or quantities, and the probabilities of the classes where they are wanted."""
    from sparsecpu.experiments.scoring import quantities

    if facts["task"] == "classification":
        from scipy.special import softmax

        labels = [facts["classes"][number] for number in z.argmax(axis=1)]
        return labels, softmax(z.astype(float), axis=1).tolist() if proba else []
    if facts["task"] == "multilabel":
        from scipy.special import expit

        return (z > 0).astype(int).tolist(), expit(z.astype(float)).tolist() if proba else []
    found = quantities(z, facts).tolist()
    return [row[0] for row in found] if z.shape[1] == 1 else found, []
