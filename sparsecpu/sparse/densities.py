"""How many weights each layer keeps: uniform, Erdős–Rényi, Erdős–Rényi kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.registries import Registry
from sparsecpu.registries.numbers import is_number
from sparsecpu.sparse.apportioning import round_to_total

Shape = tuple[int, ...]


def uniform(shapes: Sequence[Shape], density: float) -> np.ndarray:
    """Return the same density for every layer."""
    return np.full(len(shapes), float(density))


def erk(shapes: Sequence[Shape], density: float) -> np.ndarray:
    r"""Return densities proportional to the sum of a layer's dimensions over their product.

    :math:`d_l = \epsilon \sum_i n_{l,i} / \prod_i n_{l,i}`. A layer whose density would exceed 1
    is full, and ``epsilon`` is solved again for the others, so that the overall density holds.

    Notes
    -----
    Evci et al., Rigging the Lottery (2020), section 3, and its released code.
    """
    return _solve(shapes, density, [sum(shape) / np.prod(shape) for shape in shapes])


def er(shapes: Sequence[Shape], density: float) -> np.ndarray:
    """Return densities proportional to (n_in + n_out) / (n_in n_out), full layers re-solved.

    Notes
    -----
    Mocanu et al., Scalable training of artificial neural networks with adaptive sparse
    connectivity (2018), equation 3.
    """
    return _solve(shapes, density, [sum(shape[:2]) / np.prod(shape[:2]) for shape in shapes])


def _solve(shapes: Sequence[Shape], density: float, raw: Sequence[float]) -> np.ndarray:
    sizes = np.array([np.prod(shape, dtype=np.float64) for shape in shapes])
    weights = np.array(raw, dtype=np.float64)
    full = np.zeros(len(shapes), dtype=bool)
    while not full.all():
        left = density * sizes.sum() - sizes[full].sum()
        epsilon = left / (weights * sizes)[~full].sum()
        over = ~full & (epsilon * weights > 1.0)
        if not over.any():
            return np.where(full, 1.0, epsilon * weights)
        full |= over & (weights == weights[~full].max())
    return np.ones(len(shapes))


#: Rules by the name that users give.
DISTRIBUTIONS: Registry[Callable[[Sequence[Shape], float], np.ndarray]] = Registry(
    "distribution", {"erk": erk, "er": er, "uniform": uniform}, "distributions"
)


def allocate(shapes: Sequence[Shape], density: float, distribution: str = "erk") -> list[int]:
    """Return how many weights each layer keeps; they add up to ``round(density * size)`` exactly.

    Each keeps one at least, even where that is more.
    """
    check_density(density)
    sizes = np.array([np.prod(shape, dtype=np.int64) for shape in shapes])
    wanted = np.minimum(DISTRIBUTIONS.find(distribution)(shapes, density) * sizes, sizes)
    total = max(round(density * int(sizes.sum())), len(shapes))
    return round_to_total(wanted, total, lower=np.ones_like(sizes), upper=sizes).tolist()


def check_density(density: float, name: str = "density") -> float:
    """Return a density; refuse what is not a number in (0, 1]."""
    if not (is_number(density) and 0.0 < density <= 1.0):
        raise ParameterError(name, density, "a number in (0, 1]")
    return float(density)
