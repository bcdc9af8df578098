"""Attention: what each token takes from the others of its sequence."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Shape, Spec, gradient_like
from sparsecpu.layers.composite import Composite, Entries
from sparsecpu.layers.inner_linear import linear_chains, linear_entries
from sparsecpu.layers.required import require_vector
from sparsecpu.layers.rotary import turned, turns
from sparsecpu.registries.numbers import float_type, generator, is_number, truth_value, whole
from sparsecpu.step.context import Context

_NAMES = ("query", "key", "value", "output")


def _heads(heads: Any) -> int:
    return whole("heads", heads, 1, 2**20)


def _size_of_heads(features: int, heads: int, given: Any) -> int:
    """Return the features of a head: what is given, or an equal part of all."""
    if given is not None:
        return whole("head_size", given, 1, 2**20)
    if features % heads:
        raise ParameterError("heads", heads, f"a divisor of the {features} features")
    return features // heads


def _rate(dropout: Any) -> float:
    if not (is_number(dropout) and 0.0 <= dropout < 1.0):
        raise ParameterError("dropout", dropout, "a number in [0, 1)")
    return float(dropout)


class Attention(Composite):
    r"""Multi-head attention between the tokens of a sequence, with sparse projections.

    With :math:`q = W_q x + b_q`, and k and v alike, cut into heads of d features:
    :math:`a_t = \sum_s p_{ts} v_s`, :math:`p_{ts} = \mathrm{softmax}_s(q_t \cdot k_s / \sqrt d)`,
    and :math:`y = W_o a + b_o`. Scores are made strip by strip and kept nowhere, so that memory
    grows with the length of sequences, not with its square.

    Parameters
    ----------
    features : int
        Numbers per token, in and out.
    heads : int
        How many heads.
    head_size : int, optional
        Features of a head; by default the heads share out ``features``.
    causal : bool
        A token sees itself and those before it, but none behind.
    rotary : bool
        Turn queries and keys with the place of their token, so that scores depend on how far apart
        two tokens are; feature i of a head is paired with the one half a head further on.
    dropout : float
        Fraction of the weights of attention to drop in training, in [0, 1).
    density : float
        Fraction of the weights of each projection to keep, in (0, 1].
    bias : bool
        Give the projections biases.
    rng : numpy.random.Generator, optional
        Draws patterns and values; ``numpy.random.default_rng(0)`` by default.
    group : {1, 2, 4, 8}
        So many neighbouring outputs of a projection share their inputs; see ``SparseLinear``.
    gain : float
        Scale of the first values; see ``SparseLinear``.
    query, key, value, output : iterable of Layer, optional
        Layers to use as one of the projections, in place of a linear layer.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ParameterError
        If an argument is out of range, or the heads cannot share out the features.

    Notes
    -----
    Vaswani et al., Attention is all you need (2017), section 3.2; Dao et al., FlashAttention
    (2022), for scores that are kept nowhere; Su et al., RoFormer (2021), for rotary positions, with
    base 10000, in the pairs of GPT-NeoX.
    """

    kind = "attention"

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        head_size: int | None = None,
        causal: bool = False,
        rotary: bool = False,
        dropout: float = 0.0,
        density: float = 0.1,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        group: int = 1,
        gain: float = 1.0,
        query: Iterable[Layer] | None = None,
        key: Iterable[Layer] | None = None,
        value: Iterable[Layer] | None = None,
        output: Iterable[Layer] | None = None,
        dtype: Any = np.float32,
    ) -> None:
        self.features = whole("features", features, 1, 2**31 - 1)
        self.heads, self.causal = _heads(heads), truth_value("causal", causal)
        self.rotary, self.dropout = truth_value("rotary", rotary), _rate(dropout)
        self.head_size = _size_of_heads(self.features, self.heads, head_size)
        inner = self.heads * self.head_size
        sizes = dict.fromkeys(_NAMES, (self.features, inner)) | {"output": (inner, self.features)}
        given = {"query": query, "key": key, "value": value, "output": output}
        super().__init__(linear_chains(
            sizes, given, density=density, bias=bias, group=group, gain=gain, rng=generator(rng),
            dtype=float_type(dtype),
        ))  # fmt: skip

    @classmethod
    def entries(cls, options) -> dict[str, Entries]:
        features, heads = int(options["features"]), _heads(options["heads"])
        inner = heads * _size_of_heads(features, heads, options.get("head_size"))
        sizes = {name: features if name == "output" else inner for name in _NAMES}
        return linear_entries(sizes, options)

    @classmethod
    def inputs(cls, shape, options) -> dict[str, Shape]:
        features, heads = int(options["features"]), _heads(options["heads"])
        if shape != (features,):
            raise ParameterError("input shape", shape, f"({features},)")
        inner = heads * _size_of_heads(features, heads, options.get("head_size"))
        return {name: (inner,) if name == "output" else shape for name in _NAMES}

    @classmethod
    def trace(cls, shape, options) -> tuple:
        ends, weights = cls.trace_chains(shape, options)
        expected = cls.inputs(shape, options)["output"]
        for name in _NAMES[:3]:
            if ends[name] != expected:
                raise ParameterError(f"output of {name}", ends[name], f"{expected}")
        return ends["output"], weights

    @classmethod
    def numbers(cls, shape, options) -> tuple[int, int]:
        inner = math.prod(cls.inputs(shape, options)["output"])
        return inner, 3 * inner  # a; dq, dk and dv

    def plan(self, spec: Spec) -> Spec:
        if require_vector(spec, self) != self.features:
            raise ParameterError("input shape", spec.shape, f"({self.features},)")
        if spec.length is None:
            raise ParameterError("input", "samples", "tokens of sequences")
        ends = [self.by_name[name].plan(spec).shape for name in _NAMES[:3]]
        if len(set(ends)) > 1 or len(ends[0]) != 1 or ends[0][0] % self.heads:
            expected = f"the same for all, a multiple of {self.heads} heads"
            raise ParameterError("outputs of query, key and value", ends, expected)
        size = ends[0][0] // self.heads
        if self.rotary and size % 2:
            raise ParameterError("features of a head", size, "an even number, for rotary positions")
        self.scale = 1.0 / math.sqrt(size)
        self.turns = turns(spec.length, size) if self.rotary else None
        return self.by_name["output"].plan(replace(spec, shape=ends[0], needs_gradient=True))

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        return self._forward(x, ctx, None)

    def forward_plus(self, x, ctx, other):
        return self._forward(x, ctx, other)

    def _forward(
        self, x: np.ndarray, ctx: Context, other: np.ndarray | None
    ) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.attention.forward import attend_kernel

        made, kept = zip(*(self.by_name[name].forward(x, ctx) for name in _NAMES[:3]), strict=True)
        tiles, _, lanes = x.shape
        q, k, v = made
        if self.turns is not None:
            q, k = self._turned(self.turns, (q, k), ctx)
        a = ctx.workspace.array(self, "a", q.shape, x.dtype)
        if ctx.memory is not None:
            if ctx.memory.takes_one:
                ctx.memory.attend(self, q, k, v, a)
                return self._put_out(a, ctx, other)
            ctx.memory.keep(self, k, v, ctx.sequences)
        seed = self._seed(ctx)
        shape = 2, tiles, self.heads, lanes
        statistics = ctx.workspace.array(self, "statistics", shape, x.dtype)
        scratch = self._scratch(x, ctx)
        strips = ctx.sequences.strips
        number = x.dtype.type
        given = q, k, v, *strips, self.heads, number(self.scale), seed, number(self.dropout), a
        attend_kernel(lanes, x.itemsize, int(self.causal), int(seed >= 0))(
            len(scratch), x.dtype, *given, statistics, scratch
        )
        y, last = self._put_out(a, ctx, other)
        return y, (given, statistics, (*kept, last))

    def _put_out(self, a: np.ndarray, ctx: Context, other: np.ndarray | None) -> tuple[Any, Any]:
        output = self.by_name["output"]
        return output.forward(a, ctx) if other is None else output.forward_plus(a, ctx, other)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray | None:
        from sparsecpu.kernels.attention.backward import attend_backward_kernel

        given, statistics, kept = saved
        a, seed = given[-1], given[-3]
        da = self.by_name["output"].backward(dy, kept[3], ctx)
        gradients = [gradient_like(a, self, f"d{i}", ctx) for i in range(3)]
        scratch = self._scratch(a, ctx)
        attend_backward_kernel(a.shape[2], a.itemsize, int(self.causal), int(seed >= 0))(
            len(scratch), a.dtype, *given, statistics, da, *gradients, scratch
        )
        if self.turns is not None:
            gradients[:2] = self._turned(self.turns, gradients[:2], ctx, back=True)
        query, key, value = (self.by_name[name] for name in _NAMES[:3])
        dx: np.ndarray | None = query.backward(gradients[0], kept[0], ctx)
        if dx is None:
            key.backward(gradients[1], kept[1], ctx)
            return value.backward(gradients[2], kept[2], ctx)
        for chain, gradient, one in ((key, gradients[1], kept[1]), (value, gradients[2], kept[2])):
            dx = chain.backward_plus(gradient, one, ctx, dx)
        return dx  # Wq' dq + Wk' dk + Wv' dv

    def _seed(self, ctx: Context) -> int:
        """Return what tells which weights are dropped in this pass; -1 for none."""
        if not ctx.train or self.dropout == 0.0:
            return -1
        if ctx.dropout is None:
            raise ParameterError("dropout", None, "a numpy.random.Generator in training")
        return int(ctx.dropout.integers(2**31 - 1))

    def _turned(
        self, turns: np.ndarray, pair: Any, ctx: Context, *, back: bool = False
    ) -> list[np.ndarray]:
        """Return queries and keys, turned by the places of their tokens, or turned back."""
        tiles, features, lanes = pair[0].shape
        shape, dtype, workspace = (tiles, features, lanes), pair[0].dtype, ctx.workspace
        here = turns[:, :, ctx.sequences.position].astype(dtype)
        if back:
            np.negative(here[1], out=here[1])
        here = here.reshape(2, -1, tiles, lanes)
        buffer = workspace.array(self, "buffer", (tiles, features // 2, lanes), dtype)
        outs = [workspace.array(self, f"turned {i}{back}", shape, dtype) for i in range(2)]
        return [turned(x, here, self.heads, out, buffer) for x, out in zip(pair, outs, strict=True)]

    def _scratch(self, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Return memory for each thread of the attention kernels."""
        from sparsecpu.kernels.attention.forward import scratch_size
        from sparsecpu.kernels.machine.threads import current_threads

        shape = current_threads(), scratch_size(x.shape[2], x.itemsize)
        return ctx.workspace.array(self, "scratch", shape, x.dtype)

    def own_options(self) -> dict[str, Any]:
        names = ("features", "heads", "head_size", "causal", "rotary", "dropout")
        return {name: getattr(self, name) for name in names}

    def describe(self) -> str:
        causal = ", causal" if self.causal else ""
        rotary = ", rotary" if self.rotary else ""
        return f"attention, {self.heads} heads{causal}{rotary}"
