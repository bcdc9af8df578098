"""What runs of the command line have left, as parameters and results of estimators."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from sparsecpu.errors import DataWarning, FileFormatError, ParameterError
from sparsecpu.estimators.plain import DescribedModel
from sparsecpu.estimators.progress import shown_of
from sparsecpu.estimators.scaling import SCALES
from sparsecpu.experiments.history_file import HistoryFile
from sparsecpu.experiments.recipe import LATER, Recipe, options
from sparsecpu.files.checkpoint import alike
from sparsecpu.layers import ACTIVATIONS
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.groups import read_group


def parameters_of_run(name: str, network: Any, facts: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the parameters that come nearest to how a network was made and trained.

    ``name`` is that of the estimator. A network whose making is not known has the usual ones, and
    keeps its pattern.
    """
    found: dict[str, Any] = {"density": network.density, "dtype": network.dtype.name}
    scaling = facts.get("scaling", "auto")
    found["scale"] = scaling if scaling in SCALES else "auto"
    recipe = _recipe_of(facts, path)
    if recipe is None:
        found["topology"] = "static"
    else:
        found |= _of_recipe(recipe, (facts.get("training_data") or {}).get("samples"))
    if name == "SparseCNNClassifier":
        return found | _of_images(recipe, network)
    sizes, plain = _sizes_of(network.architecture)
    if not plain:
        warnings.warn(
            f"{path} holds a network that is no plain chain of linear layers: partial_fit and a "
            f"warm start go on with it, but fit would make one of {sizes['hidden_layer_sizes']} "
            "hidden neurons",
            DataWarning,
            stacklevel=4,
        )
    return found | sizes


def _recipe_of(facts: dict[str, Any], path: str) -> Recipe | None:
    given = facts.get("recipe")
    if given is None:
        return None
    known = options()
    if not isinstance(given, dict):
        raise FileFormatError(f"{path}: the recipe is no table")
    try:
        return Recipe(**{**LATER, **{k: v for k, v in given.items() if k in known}})
    except (ParameterError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path}: the recipe: {error}") from None


def _of_recipe(recipe: Recipe, samples: int | None) -> dict[str, Any]:
    """Return what a recipe and an estimator have in common."""
    batch = recipe.batch(samples or 0)
    solver, _, _ = recipe.optimizer.partition(":")
    found = {
        "distribution": recipe.distribution, "group": read_group(recipe.group),
        "topology": _topology_of(recipe), "batch_size": batch,
        "learning_rate_init": recipe.learning_rate, "max_iter": recipe.epochs,
        "random_state": recipe.seed, "precision": recipe.precision,
        # There the penalty of a step is weight_decay, here alpha over the samples of a step.
        "alpha": recipe.weight_decay * batch,
    }  # fmt: skip
    if recipe.ift == "none" and recipe.neurons is None and not recipe.init:
        found["density"] = recipe.density
    if solver in ("sgd", "adam"):
        found["solver"] = solver
    if solver == "sgd":
        found["momentum"] = recipe.momentum
    return found


def _topology_of(recipe: Recipe) -> str:
    """Return the name of a topology, with the options that a recipe has fields for."""
    more = {"update_every": recipe.update_every, "prune_rate": recipe.prune_rate}
    given = [f"{name}={value}" for name, value in more.items() if value is not None]
    if not given:
        return recipe.topology
    return f"{recipe.topology}{',' if ':' in recipe.topology else ':'}{','.join(given)}"


def _of_images(recipe: Recipe | None, network: Any) -> dict[str, Any]:
    """Return the model of a network of images: by its name where it has one, or as it is."""
    shape = {"image_shape": network.input_shape}
    if recipe is not None and recipe.ift == "none" and not recipe.init:
        return {"model": recipe.model, "width": recipe.width, **shape}
    return {"model": DescribedModel(network.architecture), **shape}


def _sizes_of(architecture: Architecture) -> tuple[dict[str, Any], bool]:
    """Return the parameters of an MLP's layers, and True if they describe all of it."""
    layers = [layer for layer in architecture.layers if layer.kind != "flatten"]
    linear = [layer.options["out_features"] for layer in layers if layer.kind == "linear"]
    kinds = {layer.kind for layer in layers}
    bends = [kind for kind in ACTIVATIONS if kind in kinds]
    rates = [layer.options.get("rate", 0.5) for layer in layers if layer.kind == "dropout"]
    found: dict[str, Any] = {
        "hidden_layer_sizes": tuple(linear[:-1]),
        "activation": bends[0] if bends else "identity",
        "dropout": rates[0] if rates else 0.0,
        "batch_norm": "batch_norm" in kinds,
    }
    if not linear:
        return {"hidden_layer_sizes": ()}, False
    made = mlp(architecture.input_shape, tuple(linear[:-1]), linear[-1],
               activation=found["activation"], dropout=found["dropout"],
               batch_norm=found["batch_norm"], name=architecture.name)  # fmt: skip
    return found, alike(_without_gains(made), _without_gains(architecture))


def _without_gains(architecture: Architecture) -> Architecture:
    """Return a description without what only the first values, or groups, depend on."""
    values = architecture.to_dict()
    for layer in values["layers"]:
        for name in ("gain", "group"):
            layer.pop(name, None)
    return Architecture.from_dict(values)


def results_of_run(facts: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what an estimator shows of its training, as far as files know it."""
    records = HistoryFile(path / "history.jsonl").read() if path.is_dir() else []
    losses = [float(record["loss"]) for record in records]
    recipe, samples = facts.get("recipe") or {}, (facts.get("training_data") or {}).get("samples")
    epochs = int(facts.get("trainer", {}).get("epochs_done", recipe.get("epochs", 0)))
    found: dict[str, Any] = {
        "loss_curve_": losses, "n_iter_": len(losses) or epochs,
        "loss_": losses[-1] if losses else None, "best_loss_": min(losses, default=None),
    }  # fmt: skip
    found["t_"] = found["n_iter_"] * (samples or 0)
    found["history_"] = shown_of(records)
    for score in ("validation_score", "train_score"):
        scores = [record[score] for record in records if score in record]
        if scores and len(scores) == len(records):
            found[f"{score}s_"] = scores
    if "validation_scores_" in found:
        found["best_validation_score_"] = max(found["validation_scores_"])
    return found
