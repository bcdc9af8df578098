"""Attention in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

from sparsecpu.bench.cases import AttentionCase
from sparsecpu.bench.rivals.base import Rival


class TorchAttention(Rival):
    """PyTorch's ``scaled_dot_product_attention``, which streams over keys as well."""

    name, needs = "PyTorch", "torch"

    def __init__(self, case: AttentionCase) -> None:
        import torch

        torch.set_num_threads(case.threads)
        kind = torch.bfloat16 if self.precision == "bf16" else torch.float32
        shape = case.sequences, case.heads, case.length, case.size
        q, k, v = (torch.randn(shape).to(kind).requires_grad_() for _ in range(3))
        attend = torch.nn.functional.scaled_dot_product_attention
        y = attend(q, k, v, is_causal=case.causal)
        dy = torch.randn_like(y)

        def forward() -> object:
            with torch.no_grad():
                return attend(q, k, v, is_causal=case.causal)

        self.forward = forward
        self.backward = lambda: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)

    def parts(self) -> dict[str, Callable[[], object]]:
        """Return what is timed: outputs, and the gradients of queries, keys and values."""
        return {"forward": self.forward, "backward": self.backward}


class BFloat16Attention(TorchAttention):
    """The same in bfloat16; all operands lie ready in 16 bits."""

    name, precision = "PyTorch bf16", "bf16"


#: A new rival is one class above and one entry here.
RIVALS: tuple[type[TorchAttention], ...] = (TorchAttention, BFloat16Attention)
