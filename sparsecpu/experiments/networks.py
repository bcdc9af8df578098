"""The networks of a recipe: described dense, described sparse, and built."""

from __future__ import annotations

import inspect
import math
from typing import Any

import numpy as np

from sparsecpu.errors import ConflictError, ParameterError
from sparsecpu.experiments.language import check_kinds, in_windows_of
from sparsecpu.experiments.neurons import HIDDEN_LAYERS
from sparsecpu.experiments.pixels import check_images
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.files.fine_tuning import start_from
from sparsecpu.files.model import load_all
from sparsecpu.isoflop import TRANSFORMS
from sparsecpu.layers import Sequential
from sparsecpu.networks.at_start import CHOOSERS, choose, draw_batch
from sparsecpu.networks.description import Architecture, mlp
from sparsecpu.networks.groups import AUTO, in_groups, read_group, take_forms
from sparsecpu.networks.models import find_model, hidden_sizes
from sparsecpu.registries import defaults, read_options
from sparsecpu.registries.registry import with_options
from sparsecpu.sparse.first_patterns import PATTERNS
from sparsecpu.step.standardising import standardise
from sparsecpu.step.streams import streams


def describe_dense(recipe: Recipe, input_shape: tuple[int, ...], n_outputs: int) -> Architecture:
    """Describe the network with all its weights."""
    if recipe.init:
        own = _started(recipe, input_shape, n_outputs).architecture
        return own.with_counts(math.prod(shape) for shape in own.weight_shapes())
    if recipe.neurons is not None:
        hidden = (recipe.neurons // HIDDEN_LAYERS,) * HIDDEN_LAYERS
        return mlp(input_shape, hidden, n_outputs)
    described = find_model(recipe.model)
    if described is None:
        if recipe.width != 1.0:
            raise ConflictError("width", recipe.model, "which has no channels")
        return _describe_sizes(recipe.model, input_shape, n_outputs)
    options = {} if recipe.width == 1.0 else {"width": recipe.width}
    if not options.keys() <= inspect.signature(described).parameters.keys():
        raise ConflictError("width", recipe.model, "which has no channels")
    try:
        return described(input_shape, n_outputs, **options)
    except ParameterError as error:
        if error.name != "input_shape":
            raise
        fitting = f"one for samples of shape {input_shape}, such as 300,100"
        expected = f"{fitting}; {recipe.model} is for {error.expected}"
        raise ParameterError("model", recipe.model, expected) from None


def _describe_sizes(text: str, input_shape: tuple[int, ...], n_outputs: int) -> Architecture:
    """Describe an MLP by sizes of its hidden layers, such as ``"300,100:activation=gelu"``."""
    sizes, options = read_options("model", text)
    hidden = hidden_sizes(text)
    given = ("input_shape", "hidden", "n_outputs")
    return with_options(sizes, mlp, options, given)(input_shape, hidden, n_outputs)


def describe(recipe: Recipe, input_shape: tuple[int, ...], n_outputs: int) -> Architecture:
    """Describe the network that is trained, with its weights shared out among the layers."""
    if recipe.init:
        return _started(recipe, input_shape, n_outputs).architecture
    described, group = _share_out(recipe, input_shape, n_outputs), read_group(recipe.group)
    # A model that has groups of its own keeps them where the recipe says no others.
    return described if group in (AUTO, defaults.GROUP) else in_groups(described, group)


def _share_out(recipe: Recipe, input_shape: tuple[int, ...], n_outputs: int) -> Architecture:
    dense = describe_dense(recipe, input_shape, n_outputs)
    if recipe.ift != "none":
        return TRANSFORMS[recipe.ift](dense, recipe.sparsity)
    if recipe.neurons is not None:
        wanted = recipe.per_neuron * (recipe.neurons + n_outputs)
        size = sum(math.prod(shape) for shape in dense.weight_shapes())
        return dense.sparsify(min(1.0, wanted / size), "er")
    return dense.sparsify(recipe.density, recipe.distribution)


def _started(recipe: Recipe, input_shape: tuple[int, ...], n_outputs: int) -> Sequential:
    """Return the network of ``init``, with a head of ``n_outputs``."""
    return start_from(recipe.init, input_shape, n_outputs, recipe.seed, new_head=recipe.new_head)


def fitted(recipe: Recipe, dataset: Any) -> Any:
    """Return a data set as the network is to read it: text in windows of the network's block."""
    if recipe.init:
        path = recipe.init
        return in_windows_of(dataset, lambda shape: load_all(path)[1]["architecture"])
    return in_windows_of(dataset, lambda shape: describe_dense(recipe, shape, dataset.n_outputs))


def describe_for(recipe: Recipe, dataset: Any) -> Architecture:
    """Describe the network for a data set; refuse one of images, or of text, where it is none."""
    architecture = describe(recipe, dataset.input_shape, dataset.n_outputs)
    check_kinds(architecture, dataset, recipe.init or recipe.model)
    check_images(
        architecture.name, architecture.input_shape, dataset.name, dataset.x_train,
        dataset.input_shape, dataset.columns,
    )  # fmt: skip
    return architecture


def build(recipe: Recipe, architecture: Architecture, x: Any, y: Any, scaling: str) -> Sequential:
    """Build the network with the recipe's seed, ready to be trained.

    The training samples ``x, y`` give the scale of the inputs (see ``standardise``), and a batch to
    patterns that are chosen by data.
    """
    if recipe.init:
        network = _started(recipe, architecture.input_shape, architecture.widths()[-1])
        if not network.offset.size:
            standardise(network, x, scaling)
        return network
    drawn = recipe.pattern if recipe.pattern in PATTERNS else "random"
    network = architecture.build(streams(recipe.seed)["init"], pattern=drawn)
    standardise(network, x, scaling)
    if recipe.pattern in CHOOSERS:
        chosen = _chosen_patterns(recipe, architecture, network, x, np.asarray(y))
        network = architecture.build(streams(recipe.seed)["init"], pattern=chosen)
        standardise(network, x, scaling)
    take_forms(network, read_group(recipe.group))
    return network


def _chosen_patterns(recipe, architecture, network, x, y) -> Any:
    """Return patterns chosen before training, by a batch of samples where they need one."""
    if recipe.pattern == "snip" and (y.ndim != 1 or y.dtype.kind not in "iu"):
        raise ConflictError("pattern snip", "regression", "which has no classes")
    rows, batch = draw_batch(network, x, recipe.seed)
    return choose(recipe.pattern, architecture, recipe.seed, batch, y[rows])
