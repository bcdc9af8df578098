"""Benchmarks: this engine beside others, on this machine."""

if __name__ == "bench":  # a bare name, which may be meant for somebody else's package
    raise ModuleNotFoundError("import sparsecpu.bench", name="bench")

from sparsecpu.bench.measuring.machine import cpu_model, describe, versions

__all__ = ["cpu_model", "describe", "versions"]
