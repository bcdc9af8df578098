"""Attention: what each token takes from the others of its sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Shape, Spec
from sparsecpu.layers.linear import SparseLinear
from sparsecpu.layers.projections import Projections
from sparsecpu.layers.required import require_vector
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.step.context import Context

_NAMES = ("query", "key", "value", "output")


class Attention(Projections):
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
    query, key, value, output : mapping, optional
        Options of ``SparseLinear`` for one of the projections, in place of those for all.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ParameterError
        If an argument is out of range, or the heads cannot share out the features.

    Notes
    -----
    Vaswani et al., Attention is all you need (2017), section 3.2; Dao et al., FlashAttention
    (2022), for scores that are kept nowhere.
    """

    kind = "attention"

    def __init__(
        self,
        features: int,
        heads: int,
        *,
        head_size: int | None = None,
        causal: bool = False,
        density: float = 0.1,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        group: int = 1,
        gain: float = 1.0,
        query: Mapping[str, Any] | None = None,
        key: Mapping[str, Any] | None = None,
        value: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
        dtype: Any = np.float32,
    ) -> None:
        features = whole("features", features, 1, 2**31 - 1)
        sizes = self.sizes((features,), {"heads": heads, "head_size": head_size})
        own = {"query": query, "key": key, "value": value, "output": output}
        shared = {"density": density, "bias": bias, "group": group, "gain": gain}
        shared |= {"rng": generator(rng), "dtype": float_type(dtype)}
        self._set(self.drawn(sizes, own, **shared), heads, causal)

    def _set(self, inner: dict[str, SparseLinear], heads: int, causal: bool) -> None:
        self.inner = inner
        self.heads, self.causal = int(heads), truth_value("causal", causal)
        self.features = inner["output"].out_features
        self.scale = 1.0 / math.sqrt(inner["query"].out_features // self.heads)

    @classmethod
    def sizes(cls, shape: Shape, options: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
        features, heads = shape[0], whole("heads", options["heads"], 1, 2**20)
        head_size = options.get("head_size")
        if head_size is None and features % heads:
            raise ParameterError("heads", heads, f"a divisor of the {features} features")
        size = features // heads if head_size is None else whole("head_size", head_size, 1, 2**20)
        inner = heads * size
        return {**dict.fromkeys(_NAMES[:3], (inner, features)), "output": (features, inner)}

    @classmethod
    def of(cls, inner: dict[str, SparseLinear], options: dict[str, Any]) -> Layer:
        layer = cls.__new__(cls)
        layer._set(inner, options["heads"], options.get("causal", False))
        return layer

    @classmethod
    def names(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        return _NAMES

    def plan(self, spec: Spec) -> Spec:
        if require_vector(spec, self) != self.features:
            raise ParameterError("input shape", spec.shape, f"({self.features},)")
        if spec.length is None:
            raise ParameterError("input", "samples", "tokens of sequences")
        for name in _NAMES[:3]:
            self.inner[name].plan(spec)
        between = replace(spec, shape=(self.inner["output"].in_features,), needs_gradient=True)
        return replace(self.inner["output"].plan(between), length=spec.length)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        from sparsecpu.kernels.attention.forward import attend_kernel

        q, k, v = ((self.inner[name].forward(x, ctx)) for name in _NAMES[:3])
        tiles, _, lanes = x.shape
        a = ctx.workspace.array(self, "a", q[0].shape, x.dtype)
        shape = 2, tiles, self.heads, lanes
        statistics = ctx.workspace.array(self, "statistics", shape, x.dtype)
        scratch = self._scratch(x, ctx)
        strips = ctx.sequences.strips
        attend_kernel(lanes, x.itemsize, int(self.causal))(
            len(scratch), x.dtype, q[0], k[0], v[0], *strips, self.heads,
            x.dtype.type(self.scale), a, statistics, scratch,
        )  # fmt: skip
        y, kept = self.inner["output"].forward(a, ctx)
        return y, (q, k, v, a, statistics, strips, kept)

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray | None:
        from sparsecpu.kernels.attention.backward import attend_backward_kernel

        q, k, v, a, statistics, strips, kept = saved
        da = self.inner["output"].backward(dy, kept, ctx)
        gradients = [ctx.workspace.array(self, f"d{i}", a.shape, a.dtype) for i in range(3)]
        scratch = self._scratch(a, ctx)
        attend_backward_kernel(a.shape[2], a.itemsize, int(self.causal))(
            len(scratch), a.dtype, q[0], k[0], v[0], *strips, self.heads,
            a.dtype.type(self.scale), a, statistics, da, *gradients, scratch,
        )  # fmt: skip
        parts = [
            self.inner[name].backward(gradient, projected[1], ctx)
            for name, gradient, projected in zip(_NAMES, gradients, (q, k, v), strict=False)
        ]
        if parts[0] is None:
            return None
        dx = np.add(parts[0], parts[1], out=ctx.workspace.array(self, "dx", dy.shape, dy.dtype))
        dx += parts[2]  # dx = Wq' dq + Wk' dk + Wv' dv
        return dx

    def _scratch(self, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Return memory for each thread of the attention kernels."""
        from sparsecpu.kernels.attention.forward import scratch_size
        from sparsecpu.kernels.machine.threads import current_threads

        shape = current_threads(), scratch_size(x.shape[2], x.itemsize)
        return ctx.workspace.array(self, "scratch", shape, x.dtype)

    def describe(self) -> str:
        causal = ", causal" if self.causal else ""
        return f"attention, {self.heads} heads{causal}"
