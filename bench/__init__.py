"""Measurements: what to time, beside which rivals, and how to say it."""

from sparsecpu.bench.machine import cpu_model, describe, versions

__all__ = ["cpu_model", "describe", "versions"]
