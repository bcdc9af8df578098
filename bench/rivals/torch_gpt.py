"""A GPT as people write it in PyTorch: one product for queries, keys and values."""

from __future__ import annotations

from typing import Any

from sparsecpu.bench.cases import NetworkCase


def torch_gpt(case: NetworkCase, linear: Any = None) -> Any:
    """Return the module of a case's language model, dense, with new weights.

    ``linear`` computes linear layers in place of ``torch.nn.functional.linear``. Beside ``forward``
    of whole sequences it has ``step``: one token of each stream, with kept keys and values.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    product = linear or functional.linear
    first, *blocks = case.described().layers[:-2]
    width, vocabulary = first.options["features"], first.options["vocabulary"]
    heads = blocks[0].options["branch"][1]["heads"]

    class Linear(nn.Linear):
        def forward(self, x):
            return product(x, self.weight, self.bias)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.projections, self.output = Linear(width, 3 * width), Linear(width, width)
            self.up, self.gelu = Linear(width, 4 * width), nn.GELU("tanh")
            self.down = Linear(4 * width, width)

        def forward(self, x, kept=None, at=0):
            q, k, v = self.projections(self.before(x)).split(width, dim=2)
            q, k, v = (t.view(*t.shape[:2], heads, -1).transpose(1, 2) for t in (q, k, v))
            if kept is not None:
                kept[0][:, :, at : at + 1], kept[1][:, :, at : at + 1] = k, v
                k, v = (t[:, :, : at + 1] for t in kept)
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=kept is None)
            x = x + self.output(a.transpose(1, 2).flatten(2))
            return x + self.down(self.gelu(self.up(self.between(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.places = nn.Parameter(0.02 * torch.randn(case.sizes[0], width))
            self.blocks = nn.ModuleList(Block() for _ in blocks[::2])
            self.norm, self.head = nn.LayerNorm(width), Linear(width, vocabulary, bias=False)

        def forward(self, ids):
            x = self.tokens(ids) + self.places[: ids.shape[1]]
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x))

        def memory(self, streams):
            shape = 2, streams, heads, case.sizes[0], width // heads
            return [torch.randn(shape) for _ in self.blocks]

        def step(self, ids, memory, at):
            x = self.tokens(ids) + self.places[at : at + 1]
            for block, kept in zip(self.blocks, memory, strict=True):
                x = block(x, kept, at)
            return self.head(self.norm(x))

    return GPT()


def onednn_linear() -> Any:
    """Return linear layers through oneDNN, which PyTorch has but does not use by default."""
    import torch

    product = torch.ops.mkldnn._linear_pointwise

    def multiply(x: Any, w: Any, bias: Any = None) -> Any:
        return product(x, w, bias, "none", [], "")

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, bias):
            ctx.save_for_backward(x, w)
            ctx.has_bias = bias is not None
            return multiply(x, w, bias)

        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            flat, dx = dy.reshape(-1, dy.shape[-1]), multiply(dy, w.t())
            dw = multiply(flat.t(), x.reshape(-1, x.shape[-1]).t())
            return dx, dw, flat.sum(dim=0) if ctx.has_bias else None

    return Product.apply
