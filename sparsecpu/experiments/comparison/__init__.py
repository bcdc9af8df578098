"""Comparing methods by one protocol: the same samples, seeds and epochs, paired differences."""

from sparsecpu.experiments.comparison.plan import Cell, Plan, split_methods
from sparsecpu.experiments.comparison.runs import Runner, run_all, tune
from sparsecpu.experiments.comparison.statistics import paired, summarise

__all__ = ["Cell", "Plan", "Runner", "paired", "run_all", "split_methods", "summarise", "tune"]
