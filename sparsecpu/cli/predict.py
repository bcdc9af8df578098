"""``sparsecpu predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sparsecpu.cli.common import (
    Speaker,
    data_options,
    model_path,
    output_options,
    print_json,
    read_model,
)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--proba", is_flag=True, help="Probabilities of the classes, too.")
@data_options
@output_options
def predict(model: str, data: str, proba: bool, **options: Any) -> None:
    """Print MODEL's prediction for each sample of DATA, one per line.

    Of a .csv or .npz file all samples count, with or without the column to predict; of any other
    DATA the held-out ones.
    """
    import numpy as np

    from sparsecpu.datasets import open_data, read_samples
    from sparsecpu.experiments.scoring import quantities
    from sparsecpu.kernels.machine.threads import use_threads

    Speaker(options["quiet"]).announce_compilation()
    network, facts = read_model(model_path(model))
    features = int(np.prod(network.input_shape))
    if Path(data).suffix.lower() in (".csv", ".npz"):
        x = read_samples(data, features, target=options["target"])
    else:
        x = open_data(data, **{k: options[k] for k in ("samples", "target", "task")}).x_test
    with use_threads(options["threads"]):
        z = network.predict(x)
    probabilities = None
    if facts["task"] == "classification":
        labels = [facts["classes"][number] for number in z.argmax(axis=1)]
        if proba:
            from scipy.special import softmax

            probabilities = softmax(z.astype(np.float64), axis=1).tolist()
    else:
        labels = quantities(z, facts).tolist()
        labels = [row[0] for row in labels] if z.shape[1] == 1 else labels
    if options["as_json"]:
        document: dict[str, Any] = {"predictions": labels}
        if probabilities is not None:
            document |= {"classes": facts["classes"], "probabilities": probabilities}
        print_json(document)
        return
    for i, label in enumerate(labels):
        cells = label if isinstance(label, list) else [label]
        if probabilities is not None:
            cells = [*cells, *(f"{p:.6f}" for p in probabilities[i])]
        click.echo(",".join(map(str, cells)))
