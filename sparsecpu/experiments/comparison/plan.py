"""What is compared: methods, densities, seeds, folds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.experiments.recipe import Recipe

#: The method that keeps every weight.
DENSE = "dense"
#: A dense network made narrower, of as many weights as the sparse ones.
SMALL_DENSE = "small-dense"
#: Methods that begin so are transformations of ``isoflop``, at sparsity 1 - density; behind a slash
#: stands a topology, the paper's without one.
_IFT, _IFT_TOPOLOGY = "ift-", "rigl"


@dataclass(frozen=True)
class Cell:
    """One training run of a comparison.

    Parameters
    ----------
    method : str
        ``"dense"``, ``"small-dense"``, a topology as ``topology.make_topology`` reads it, or
        ``"ift-wide/set"`` and the like.
    density : float
        1 for ``"dense"``.
    seed : int
        Of everything random in it, and of the folds.
    fold : int
        Which part is held out; 0 where the data has its own test part.
    """

    method: str
    density: float
    seed: int
    fold: int


@dataclass(frozen=True)
class Plan:
    """A comparison.

    Parameters
    ----------
    data : str
        As ``datasets.open_data`` takes it.
    reading : dict
        Further arguments of ``open_data``.
    methods : tuple of str
        What is compared.
    densities : tuple of float
        At which densities.
    seeds : int
        Seeds 0, 1, ...
    folds : int
        Parts of stratified cross-validation, cut anew for every seed; 0 for the data's own test
        part.
    recipe : Recipe
        Everything else of a run.
    learning_rates : tuple of float
        Tried on the dense network alone; the best serves all methods. One number is taken as it is.

    Raises
    ------
    ParameterError
        If a list is empty or something in it is not allowed.
    """

    data: str
    reading: dict[str, Any]
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    seeds: int = 5
    folds: int = 5
    recipe: Recipe = field(default_factory=Recipe)
    learning_rates: tuple[float, ...] = (0.02, 0.05, 0.1)

    def __post_init__(self) -> None:
        for name, values in (
            ("methods", self.methods),
            ("densities", self.densities),
            ("learning_rates", self.learning_rates),
        ):
            if not values or len(set(values)) < len(values):
                raise ParameterError(name, values, "at least one, each once")
        if isinstance(self.seeds, bool) or self.seeds < 1:
            raise ParameterError("seeds", self.seeds, "an integer of at least 1")
        if self.folds == 1 or self.folds < 0:
            raise ParameterError("folds", self.folds, "0, or an integer of at least 2")
        for cell in self.cells():
            self.recipe_of(cell, self.learning_rates[0])  # refuses what is not allowed

    def cells(self) -> Iterator[Cell]:
        """Yield all runs, seed by seed, so that an interrupted comparison is a smaller one."""
        for seed in range(self.seeds):
            for fold in range(max(1, self.folds)):
                for method in self.methods:
                    for density in (1.0,) if method == DENSE else self.densities:
                        yield Cell(method, density, seed, fold)

    def recipe_of(self, cell: Cell, learning_rate: float) -> Recipe:
        """Return the recipe of a run.

        Parameters
        ----------
        cell : Cell
            The run.
        learning_rate : float
            The one that was chosen.

        Returns
        -------
        Recipe
            The recipe.
        """
        topology, ift = "static" if cell.method in (DENSE, SMALL_DENSE) else cell.method, "none"
        if cell.method.startswith(_IFT):
            ift, _, topology = cell.method[len(_IFT) :].partition("/")
        return replace(
            self.recipe,
            ift=ift,
            sparsity=round(1.0 - cell.density, 12) if ift != "none" else self.recipe.sparsity,
            topology=topology or _IFT_TOPOLOGY,
            density=1.0 if cell.method == SMALL_DENSE else cell.density,
            seed=cell.seed,
            learning_rate=learning_rate,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, as JSON has them."""
        found = asdict(self)
        for name in ("methods", "densities", "learning_rates"):
            found[name] = list(found[name])
        return found


def narrowed(recipe: Recipe, weights: int, input_shape: tuple[int, ...], n_outputs: int) -> Recipe:
    """Return the recipe of the same network, dense, but so narrow that it has few weights.

    Parameters
    ----------
    recipe : Recipe
        Of the wide network.
    weights : int
        Most that it may have; a little more where one unit per layer is too many already.
    input_shape : tuple of ints
        Of one sample.
    n_outputs : int
        Numbers to put out.

    Returns
    -------
    Recipe
        With another model, or another width.
    """
    shapes = recipe.dense(input_shape, n_outputs).weight_shapes()

    def at(factor: float) -> Recipe:
        if any(len(shape) == 4 for shape in shapes):
            return replace(recipe, width=recipe.width * factor)
        hidden = (max(1, round(shape[0] * factor)) for shape in shapes[:-1])
        return replace(recipe, model=",".join(map(str, hidden)))

    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        size = sum(math.prod(s) for s in at(middle).dense(input_shape, n_outputs).weight_shapes())
        low, high = (middle, high) if size <= weights else (low, middle)
    return at(max(low, 1e-9))


def split_methods(text: str) -> tuple[str, ...]:
    """Read a list of methods, whose options have commas too.

    Parameters
    ----------
    text : str
        ``"dense,set,gse:distribution=grabo,subset=2,rigl"``.

    Returns
    -------
    tuple of str
        Four methods, here.
    """
    methods: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        name = part.partition("=")[0]
        if "=" in part and ":" not in name and methods:
            methods[-1] += "," + part
        elif part:
            methods.append(part)
    return tuple(methods)
