import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecpu.errors import ParameterError
from sparsecpu.sparse.densities import allocate, erk, uniform

LENET = [(300, 784), (100, 300), (10, 100)]
LENET5 = [(20, 1, 5, 5), (50, 20, 5, 5), (500, 800), (10, 500)]


@pytest.mark.parametrize(
    ("shapes", "density", "wanted"),
    [
        (LENET, 0.05, (0.0385, 0.1113, 0.9185)),
        (LENET, 0.1, (0.0796, 0.2302, 1)),
        (LENET, 0.01, (0.0077, 0.0223, 0.1837)),
        (LENET5, 0.05, (0.7261, 0.0375, 0.0381, 1)),
        ([(300, 64), (100, 300), (10, 100)], 0.05, (0.0544, 0.0383, 0.3159)),
    ],
)
def test_erk_reference_values(shapes, density, wanted):
    np.testing.assert_allclose(erk(shapes, density), wanted, atol=6e-5)


@given(
    shapes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=6),
    density=st.floats(0.001, 1.0),
    distribution=st.sampled_from(["erk", "er", "uniform"]),
)
def test_counts_add_up_exactly(shapes, density, distribution):
    counts = allocate(shapes, density, distribution)
    sizes = [a * b for a, b in shapes]
    assert sum(counts) == max(round(density * sum(sizes)), len(shapes))
    assert all(1 <= c <= s for c, s in zip(counts, sizes, strict=True))


def test_saturated_layers_are_full():
    counts = allocate(LENET, 0.1, "erk")
    assert counts[2] == 1000
    assert uniform(LENET, 0.3).tolist() == [0.3] * 3


@pytest.mark.parametrize("density", [0, -1, 2, float("nan"), "x", None])
def test_bad_density(density):
    with pytest.raises(ParameterError, match="density"):
        allocate(LENET, density)


def test_bad_distribution():
    with pytest.raises(ParameterError, match="distribution"):
        allocate(LENET, 0.5, "ekr")
