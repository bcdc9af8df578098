"""``sparsecpu evaluate``."""

from __future__ import annotations

from typing import Any

import click

from sparsecpu.cli.options import data_options, output_options, reading
from sparsecpu.cli.output import Speaker, print_json, put


@click.command()
@click.argument("model")
@click.argument("data")
@data_options
@output_options
def evaluate(model: str, data: str, **options: Any) -> None:
    """Score MODEL on DATA's held-out samples.

    MODEL is a file, or the folder of a run.
    """
    from sparsecpu.datasets import open_data
    from sparsecpu.experiments.scoring import score
    from sparsecpu.experiments.trained_models import matched_targets, model_path, read_model
    from sparsecpu.kernels.machine.threads import use_threads

    Speaker(options["quiet"]).announce_compilation()
    path = model_path(model)
    network, facts = read_model(path)
    dataset = open_data(data, **reading(options))
    targets = matched_targets(dataset, network, facts)
    with use_threads(options["threads"]):
        value = score(network, dataset.x_test, targets, facts)
    name = "accuracy" if facts["task"] == "classification" else "r2"
    if options["as_json"]:
        found = {f"test_{name}": value, "test_samples": len(targets), "model": str(path)}
        print_json({**found, "data": data, "density": network.density, "nnz": network.nnz})
    elif name == "accuracy":
        put(f"test accuracy {100 * value:.2f} % of {len(targets)} samples")
    else:
        put(f"test R2 {value:.4f} on {len(targets)} samples")
