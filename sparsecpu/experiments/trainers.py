"""The trainer of a recipe, and the samples as it sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.callbacks import Callback
from sparsecpu.datasets.text import LANGUAGE
from sparsecpu.errors import ConflictError, ParameterError
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.fine_tuning import last_weighted_layer
from sparsecpu.layers import Sequential
from sparsecpu.losses import Loss, SoftmaxCrossEntropy, SquaredError, TokenCrossEntropy
from sparsecpu.step.augmentation import AUGMENTATIONS
from sparsecpu.trainer import Trainer


def make_loss(recipe: Recipe, task: str) -> Loss:
    """Return softmax cross-entropy, of tokens for language; for regression the squared error."""
    if task == "regression":
        return SquaredError()
    if task == LANGUAGE:
        return TokenCrossEntropy(recipe.label_smoothing)
    return SoftmaxCrossEntropy(recipe.label_smoothing)


def make_trainer(
    recipe: Recipe,
    network: Sequential,
    task: str,
    samples: int,
    *,
    threads: int | None = None,
    callbacks: Iterable[Callback] = (),
    comm: Any = None,
) -> Trainer:
    """Return the trainer of a run on so many training samples, ready to fit."""
    return Trainer(
        network,
        loss=make_loss(recipe, task),
        optimizer=recipe.make_optimizer(),
        topology=recipe.make_topology(),
        learning_rate=recipe.make_schedule(recipe.course(samples).total_steps),
        batch_size=recipe.batch(samples),
        epochs=recipe.epochs,
        steps=recipe.steps,
        seed=recipe.seed,
        threads=threads,
        precision=recipe.precision,
        clip=recipe.clip,
        accumulate=recipe.accumulate,
        layer_rates=recipe.rates(last_weighted_layer(network)),
        lean=recipe.lean,
        comm=comm,
        callbacks=callbacks,
    )


def augmented(recipe: Recipe, x: Any, network: Sequential, trainer: Trainer) -> Any:
    """Return the samples to train on: as they are, or varied."""
    varied, rng = AUGMENTATIONS.find(recipe.augment), trainer.rngs["augmentation"]
    try:
        return varied(network.samples(x), network.input_shape, rng=rng)
    except ParameterError as error:
        if error.name != "input_shape":
            raise
        samples = f"samples of shape {error.value}"
        raise ConflictError("augment", samples, f"which are no {error.expected}") from None


def standardised_targets(y: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Return targets of regression with mean 0 and deviation 1, and the mean and scale they had."""
    mean, scale = y.mean(axis=0), y.std(axis=0)
    scale[scale == 0] = 1.0
    return (y - mean) / scale, {"target_mean": mean, "target_scale": scale}
