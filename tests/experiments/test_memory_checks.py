"""Runs that would not fit into the memory that is free are refused before they begin."""

import numpy as np
import pytest
from commands import run

from sparsecpu import SparseMLPClassifier
from sparsecpu.errors import MemoryBudgetError
from sparsecpu.experiments.comparison import Comparison, Runner
from sparsecpu.experiments.memory import check_comparison, check_memory, need_of
from sparsecpu.experiments.recipe import Recipe
from sparsecpu.networks.description import mlp
from sparsecpu.topology import make_topology

MB = 10**6


@pytest.fixture
def free(monkeypatch):
    """Return a function that says how many bytes are free."""

    def say(size):
        monkeypatch.setattr("sparsecpu.reading.memory.free_memory", lambda: size)

    return say


def test_a_container_of_400_mb_refuses_what_it_would_be_killed_for(free):
    free(350 * MB)  # what Python and Numba leave of it
    done = run("train", "make:wide", "--neurons", 1_500_000, "--samples", 60)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "350 MB are free" in done.stderr


def test_the_history_of_patterns_is_left_out_before_a_run_is_refused(free):
    recipe, described = Recipe(), mlp(1000, (2000, 2000), 10).sparsify(0.1)
    whole = need_of(recipe, described, 1000, tracked=True).total
    plain = need_of(recipe, described, 1000).total
    assert plain < whole
    for size, tracked, lines in ((whole, True, 0), (whole - 1, False, 1), (plain, False, 1)):
        free(size)
        said = []
        assert check_memory(described, recipe, 1000, said.append) == tracked
        assert len(said) == lines
    free(plain - 1)
    with pytest.raises(MemoryBudgetError):
        check_memory(described, recipe, 1000, said.append)


def test_what_topologies_take_counts():
    described = mlp(60_000, (60_000,), 10).sparsify(1e-3, "uniform")

    def needed(topology, **options):
        return need_of(Recipe(topology=topology, **options), described, 1000).total

    nnz = sum(int(1e-3 * a * b) for a, b in described.weight_shapes())
    candidates = needed("sparse-momentum:source=candidates")
    assert candidates - needed("static") >= 4 * 20 * nnz
    assert needed("rigl") - needed("static") >= 4 * 60_000**2 / 128  # rows that a threshold is from
    assert make_topology("static").memory([(9, 9)], [9], 1, 1, 0.9) == 0


def test_processes_of_a_comparison_count_each(free):
    comparison = Comparison(
        "iris", {}, ("static", "dense"), (0.3,), recipe=Recipe(model="2000,2000")
    )
    runner = Runner(comparison)
    free(10**12)
    check_comparison(runner, 2)
    free(500 * MB)
    check_comparison(runner, 1)
    with pytest.raises(MemoryBudgetError, match="dense at density 1") as caught:
        check_comparison(runner, 2)
    assert "--jobs 1" in str(caught.value)
    free(100 * MB)
    with pytest.raises(MemoryBudgetError, match="would need about"):
        check_comparison(runner, 1)


def test_an_estimator_refuses_what_does_not_fit(free, rng):
    x, y = rng.standard_normal((20, 50)), np.arange(20) % 2
    free(200 * MB)
    SparseMLPClassifier((20,), max_iter=2, tol=0).partial_fit(x, y, classes=[0, 1])
    with pytest.raises(MemoryBudgetError, match="200 MB are free"):
        SparseMLPClassifier((20_000, 20_000), density=0.1).fit(x, y)
