"""``sparsecpu evaluate``."""

from __future__ import annotations

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
from sparsecpu.errors import DataError


@click.command()
@click.argument("model")
@click.argument("data")
@data_options
@output_options
def evaluate(model: str, data: str, **options: Any) -> None:
    """Score MODEL (a file, or the folder of a run) on DATA's held-out samples."""
    from sparsecpu.datasets import open_data
    from sparsecpu.experiments.scoring import score
    from sparsecpu.kernels.machine.threads import use_threads

    Speaker(options["quiet"]).announce_compilation()
    path = model_path(model)
    network, facts = read_model(path)
    dataset = open_data(data, **{k: options[k] for k in ("samples", "target", "task")})
    targets = match(dataset, network, facts)
    with use_threads(options["threads"]):
        value = score(network, dataset.x_test, targets, facts)
    name = "accuracy" if facts["task"] == "classification" else "r2"
    if options["as_json"]:
        found = {f"test_{name}": value, "test_samples": len(targets), "model": str(path)}
        print_json({**found, "data": data, "density": network.density, "nnz": network.nnz})
    elif name == "accuracy":
        click.echo(f"test accuracy {100 * value:.2f} % of {len(targets)} samples")
    else:
        click.echo(f"test R2 {value:.4f} on {len(targets)} samples")


def match(dataset: Any, network: Any, facts: dict[str, Any]) -> Any:
    """Return a data set's test targets as the model counts them.

    Parameters
    ----------
    dataset : Dataset
        The data.
    network : Sequential
        The model.
    facts : dict
        What the model remembers of its training data.

    Returns
    -------
    ndarray
        Class numbers of the model, or quantities.

    Raises
    ------
    DataError
        If task, features, outputs or labels do not match.
    """
    import numpy as np

    from sparsecpu.datasets import class_numbers

    if dataset.task != facts.get("task"):
        raise DataError(f"{dataset.name} is for {dataset.task}; the model is for {facts['task']}")
    features = int(np.prod(network.input_shape))
    if dataset.x_test.shape[1] != features:
        raise DataError(
            f"{dataset.name} has {dataset.x_test.shape[1]} features; the model expects {features}"
        )
    if dataset.task == "classification":
        return class_numbers(np.array(facts["classes"]), dataset.classes[dataset.y_test])
    if dataset.y_test.shape[1] != network.n_outputs:
        raise DataError(f"{dataset.name} has {dataset.y_test.shape[1]} targets per sample; "
                        f"the model gives {network.n_outputs}")  # fmt: skip
    return dataset.y_test
