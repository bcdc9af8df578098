"""PyTorch modules of networks that read sequences of tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shape = tuple[int, ...]
Options = dict[str, Any]
#: Makes the modules of layers in order, for samples of a shape.
MakeChain = Callable[[list[Options], Shape], Any]


def embedding(nn: Any, shape: Shape, options: Options) -> Any:
    """Return the module of an embedding; see ``MODULES``."""
    import torch

    class Embedding(nn.Module):
        """A row of a table for each token, and one for each place."""

        def __init__(self) -> None:
            super().__init__()
            features = options["features"]
            self.table = nn.Parameter(0.02 * torch.randn(options["vocabulary"], features))
            self.positions = None
            if options.get("positions", True):
                length = options.get("length") or shape[0]
                self.positions = nn.Parameter(0.02 * torch.randn(length, features))

        def forward(self, ids):
            """Return the rows, (samples, length, features)."""
            y = nn.functional.embedding(ids, self.table)
            return y if self.positions is None else y + self.positions[: ids.shape[1]]

    return Embedding()


def attention(chain: MakeChain) -> Callable[[Any, Shape, Options], Any]:
    """Return what makes the module of attention, of chains that ``chain`` makes."""

    def make(nn: Any, shape: Shape, options: Options) -> Any:
        from sparsecpu.layers import Attention

        shapes, heads = Attention.inputs(shape, options), options["heads"]

        class Attending(nn.Module):
            """Multi-head attention; all tokens of a sequence count."""

            def __init__(self) -> None:
                super().__init__()
                for name, entries in Attention.entries(options).items():
                    setattr(self, name, chain(list(entries), shapes[name]))

            def forward(self, x):
                """Return what each token takes from the others."""

                def split(y):
                    return y.view(*y.shape[:2], heads, -1).transpose(1, 2)

                q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
                causal = options.get("causal", False)
                a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
                return self.output(a.transpose(1, 2).flatten(2))

        return Attending()

    return make


def feed_forward(chain: MakeChain) -> Callable[[Any, Shape, Options], Any]:
    """Return what makes the module of a feed-forward layer, of chains that ``chain`` makes."""

    def make(nn: Any, shape: Shape, options: Options) -> Any:
        from sparsecpu.layers import FeedForward

        shapes, gated = FeedForward.inputs(shape, options), options.get("gated", False)

        class Feeding(nn.Module):
            """Up, GELU or a gate of SiLU, down."""

            def __init__(self) -> None:
                super().__init__()
                for name, entries in FeedForward.entries(options).items():
                    setattr(self, name, chain(list(entries), shapes[name]))

            def forward(self, x):
                """Return the outputs."""
                wide = self.up(x)
                if gated:
                    return self.down(nn.functional.silu(self.gate(x)) * wide)
                approximate = options.get("approximate", "none")
                return self.down(nn.functional.gelu(wide, approximate=approximate))

        return Feeding()

    return make
