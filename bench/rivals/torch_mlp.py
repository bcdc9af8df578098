"""A dense MLP's training step in PyTorch: in float32, and in bfloat16 under autocast.

Run as ``python -m sparsecpu.bench.rivals.torch_mlp``, it reads what ``numpy_mlp`` reads and prints
one line of JSON, the milliseconds of a step: ``{"fp32": 1.2, "bf16": 0.8}``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

#: Seconds after which a step is not made again: bfloat16 on CPUs that have no instructions for it.
_PATIENCE = 5.0


def time_steps(layers: Sequence[int], batch: int, seconds: float = 0.25) -> dict[str, float]:
    """Return the median milliseconds of a step in each precision.

    With PyTorch's own number of threads or with one, whichever is faster.
    """
    import torch

    from sparsecpu.bench.cases import Batches, NetworkCase
    from sparsecpu.bench.rivals.steps.torch import AutocastStep, TorchStep

    found: dict[str, float] = {}
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        case = NetworkCase(tuple(layers), batch, (), threads)
        for rival in (TorchStep, AutocastStep):
            ms = _median(rival(case, Batches(case)).step, seconds)
            found[rival.precision] = min(ms, found.get(rival.precision, ms))
    return found


def _median(step: Callable[[], object], seconds: float) -> float:
    times: list[float] = []
    began = time.perf_counter()
    step()  # warms up
    while len(times) < 5 or (time.perf_counter() - began < seconds and len(times) < 2000):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
        if time.perf_counter() - began > _PATIENCE:
            break
    return float(np.median(times))


if __name__ == "__main__":
    import torch  # noqa: F401  (while the parent works)

    request = sys.stdin.read()
    if request:  # empty if the parent has ended
        print(json.dumps(time_steps(**json.loads(request))))
