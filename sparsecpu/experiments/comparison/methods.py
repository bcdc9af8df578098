"""The methods that can be compared: how they are written, and what each makes of a recipe."""

from __future__ import annotations

import math
from dataclasses import replace
from inspect import signature
from typing import Any

from sparsecpu.experiments.networks import describe_dense
from sparsecpu.experiments.recipe import ALONE, Recipe
from sparsecpu.isoflop import TRANSFORMS
from sparsecpu.networks.models import find_model
from sparsecpu.registries.names import read_name
from sparsecpu.topology import TOPOLOGIES

#: The method that keeps every weight.
DENSE = "dense"
#: A dense network made narrower, with as many weights as the sparse ones.
SMALL_DENSE = "small-dense"
#: Methods that begin so are transformations of ``isoflop``, at sparsity 1 - density; a topology may
#: follow behind a slash, and is the paper's where none does.
_IFT, _IFT_TOPOLOGY = "ift-", "rigl"


def split_methods(text: str) -> tuple[str, ...]:
    """Read a list of methods whose options have commas too: ``"dense,gse:subset=2,rigl"``."""
    methods: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        name = part.partition("=")[0]
        if "=" in part and ":" not in name and methods:
            methods[-1] += "," + part
        elif part:
            methods.append(part)
    return tuple(methods)


def method_sentences() -> dict[str, str]:
    """Return all methods with a sentence for each.

    Topologies may have options, and one may follow behind a transform and a slash.
    """
    return {
        DENSE: "The network with all its weights.",
        SMALL_DENSE: "A narrower one with all its weights, as many as the sparse ones have.",
        **{name: TOPOLOGIES.sentence(name) for name in TOPOLOGIES},
        **{f"{_IFT}{name}": TRANSFORMS.sentence(name) for name in TRANSFORMS},
    }


def spelled_method(method: str) -> str:
    """Return a method with its names as they are registered, however the user has written them."""
    before, slash, after = method.partition("/")
    name = before.partition(":")[0]
    found = read_name("methods", name, method_sentences(), "methods")
    if not found.startswith(_IFT):
        return TOPOLOGIES.spelled(method) if found in TOPOLOGIES else found
    return found + slash + (TOPOLOGIES.spelled(after) if after else "")


def label_of(method: str, group: str) -> str:
    """Return what a method is called in a picture: with its groups where rows stand in any."""
    return method if group == ALONE else f"{method}, group {group}"


def recipe_of_method(recipe: Recipe, method: str, density: float, **changes: Any) -> Recipe:
    """Return the recipe with which a method trains at a density."""
    topology, ift = "static" if method in (DENSE, SMALL_DENSE) else method, "none"
    if method.startswith(_IFT):
        ift, _, topology = method.removeprefix(_IFT).partition("/")
    return replace(
        recipe,
        ift=ift,
        sparsity=round(1.0 - density, 12) if ift != "none" else recipe.sparsity,
        topology=topology or _IFT_TOPOLOGY,
        density=1.0 if method == SMALL_DENSE else density,
        **changes,
    )


def weights_of(recipe: Recipe, input_shape: tuple[int, ...], n_outputs: int) -> int:
    """Return how many weights the dense network of a recipe has."""
    shapes = describe_dense(recipe, input_shape, n_outputs).weight_shapes()
    return sum(math.prod(shape) for shape in shapes)


def _narrower(model: str, factor: float) -> str | None:
    """Return a transformer with so many times the numbers per token; None for another model.

    Each of its heads has as many of them.
    """
    described = find_model(model)
    known = {} if described is None else signature(described).parameters
    if described is None or not known.keys() >= {"width", "heads"}:
        return None
    heads, width = (int(known[name].default) for name in ("heads", "width"))
    name, _, options = model.partition(":")
    kept = [option for option in options.split(",") if option and not option.startswith("width=")]
    own = heads * max(1, round(factor * width / heads))
    return f"{name}:{','.join([*kept, f'width={own}'])}"


def narrowed(recipe: Recipe, weights: int, input_shape: tuple[int, ...], n_outputs: int) -> Recipe:
    """Return the recipe of the same network, dense but so narrow that it has at most ``weights``.

    A little more where one unit per layer is too many already.
    """
    shapes = describe_dense(recipe, input_shape, n_outputs).weight_shapes()
    options = "".join(recipe.model.partition(":")[1:])

    def at(factor: float) -> Recipe:
        if (text := _narrower(recipe.model, factor)) is not None:
            return replace(recipe, model=text)
        if any(len(shape) == 4 for shape in shapes):
            return replace(recipe, width=recipe.width * factor)
        hidden = (max(1, round(shape[0] * factor)) for shape in shapes[:-1])
        return replace(recipe, model=",".join(map(str, hidden)) + options)

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        fits = weights_of(at(middle), input_shape, n_outputs) <= weights
        low, high = (middle, high) if fits else (low, middle)
    return at(max(low, 1e-9))
