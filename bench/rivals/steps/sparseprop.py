"""Training steps of PyTorch with SparseProp's layers."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from sparsecpu.bench.rivals.base import SPARSEPROP
from sparsecpu.bench.rivals.steps.torch import TorchImageStep


class SparsePropStep(TorchImageStep):
    """Our weights in SparseProp's convolutions, each in the fastest of its forms or dense."""

    name, needs, how, dense, sparse = "SparseProp", "sparseprop", SPARSEPROP, False, True

    def make_network(self) -> Any:
        from sparseprop.modules import SparseConv2d

        from sparsecpu.interop import to_torch

        described = self.case.sparse(self.variant)
        network = to_torch(described.build(np.random.default_rng(0))).train()
        for name, x in _inputs(network, self.x[self.batches.order[0]]).items():
            conv, (parent, _, last) = network.get_submodule(name), name.rpartition(".")
            forms = [conv, *(SparseConv2d.from_dense(conv, pixels) for pixels in (False, True))]
            best = min(forms, key=lambda form: _seconds(form, x.detach()))
            setattr(network.get_submodule(parent), last, best)
        return network


def _inputs(network: Any, x: Any) -> dict[str, Any]:
    """Return the input of every convolution of a network, by name."""
    import torch

    seen: dict[str, Any] = {}
    hooks = [
        module.register_forward_hook(
            lambda _, inputs, __, name=name: seen.update({name: inputs[0]})
        )
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    network(x)
    for hook in hooks:
        hook.remove()
    return seen


def _seconds(module: Any, x: Any) -> float:
    """Return the least of three times of a forward and a backward pass."""
    times = []
    for _ in range(3):
        leaf = x.clone().requires_grad_()
        start = time.perf_counter()
        module(leaf).sum().backward()
        times.append(time.perf_counter() - start)
    return min(times)
