"""Where the time of a step goes, by kind of layer."""

from __future__ import annotations

import collections
import time
from collections.abc import Callable
from typing import Any

from sparsecpu.layers.autotune import inner_layers
from sparsecpu.layers.chain import Chain

#: What layers do, and what it is called here; a convolution's backward pass has two parts.
_PARTS = {
    "forward": "forward", "backward": "backward", "filter_gradient": "dW", "input_gradient": "dx",
}  # fmt: skip


def least_times(network: Any, step: Callable[[], object], turns: int = 7) -> dict[str, float]:
    """Return the milliseconds of a step by kind of layer and pass, the largest first.

    Each call counts with the least time it took in several steps, and without what layers inside it
    took. What others take of the CPU only adds to a time, so the least ones tell where a step's
    time goes even on a busy machine. Gather, loss and update are not in them.

    Parameters
    ----------
    network : Sequential
        Whose layers to time.
    step : callable
        Does a step with it.
    turns : int
        Steps; the first is not counted.

    Returns
    -------
    dict of str to float
        Such as ``{"conv2d dW": 12.1, "conv2d forward": 10.5}``.
    """
    calls: list[tuple[str, float]] = []
    inner: list[float] = []  # seconds inside each call that is going on
    changed = []
    for _, layer in inner_layers(network):
        if isinstance(layer, Chain):  # only calls others
            continue
        for method, part in _PARTS.items():
            if hasattr(layer, method):
                name = f"{layer.kind} {part}"
                setattr(layer, method, _timed(getattr(layer, method), name, calls, inner))
                changed.append((layer, method))
    least: list[tuple[str, float]] = []
    try:
        step()
        for _ in range(turns - 1):
            calls.clear()
            step()
            before = least or calls
            least = [
                (name, min(one, other))
                for (name, one), (_, other) in zip(before, calls, strict=True)
            ]
    finally:
        for layer, method in changed:
            delattr(layer, method)
    sums: collections.Counter[str] = collections.Counter()
    for name, seconds in least:
        sums[name] += 1e3 * seconds  # type: ignore[assignment]
    return dict(sums.most_common())


def _timed(call: Callable, name: str, calls: list, inner: list[float]) -> Callable:
    def timed(*arguments: Any, **options: Any) -> Any:
        inner.append(0.0)
        start = time.perf_counter()
        result = call(*arguments, **options)
        spent = time.perf_counter() - start
        calls.append((name, spent - inner.pop()))
        if inner:
            inner[-1] += spent
        return result

    return timed
