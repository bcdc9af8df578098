"""Layers of branches, whose outputs for the same input are added."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec
from sparsecpu.layers.chain import Chain, listed
from sparsecpu.layers.composite import Composite, Entries
from sparsecpu.layers.images.passes import add, add_gradients, gate_gradient
from sparsecpu.layers.images.planes import as_planes
from sparsecpu.step.context import Context


class Branches(Composite):
    """The sum of what branches make of one input; an empty branch passes it on as it is."""

    #: What an error calls the outputs of its branches.
    outputs: ClassVar[str] = "outputs of branches"

    @classmethod
    def trace(cls, shape, options) -> tuple:
        ends, weights = cls.trace_chains(shape, options)
        cls._check(list(ends.values()))
        return next(iter(ends.values())), weights

    @classmethod
    def _check(cls, shapes: list[Shape]) -> None:
        if len(set(shapes)) > 1:
            raise ParameterError(cls.outputs, shapes, "all of one shape")

    @classmethod
    def numbers(cls, shape, options) -> tuple[int, int]:
        """Return those of sums for which no layer has memory already; of vectors, not of images."""
        chains = [list(entries) for entries in cls.entries(options).values()]
        added, out = sorted(chains, key=bool)[1:], math.prod(cls.trace(shape, options)[0])
        ends = [[KINDS[chain[at]["kind"]] for chain in added if chain] for at in (-1, 0)]
        own = [sum(k.forward_plus is Layer.forward_plus for k in ends[0]),
               sum(k.backward_plus is Layer.backward_plus for k in ends[1])]  # fmt: skip
        empty = sum(not chain for chain in added)
        return (own[0] + empty) * out, (own[1] + empty) * math.prod(shape)

    def plan(self, spec: Spec) -> Spec:
        ends = [branch.plan(spec) for branch in self.by_name.values()]
        self._check([end.shape for end in ends])
        self._takes_images, self._gives_images = len(spec.shape) == 3, len(ends[0].shape) == 3
        self._needs_dx, self._last = spec.needs_gradient, self._in_order()[-1][1]
        self._applies_relu = self._gates_dx = self._sums_output = False
        for branch in self.by_name.values():
            if branch is not self._last and branch.layers:
                branch.layers[-1].lend_output()
        return Spec(ends[0].shape)

    @property
    def reads_moments(self) -> bool:
        return any(branch.reads_moments for branch in self.by_name.values())

    def absorb_relu(self) -> bool:
        self._applies_relu = self._gives_images
        if self._gives_images and self._last.adds_behind:
            self._applies_relu = not self._last.layers[-1].absorb_relu()
        return self._gives_images

    def gate_by_input(self) -> bool:
        self._gates_dx = self._takes_images
        if self._takes_images and self._last.adds_before:
            self._gates_dx = not self._last.layers[0].gate_by_input()
        return self._takes_images

    def sum_moments(self) -> bool:
        self._sums_output = self._gives_images
        if self._gives_images and self._last.adds_behind:
            self._sums_output = not self._last.layers[-1].sum_moments()
        return self._gives_images

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        if self._takes_images:
            x = as_planes(x)
        if self._gives_images:
            return self._add_images(x, ctx)
        return self._add_forward(x, ctx)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        x, kept = saved
        if not self._needs_dx:
            for branch, of_branch in zip(self.by_name.values(), kept, strict=True):
                branch.backward(dy, of_branch, ctx)
            return None
        if self._takes_images:
            return self._add_gradients_of_images(dy, x, kept, ctx)
        return self._add_backward(dy, kept, ctx)

    def _add_images(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Let branches add where they can; the last one applies a ReLU, and sums what is needed."""
        total, kept = None, [None] * len(self.by_name)
        for i, branch in self._in_order():
            if total is not None and branch.adds_behind:
                total, kept[i] = branch.forward_plus(x, ctx, total)
                continue
            y, kept[i] = branch.forward(x, ctx)
            if branch is self._last and not branch.adds_behind:
                moments = self._sums_output and ctx.train
                total = add(y, total, self, "y", ctx, relu=self._applies_relu, moments=moments)
            else:
                total = y if total is None else add(y, total, self, f"y{i}", ctx)
        return total, (x, kept)

    def _add_gradients_of_images(self, dy: Any, x: Any, kept: list[Any], ctx: Context) -> Any:
        total = None
        for i, branch in self._in_order():
            if total is not None and branch.adds_before:
                total = branch.backward_plus(dy, kept[i], ctx, total)
                continue
            dx = branch.backward(dy, kept[i], ctx)
            if branch is self._last and self._gates_dx:
                total = gate_gradient(dx, x, self, ctx, second=total)
            else:
                total = dx if total is None else add_gradients(dx, total, self, f"dx{i}", ctx)
        return total

    def _add_forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Let each branch add its output to those of the others; empty ones come first."""
        total, kept = None, [None] * len(self.by_name)
        for i, branch in self._in_order():
            if total is None:
                total, kept[i] = branch.forward(x, ctx)
            else:
                total, kept[i] = branch.forward_plus(x, ctx, total)
        return total, (x, kept)

    def _add_backward(self, dy: Any, kept: list[Any], ctx: Context) -> Any:
        total = None
        for i, branch in self._in_order():
            if total is None:
                total = branch.backward(dy, kept[i], ctx)
            else:
                total = branch.backward_plus(dy, kept[i], ctx, total)
        return total

    def _in_order(self) -> list[tuple[int, Chain]]:
        """Return the branches, empty ones first, the shortest of the others last.

        It adds to its own outputs what the others made: with little to compute, it waits for memory
        in any case.
        """

        def place(branch: tuple[int, Chain]) -> tuple[bool, int]:
            length = len(branch[1].layers)
            return length > 0, -length

        return sorted(enumerate(self.by_name.values()), key=place)


class Residual(Branches):
    """The sum of a branch and a shortcut: ``y = branch(x) + shortcut(x)``.

    Post-activation blocks have their ReLU behind it; pre-activation ones begin their branch with
    normalisation and ReLU, or stand behind them where the shortcut is to see these too.

    Parameters
    ----------
    branch : iterable of Layer
        Its layers, in order.
    shortcut : iterable of Layer
        Its layers, in order; none for the identity.

    Notes
    -----
    He et al., Deep residual learning (2016); Identity mappings in deep residual networks (2016).
    """

    kind = "residual"
    outputs = "outputs of branch and shortcut"

    def __init__(self, branch: Iterable[Layer], shortcut: Iterable[Layer] = ()) -> None:
        super().__init__({"branch": branch, "shortcut": shortcut})

    @classmethod
    def entries(cls, options) -> dict[str, Entries]:
        return {name: options.get(name, ()) for name in ("branch", "shortcut")}

    def describe(self) -> str:
        long, short = (len(chain.layers) for chain in self.by_name.values())
        return f"residual, {long} layers" + (f" + {short}" if short else "")


class Parallel(Branches):
    """The sum of what several branches make of the same input, features or images.

    Parameters
    ----------
    branches : iterable of iterables of Layer
        Each in order; at least one.

    Raises
    ------
    ParameterError
        If there is no branch, or their outputs differ in shape.

    Notes
    -----
    Thangarasa et al., Sparse-IFT (2024), section 3: sparse parallel and sparse doped layers.
    """

    kind = "parallel"
    outputs = "outputs of parallel branches"

    def __init__(self, branches: Iterable[Iterable[Layer]]) -> None:
        each = listed("branches", branches)
        super().__init__({f"branches.{i}": layers for i, layers in enumerate(each)})
        if not self.by_name:
            raise ParameterError("branches", [], "at least one")

    @classmethod
    def entries(cls, options) -> dict[str, Entries]:
        return {f"branches.{i}": entries for i, entries in enumerate(options["branches"])}

    @classmethod
    def as_options(cls, chains, options) -> dict[str, Any]:
        return {**options, "branches": list(chains.values())}

    def describe(self) -> str:
        lengths = (str(len(chain.layers)) for chain in self.by_name.values())
        return f"parallel, {' + '.join(lengths)} layers"
