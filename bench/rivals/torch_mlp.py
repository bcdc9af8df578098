"""A dense MLP's training step in PyTorch: in float32, and in bfloat16 under autocast.

Run as ``python -m sparsecpu.bench.rivals.torch_mlp``, it makes steps when it is asked to; see
``turns``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sparsecpu.bench.rivals.turns import Kind, serve


def kinds(layers: Sequence[int], batch: int) -> list[Kind]:
    """Return steps in each precision, with PyTorch's own number of threads and with one."""
    import torch

    from sparsecpu.bench.cases import Batches, NetworkCase
    from sparsecpu.bench.rivals.steps.torch import AutocastStep, TorchStep

    found: list[Kind] = []
    for threads in dict.fromkeys((torch.get_num_threads(), 1)):
        case = NetworkCase(tuple(layers), batch, (), threads)
        for rival in (TorchStep, AutocastStep):
            step = rival(case, Batches(case)).step
            found.append((rival.precision, _on(threads, step)))
    return found


def _on(threads: int, step: Callable[[], object]) -> Callable[[], None]:
    """Return a step on so many threads."""
    import torch

    def on_threads() -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        step()

    return on_threads


if __name__ == "__main__":
    import torch  # noqa: F401  (while the parent works)

    serve(kinds)
