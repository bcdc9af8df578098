"""PyTorch modules of the layers that work on tokens; see ``torch_modules``."""

from __future__ import annotations

from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers import Attention, FeedForward, PatchEmbedding
from sparsecpu.layers.composite import Composite

Shape = tuple[int, ...]
Options = dict[str, Any]


def _chains(made: type[Composite], shape: Shape, options: Options) -> dict[str, Any]:
    """Return the modules of a layer's chains, by name."""
    from sparsecpu.files.interop.torch_modules import chain_of

    inputs = made.inputs(shape, options)
    return {
        name: chain_of(list(entries), inputs[name])
        for name, entries in made.entries(options).items()
    }


def attention(nn: Any, shape: Shape, options: Options) -> Any:
    """Return attention; all sequences are of one length."""
    if options.get("rotary"):
        raise ParameterError("rotary", options["rotary"], "none, which PyTorch has no module for")
    heads, causal = options["heads"], options.get("causal", False)

    class Attend(nn.Module):
        """Softmax attention between the tokens of each sample."""

        def __init__(self) -> None:
            super().__init__()
            for name, chain in _chains(Attention, shape, options).items():
                setattr(self, name, chain)

        def forward(self, x):
            """Return what each token takes from the others."""
            parts = (self.query(x), self.key(x), self.value(x))
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)
            found = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
            return self.output(found.transpose(1, 2).flatten(2))

    return Attend()


def feed_forward(nn: Any, shape: Shape, options: Options) -> Any:
    """Return up, activation, down."""
    gated, approximate = options.get("gated", False), options.get("approximate", "none")

    class Forward(nn.Module):
        """A wide layer between two linear ones, perhaps gated by a third."""

        def __init__(self) -> None:
            super().__init__()
            for name, chain in _chains(FeedForward, shape, options).items():
                setattr(self, name, chain)

        def forward(self, x):
            """Return the outputs."""
            wide = self.up(x)
            if gated:
                return self.down(nn.functional.silu(self.gate(x)) * wide)
            return self.down(nn.functional.gelu(wide, approximate=approximate))

    return Forward()


def patch_embedding(nn: Any, shape: Shape, options: Options) -> Any:
    """Return what makes tokens of images."""
    import torch

    patch, features = PatchEmbedding.patch_of(options), options["features"]
    length = PatchEmbedding.trace_length(shape, options, None)

    class Patches(nn.Module):
        """A linear layer of each patch, a class token in front, and what the places add."""

        def __init__(self) -> None:
            super().__init__()
            self.projection = _chains(PatchEmbedding, shape, options)["projection"]
            self.class_token = self.positions = None
            if options.get("class_token", True):
                self.class_token = nn.Parameter(torch.zeros(features))
            if options.get("positions", True):
                self.positions = nn.Parameter(torch.zeros(length, features))

        def forward(self, x):
            """Return the tokens, (samples, tokens, features)."""
            cut = nn.functional.unfold(x.reshape(-1, *shape), patch, stride=patch)
            y = self.projection(cut.transpose(1, 2))
            if self.class_token is not None:
                y = torch.cat([self.class_token.expand(len(y), 1, -1), y], 1)
            return y if self.positions is None else y + self.positions

    return Patches()


def embedding(nn: Any, shape: Shape, options: Options) -> Any:
    """Return tables of tokens and of places."""
    import torch

    sizes = options["vocabulary"], options.get("length", shape[0])

    class Tables(nn.Module):
        """A row for each token, and one for its place."""

        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(sizes[0], options["features"]))
            self.positions = None
            if options.get("positions", True):
                self.positions = nn.Parameter(torch.zeros(sizes[1], options["features"]))

        def forward(self, x):
            """Return the tokens, (samples, tokens, features)."""
            y = self.table[x]
            return y if self.positions is None else y + self.positions[: x.shape[1]]

    return Tables()


def pooling(first: bool) -> Any:
    """Return what makes the module that leaves one token of each sample."""

    def make(nn: Any, shape: Shape, options: Options) -> Any:
        class Pool(nn.Module):
            """The first token, or the mean of all."""

            def forward(self, x):
                """Return a vector for each sample."""
                return x[:, 0] if first else x.mean(1)

        return Pool()

    return make
