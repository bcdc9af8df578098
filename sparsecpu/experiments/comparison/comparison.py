"""What is compared: methods, densities, seeds, folds; and the runs that this makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sparsecpu.datasets.names import data_name
from sparsecpu.errors import ParameterError
from sparsecpu.experiments.comparison.measures import Measure, measure_of
from sparsecpu.experiments.comparison.methods import (
    DENSE,
    SMALL_DENSE,
    recipe_of_method,
    spelled_method,
)
from sparsecpu.experiments.options import a_density, a_group
from sparsecpu.experiments.recipe import ALONE, Recipe
from sparsecpu.networks.groups import AUTO


@dataclass(frozen=True)
class Cell:
    """One training run of a comparison.

    ``method`` is ``"dense"`` (of density 1), ``"small-dense"``, a topology with its options, or
    ``"ift-wide/set"`` and the like; ``seed`` is that of everything random and of the folds;
    ``fold`` is the part that is held out, 0 where the data has its own test part; ``group`` is as
    in a recipe.
    """

    method: str
    density: float
    seed: int
    fold: int
    group: str = ALONE

    @property
    def kind(self) -> str:
        """What is compared, whatever the seed: method and density in words."""
        return f"{self.method} at density {self.density:g}"


@dataclass(frozen=True)
class Comparison:
    """Which methods are compared, on what data, and by which protocol.

    ``data`` and ``reading`` are arguments of ``datasets.open_data``; ``folds`` of 0 stand for the
    data's own test part; of several ``learning_rates`` the dense network's best serves all methods.
    ``groups`` are sizes, or "auto", of which ``chosen`` says what it took for each kind of cell.
    """

    data: str
    reading: dict[str, Any]
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    seeds: int = 5
    folds: int = 5
    recipe: Recipe = field(default_factory=Recipe)
    learning_rates: tuple[float, ...] = (0.02, 0.05, 0.1)
    groups: tuple[str, ...] = (ALONE,)
    chosen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        groups = tuple(a_group("groups", group) for group in self.groups)
        methods = tuple(map(spelled_method, self.methods))
        data = data_name(self.data)
        for name, value in (("data", data), ("groups", groups), ("methods", methods)):
            object.__setattr__(self, name, value)
        for name, values in (
            ("methods", self.methods),
            ("densities", self.densities),
            ("learning_rates", self.learning_rates),
            ("groups", self.groups),
        ):
            if not values or len(set(values)) < len(values):
                raise ParameterError(name, values, "at least one, and none twice")
        if isinstance(self.seeds, bool) or self.seeds < 1:
            raise ParameterError("seeds", self.seeds, "an integer of at least 1")
        if self.folds == 1 or self.folds < 0:
            raise ParameterError("folds", self.folds, "0, or an integer of at least 2")
        for density in self.densities:
            a_density("densities", density)
        for cell in self.cells():
            self._check(cell)

    def _check(self, cell: Cell) -> None:
        """Refuse a run that cannot be; a topology is called a method here."""
        try:
            self.recipe_of(cell, self.learning_rates[0])
        except ParameterError as error:
            if error.name != "topology":
                raise
            raise ParameterError("methods", cell.method, error.expected) from None

    @property
    def measure(self) -> Measure:
        """What the runs are scored by."""
        return measure_of(self.data)

    def cells(self) -> Iterator[Cell]:
        """Yield all runs, seed by seed, so that an interrupted comparison is a smaller one."""
        for seed in range(self.seeds):
            for fold in range(max(1, self.folds)):
                for method in self.methods:
                    for density in (1.0,) if method == DENSE else self.densities:
                        for group in (ALONE,) if method in (DENSE, SMALL_DENSE) else self.groups:
                            yield Cell(method, density, seed, fold, group)

    def recipe_of(self, cell: Cell, learning_rate: float) -> Recipe:
        """Return the recipe of a run, with the learning rate that was chosen."""
        group = self.chosen.get(cell.kind, cell.group) if cell.group == AUTO else cell.group
        changes = {"seed": cell.seed, "learning_rate": learning_rate, "group": group}
        return recipe_of_method(self.recipe, cell.method, cell.density, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain values, as JSON has them."""
        found = asdict(self)
        for name in ("methods", "densities", "learning_rates", "groups"):
            found[name] = list(found[name])
        del found["chosen"]
        return found
