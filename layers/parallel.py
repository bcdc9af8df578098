"""Branches whose outputs are added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sparsecpu.errors import ParameterError
from sparsecpu.layers.base import KINDS, Layer, Shape, Spec
from sparsecpu.layers.chain import Chain, build_layers, trace_layers
from sparsecpu.layers.images.planes import as_planes, blend
from sparsecpu.step.context import Context


class Parallel(Layer):
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

    def __init__(self, branches: Iterable[Iterable[Layer]]) -> None:
        self.branches = [Chain(branch) for branch in branches]
        if not self.branches:
            raise ParameterError("branches", self.branches, "at least one")
        self._moments = self._needs_dx = False

    @classmethod
    def build(cls, shape: Shape, options: dict[str, Any], **context: Any) -> Layer:
        """Make the layer of a description.

        Parameters
        ----------
        shape : tuple of ints
            Of one sample of its input.
        options : dict
            ``branches``, a list of lists of layers: ``kind`` and options.
        **context : object
            ``rng``, ``dtype``, ``parameters``.

        Returns
        -------
        Layer
            The layer.
        """
        given = context.pop("parameters", None)
        return cls(
            build_layers(entries, shape, f"branches.{i}", given, **context)
            for i, entries in enumerate(options["branches"])
        )

    @classmethod
    def trace(cls, shape, options) -> tuple:
        ends = [trace_layers(entries, shape) for entries in options["branches"]]
        _check([end[0] for end in ends])
        return ends[0][0], [weight for end in ends for weight in end[1]]

    @classmethod
    def allot(cls, options: dict[str, Any], counts: Iterator[int]) -> dict[str, Any]:
        return {
            "branches": [
                [KINDS[entry["kind"]].allot(entry, counts) for entry in entries]
                for entries in options["branches"]
            ]
        }

    def plan(self, spec: Spec) -> Spec:
        """Plan all branches; see ``Layer.plan``.

        Parameters
        ----------
        spec : Spec
            The input.

        Returns
        -------
        Spec
            The output.
        """
        self._moments, self._needs_dx = False, spec.needs_gradient
        out = [branch.plan(spec) for branch in self.branches]
        _check([end.shape for end in out])
        return Spec(out[0].shape, spec.needs_gradient or any(end.needs_gradient for end in out))

    @property
    def reads_moments(self) -> bool:
        """Whether one of the branches does."""
        return any(branch.reads_moments for branch in self.branches)

    def sum_moments(self) -> bool:
        """Sum y and its square in passing, for the normalisation behind.

        Returns
        -------
        bool
            True.
        """
        self._moments = True
        return True

    def forward(self, x: Any, ctx: Context) -> tuple[Any, Any]:
        """Add what the branches make of x; see ``Layer.forward``.

        Parameters
        ----------
        x : Planes or ndarray
            The input.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        y : Planes or ndarray
            The output.
        saved : list
            What the branches saved.
        """
        out, kept = zip(*(branch.forward(x, ctx) for branch in self.branches), strict=True)
        return self._sum(list(out), "y", ctx, 1 if self._moments and ctx.train else 0), list(kept)

    def backward(self, dy: Any, saved: Any, ctx: Context) -> Any:
        """Add the gradients of the branches; see ``Layer.backward``.

        Parameters
        ----------
        dy : Planes or ndarray
            Gradient of the output.
        saved : list
            From ``forward``.
        ctx : Context
            Memory, mode and taps.

        Returns
        -------
        Planes or ndarray
            Gradient of the input.
        """
        dx = [b.backward(dy, kept, ctx) for b, kept in zip(self.branches, saved, strict=True)]
        return self._sum(dx, "dx", ctx, 0) if self._needs_dx else dy

    def _sum(self, parts: list[Any], name: str, ctx: Context, sums: int) -> Any:
        if len(parts[0].shape) == 5:
            first = as_planes(parts[0])
            rest = parts[1:] or [None]
            for i, part in enumerate(rest):  # the last pass sums for a normalisation behind
                last = sums if i == len(rest) - 1 else 0
                first = blend(first, part, self, f"{name}{i}", ctx, sums=last)
            return first
        total = ctx.workspace.array(self, name, parts[0].shape, parts[0].dtype)
        total[...] = parts[0]
        for part in parts[1:]:
            total += part
        return total

    def children(self) -> dict[str, Layer]:
        return {f"branches.{i}": branch for i, branch in enumerate(self.branches)}

    def describe(self) -> str:
        """Return how many branches there are, and of how many layers."""
        return f"parallel, {' + '.join(str(len(b.layers)) for b in self.branches)} layers"


def _check(shapes: list[Shape]) -> None:
    if len(set(shapes)) > 1:
        raise ParameterError("outputs of parallel branches", shapes, "all of one shape")
