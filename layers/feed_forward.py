"""The feed-forward part of a transformer: up, an activation, down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import Layer, Shape, Spec, gradient_like, like
from sparsecpu.layers.composite import Composite, Entries
from sparsecpu.layers.inner_linear import linear_chains, linear_entries
from sparsecpu.layers.required import require_vector
from sparsecpu.layers.smooth_activations import GELU
from sparsecpu.registries.numbers import float_type, generator, truth_value, whole
from sparsecpu.step.context import Context


class FeedForward(Composite):
    r"""Two sparse layers around a wide activation, or three with a gate.

    :math:`y = W_d\,\mathrm{gelu}(W_u x + b_u) + b_d`; gated,
    :math:`y = W_d (\mathrm{silu}(W_g x + b_g) \cdot (W_u x + b_u)) + b_d`.

    Parameters
    ----------
    features : int
        Numbers per sample or token, in and out.
    hidden : int
        How many numbers there are in between.
    gated : bool
        Multiply by a gate, SiLU of a third layer, in place of GELU.
    approximate : str
        Which GELU; see ``GELU``.
    density : float
        Fraction of the weights of each layer to keep, in (0, 1].
    bias : bool
        Give the layers biases.
    rng : numpy.random.Generator, optional
        Draws patterns and values; ``numpy.random.default_rng(0)`` by default.
    group : {1, 2, 4, 8}
        So many neighbouring outputs of a layer share their inputs; see ``SparseLinear``.
    gain : float
        Scale of the first values; see ``SparseLinear``.
    up, gate, down : iterable of Layer, optional
        Layers to use in place of a linear layer; ``gate`` only where it is ``gated``.
    dtype : dtype
        float32 or float64.

    Raises
    ------
    ParameterError
        If an argument is out of range.

    Notes
    -----
    Vaswani et al., Attention is all you need (2017), section 3.3; Shazeer, GLU variants improve
    transformer (2020), for the gate.
    """

    kind = "feed_forward"

    def __init__(
        self,
        features: int,
        hidden: int,
        *,
        gated: bool = False,
        approximate: str = "none",
        density: float = 0.1,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        group: int = 1,
        gain: float = 1.0,
        up: Iterable[Layer] | None = None,
        gate: Iterable[Layer] | None = None,
        down: Iterable[Layer] | None = None,
        dtype: Any = np.float32,
    ) -> None:
        self.features = whole("features", features, 1, 2**31 - 1)
        self.hidden = whole("hidden", hidden, 1, 2**31 - 1)
        self.gated, self._gelu = truth_value("gated", gated), GELU(approximate)
        if gate is not None and not gated:
            raise ParameterError("gate", gate, "None where gated is False")
        wide, narrow = (self.features, self.hidden), (self.hidden, self.features)
        sizes = {name: narrow if name == "down" else wide for name in _names(gated)}
        super().__init__(linear_chains(
            sizes, {"up": up, "gate": gate, "down": down}, density=density, bias=bias,
            group=group, gain=gain, rng=generator(rng), dtype=float_type(dtype),
        ))  # fmt: skip

    @classmethod
    def entries(cls, options) -> dict[str, Entries]:
        features, hidden = int(options["features"]), int(options["hidden"])
        names = _names(options.get("gated", False))
        sizes = {name: features if name == "down" else hidden for name in names}
        return linear_entries(sizes, options)

    @classmethod
    def inputs(cls, shape, options) -> dict[str, Shape]:
        hidden = (int(options["hidden"]),)
        names = _names(options.get("gated", False))
        return {name: hidden if name == "down" else shape for name in names}

    @classmethod
    def trace(cls, shape, options) -> tuple:
        ends, weights = cls.trace_chains(shape, options)
        cls._check(ends, (int(options["hidden"]),))
        return ends["down"], weights

    @classmethod
    def numbers(cls, shape, options) -> tuple[int, int]:
        hidden, gated = int(options["hidden"]), options.get("gated", False)
        return hidden, 2 * hidden if gated else hidden

    @classmethod
    def _check(cls, ends: dict[str, Shape], hidden: Shape) -> None:
        for name, shape in ends.items():
            if name != "down" and shape != hidden:
                raise ParameterError(f"output of {name}", shape, f"{hidden}")

    def plan(self, spec: Spec) -> Spec:
        require_vector(spec, self)
        before = {name: chain for name, chain in self.by_name.items() if name != "down"}
        ends = {name: chain.plan(spec) for name, chain in before.items()}
        self._check({name: end.shape for name, end in ends.items()}, (self.hidden,))
        self._inner_learns = any(end.needs_gradient for end in ends.values())
        inner = Spec((self.hidden,), self._inner_learns, spec.length)
        return self.by_name["down"].plan(inner)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        wide, up = self.by_name["up"].forward(x, ctx)
        if self.gated:
            opening, gate = self.by_name["gate"].forward(x, ctx)
            inner = self._gate(opening, wide, ctx)
            y, down = self.by_name["down"].forward(inner, ctx)
            return y, (up, down, gate, (opening, wide))
        inner, activated = self._gelu.forward(wide, ctx)
        y, down = self.by_name["down"].forward(inner, ctx)
        return y, (up, down, None, activated)

    def _gate(self, opening: np.ndarray, wide: np.ndarray, ctx: Context) -> np.ndarray:
        from sparsecpu.kernels.gating import gate

        inner = like(wide, self, "inner", ctx)
        gate(opening.reshape(-1), wide.reshape(-1), inner.reshape(-1))
        return inner

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray | None:
        up, down, gate, inner = saved
        dinner = self.by_name["down"].backward(dy, down, ctx)
        if not self._inner_learns:
            return None
        if not self.gated:
            return self.by_name["up"].backward(self._gelu.backward(dinner, inner, ctx), up, ctx)
        opening, wide = inner
        dopening, dwide = self._gate_gradients(dinner, opening, wide, ctx)
        dx = self.by_name["up"].backward(dwide, up, ctx)
        if dx is None:
            return self.by_name["gate"].backward(dopening, gate, ctx)
        return self.by_name["gate"].backward_plus(dopening, gate, ctx, dx)

    def _gate_gradients(self, dinner, opening, wide, ctx) -> tuple[np.ndarray, np.ndarray]:
        from sparsecpu.kernels.gating import gate_gradients

        dopening, dwide = (gradient_like(wide, self, name, ctx) for name in ("dgate", "dup"))
        given = opening, wide, dinner, dopening, dwide
        gate_gradients(*(array.reshape(-1) for array in given))
        return dopening, dwide

    def own_options(self) -> dict[str, Any]:
        found = {"features": self.features, "hidden": self.hidden, "gated": self.gated}
        return {**found, "approximate": self._gelu.approximate}

    def describe(self) -> str:
        return f"feed-forward of {self.hidden}" + (", gated" if self.gated else "")


def _names(gated: bool) -> tuple[str, ...]:
    """Return the names of the chains, in order."""
    return ("up", "gate", "down") if gated else ("up", "down")
