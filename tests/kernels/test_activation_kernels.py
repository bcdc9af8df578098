"""The vector exponential function and what is made of it, against float64 and wider."""

import numpy as np
import pytest

from sparsecpu.kernels import activations
from sparsecpu.kernels.activations import activation_kernel, slope_kernel
from sparsecpu.kernels.machine.threads import available_threads, use_threads
from sparsecpu.kernels.vectors.exponential import plain_exp

#: Where exp leaves the normal numbers on either side, and where it ends.
ENDS = {np.float32: (-87.3, 88.72, -104.0), np.float64: (-708.3, 709.78, -745.2)}
OTHERS = ["tanh", "sigmoid", "silu", "gelu", "gelu_tanh"]


def applied(name, x):
    y = np.empty_like(x)
    with use_threads(1):
        activation_kernel(name)(x, y)
    return y


def slope(name, x):
    dx = np.empty_like(x)
    with use_threads(1):
        slope_kernel(name)(x, np.ones_like(x), dx)
    return dx


def last_places(found, wanted):
    """Return by how many units in the last place results are off; wanted has more digits."""
    unit = np.spacing(np.abs(wanted.astype(found.dtype)))
    return np.abs(found.astype(wanted.dtype) - wanted) / unit.astype(wanted.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_is_right_to_two_units_in_the_last_place(dtype, rng):
    low, high, end = ENDS[dtype]
    exact = np.float64 if dtype == np.float32 else np.longdouble
    if np.finfo(exact).nmant < np.finfo(dtype).nmant + 8:
        pytest.skip("no wider numbers to compare with")
    for reach in ((low, high), (end, low), (-1, 1), (-1e-3, 1e-3), (-1e-30, 1e-30)):
        x = rng.uniform(*reach, 30_001).astype(dtype)
        assert last_places(applied("exponential", x), np.exp(x.astype(exact))).max() <= 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exp_at_the_ends(dtype):
    _, high, end = ENDS[dtype]
    x = np.array([np.inf, -np.inf, np.nan, 0, -0.0, high + 1, 1e30, end - 1, -1e30], dtype)
    np.testing.assert_array_equal(
        applied("exponential", x), np.array([np.inf, 0, np.nan, 1, 1, np.inf, np.inf, 0, 0], dtype)
    )
    least = np.array([end + 0.6, end + 1], dtype)  # what is left is subnormal
    assert (applied("exponential", least) > 0).all()


def test_the_steps_of_exp_are_what_is_written(rng):
    x = np.concatenate([rng.uniform(-740, 709, 1000), [1000, -1000, np.nan]])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(plain_exp(x), np.exp(x), rtol=1e-15)


@pytest.mark.parametrize("name", OTHERS)
def test_activations(name, rng):
    define = getattr(activations, f"plain_{name}")
    for reach in (1e-6, 1, 8, 30):
        x = rng.uniform(-reach, reach, 10_003)
        with np.errstate(under="ignore"):
            y, wanted = define(x)
        far = 1e-11 if name.startswith("gelu") else 1e-13  # how far out rounding of x**2 matters
        np.testing.assert_allclose(applied(name, x), y, rtol=far, atol=1e-300)
        np.testing.assert_allclose(slope(name, x), wanted, rtol=far, atol=1e-15)


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_activations_in_float32(name, rng):
    x = rng.uniform(-6, 6, 10_003).astype(np.float32)
    y, wanted = getattr(activations, f"plain_{name}")(x.astype(np.float64))
    np.testing.assert_allclose(applied(name, x), y, rtol=4e-6)
    np.testing.assert_allclose(slope(name, x), wanted, rtol=4e-6, atol=3e-7)


@pytest.mark.parametrize("name", OTHERS)
def test_activations_at_the_ends(name):
    x = np.array([np.inf, 1e300, -1e300, np.nan, 0])
    wanted = {"tanh": [1, 1, -1, np.nan, 0], "sigmoid": [1, 1, 0, np.nan, 0.5]}
    wanted = wanted.get(name, [np.inf, 1e300, 0, np.nan, 0])
    np.testing.assert_array_equal(applied(name, x), wanted)
    finite = slope(name, x[1:3])
    flat = name in ("tanh", "sigmoid")
    np.testing.assert_array_equal(finite, [0, 0] if flat else [1, 0])


@pytest.mark.skipif(available_threads() < 2, reason="needs two threads")
def test_activations_on_any_number_of_threads(rng):
    x = rng.standard_normal(100_003).astype(np.float32)
    alone, together = applied("gelu", x), np.empty_like(x)
    with use_threads(2):
        activation_kernel("gelu")(x, together)
    np.testing.assert_array_equal(together, alone)
