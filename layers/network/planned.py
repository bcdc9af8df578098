"""A network as steps see it: sizes and tiles, planned once, and passes through its layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.layers.base import Layer, Plan, Spec, inner_layers
from sparsecpu.layers.flatten import Flatten
from sparsecpu.layers.network.entry import enter, lanes_filled
from sparsecpu.layers.network.page import line_of, page_of
from sparsecpu.layers.network.sizes import (
    FixedSizes,
    most_common_group,
    sample_shape,
    spec_of_samples,
    widest_tile,
)
from sparsecpu.sparse.parameter import SparseParameter
from sparsecpu.step.context import Context
from sparsecpu.step.lanes import choose_lanes, token_lanes
from sparsecpu.step.samples import as_samples
from sparsecpu.step.sequences import BatchSource, as_sequences

IMAGE_LANES = 16  # neighbouring pixels fill the registers
#: Layers that read each gradient once; in chains of these alone, two arrays take turns.
_PLAIN = {"linear", "relu", "leaky_relu", "all_relu", "tanh", "sigmoid", "gelu", "identity",
          "dropout", "batch_norm"}  # fmt: skip
_FEW = 2  # samples that are faster one by one than in a tile of 16


class PlannedNetwork(FixedSizes):
    """What trains and predicts; users hold it as a ``Sequential``, which says what it takes."""

    facts: dict[str, Any] | None = None

    def __init__(self, layers: Iterable[Layer], input_shape: tuple[int, ...] | None = None) -> None:
        super().__init__(layers)
        self.architecture: Any = None
        self._flat = Flatten()
        self._plan = Plan()
        self.dtype = next(
            (p.data.dtype for p in self.parameters().values()), np.dtype(np.float32)
        )  # of values and activations
        self._set_scaling(None)
        self._made_for = sample_shape(input_shape, self.layers)
        self.plan(spec_of_samples(self._made_for))

    def _plan_layers(self, spec: Spec) -> Spec:
        spec = super()._plan_layers(spec)
        self.output_shape, self.n_outputs = spec.shape, spec.features
        self.output_length = spec.length
        first = self.layers[0] if self.layers else None
        self.reads_tokens = first is not None and first.reads_tokens
        self.reads_sequences = self.reads_tokens or self.lengths[0] is not None
        self.longest = max((length for length in self.lengths if length), default=0)
        flat = first is not None and first.reads_flat
        self.reads_images = len(self.input_shape) == 3 and not flat
        alternate = not self.reads_images and all(layer.kind in _PLAIN for layer in self.layers)
        for layer in self.layers:
            layer.alternates = alternate
        if not self.reads_images:
            _share_gradients(self.layers)
        if self.layers and self.output_length is not None:
            self.layers[-1].ends = not alternate
        self._plan = Plan()
        self._plan.claim(self)
        return spec

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        y, kept = super().forward(x, ctx)
        inside = self.planned is not self._plan  # of another network
        if inside or len(self.output_shape) == 1:
            return y, (kept, None)
        y, shape = self._flat.forward(y, ctx)  # users see images as features
        return y, (kept, shape)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        kept, shape = saved
        if shape is not None:
            dy = self._flat.backward(dy, shape, ctx)
        return super().backward(dy, kept, ctx)

    def sparse_parameters(self) -> dict[str, SparseParameter]:
        """Return the parameters that have a pattern."""
        found = self.parameters().items()
        return {name: p for name, p in found if isinstance(p, SparseParameter)}

    def __repr__(self) -> str:
        return line_of(self) if "_made_for" in self.__dict__ else f"{type(self).__name__}()"

    def _repr_html_(self) -> str:
        return page_of(self.layers, repr(self))

    @property
    def nnz(self) -> int:
        """Nonzero weights of all layers."""
        return sum(p.nnz for p in self.sparse_parameters().values())

    @property
    def size(self) -> int:
        """Weights that the same network would have dense."""
        return sum(p.pattern.size for p in self.sparse_parameters().values())

    @property
    def density(self) -> float:
        """Fraction of the weights that is kept."""
        return self.nnz / max(self.size, 1)

    def samples(self, x: Any) -> BatchSource:
        """Return samples in the users' order as something to fetch batches from.

        Parameters
        ----------
        x : array_like, sparse matrix or Samples
            The samples.
        """
        self._keep_plan()
        if not self.reads_sequences:
            return as_samples(x, self.widths[0], self.dtype)
        features = None if self.reads_tokens else self.widths[0]
        return as_sequences(x, self.input_shape[0], features, self.dtype)

    def _keep_plan(self) -> None:
        """Plan anew if another network has planned any of the layers since."""
        if not self._plan.current:
            self.plan(spec_of_samples(self._made_for))

    def lanes(self, batch: int) -> int:
        """Return the width of the tiles for this batch size.

        Parameters
        ----------
        batch : int
            Samples per step.
        """
        if self.longest:
            return token_lanes(self.dtype)
        if self.reads_images:
            return IMAGE_LANES
        widest = widest_tile(self.widths, self.density)
        return choose_lanes(batch, widest, self.dtype, most_common_group(self))

    def lanes_to_predict(self, batch: int) -> int:
        """Return the width of a compiled predictor's tiles; 1 where samples go one by one.

        Parameters
        ----------
        batch : int
            Samples that pass at once.
        """
        singly = batch <= _FEW and not (self.reads_images or self.longest)
        return 1 if singly else self.lanes(batch)

    def tokens(self, batch: int) -> int:
        """Return how many lanes this many samples fill at most: one each, or all their tokens.

        Parameters
        ----------
        batch : int
            Samples per step.
        """
        return lanes_filled(self.longest, batch, self.lanes(batch), self.dtype)

    def outputs_shape(self, samples: int) -> tuple[int, ...]:
        """Return the shape of what so many samples become, in the users' order."""
        inner = () if self.output_length is None else (self.output_length,)
        return (samples, *inner, self.n_outputs)

    def gather(
        self, samples: BatchSource, rows: np.ndarray, lanes: int, ctx: Context
    ) -> np.ndarray:
        """Read samples into the network's input buffer.

        Parameters
        ----------
        samples : Samples or SequenceSamples
            The samples.
        rows : ndarray of int64
            Row numbers of the samples to read.
        lanes : int
            Width of the tiles.
        ctx : Context
            Gives the memory.

        Returns
        -------
        ndarray
            The input, ``(tiles, features, lanes)`` or, of images, ``(tiles, height, channels,
            width, lanes)``; lanes after the last sample are 0. Of sequences, lanes are tokens.
        """
        if not self._plan.current:
            self._keep_plan()
        return enter(self, samples, rows, lanes, ctx)


def _share_gradients(layers: tuple[Layer, ...]) -> None:
    """Let residual blocks take turns in two memories for gradients.

    A block's gradient is a sum in its own memory, read by the block before it, which has the other
    one, and by no other.
    """
    blocks = [layer for layer in layers if layer.kind == "residual"]
    for number, block in enumerate(blocks):
        for name, inner in inner_layers(block):
            inner.role = f"block {number % 2}.{name}"
