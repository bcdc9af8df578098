"""Benchmarks: this engine beside others, on this machine."""

from sparsecpu.bench.measuring.machine import cpu_model, describe, versions

__all__ = ["cpu_model", "describe", "versions"]
