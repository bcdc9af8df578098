"""Comparing methods by one protocol: the same samples, seeds and epochs, paired differences."""

from sparsecpu.experiments.comparison.comparison import Cell, Comparison
from sparsecpu.experiments.comparison.measures import Measure, has_its_test, measure_of
from sparsecpu.experiments.comparison.methods import split_methods
from sparsecpu.experiments.comparison.runs import Runner, run_all, tune, tuning_runs
from sparsecpu.experiments.comparison.statistics import paired, summarise

__all__ = [
    "Cell",
    "Comparison",
    "Measure",
    "Runner",
    "has_its_test",
    "measure_of",
    "paired",
    "run_all",
    "split_methods",
    "summarise",
    "tune",
    "tuning_runs",
]
