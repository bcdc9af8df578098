"""The passes of a layer, and what it does in them for the layers around it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from sparsecpu.step.context import Context


class Passes:
    """Forward and backward, which a layer writes, and what its neighbours may ask of them."""

    #: True if it has ``backward_times`` and does not read its output again: an activation behind it
    #: may write over the output, and one before it leave the product with its slope to it.
    takes_slope: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls)  # who writes a pass anew means it wherever that pass is made
        for name in ("forward", "backward"):
            if name in own and f"{name}_plus" not in own:
                setattr(cls, f"{name}_plus", getattr(Passes, f"{name}_plus"))
                cls.takes_slope = own.get("takes_slope", False)

    @property
    def reads_moments(self) -> bool:
        """True if it needs the layer before it to sum its input and the squares of it."""
        return False

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Compute the output.

        Parameters
        ----------
        x : ndarray, shape (tiles, features, lanes)
            The input.
        ctx : Context
            Memory and mode of the step.

        Returns
        -------
        y : ndarray
            The output, in the workspace.
        saved : object
            What ``backward`` needs.
        """
        raise NotImplementedError

    def backward(self, dy: np.ndarray, saved: Any, ctx: Context) -> np.ndarray | None:
        """Write the gradients of the parameters and return that of the input.

        Parameters
        ----------
        dy : ndarray
            Gradient of the output.
        saved : object
            What ``forward`` returned.
        ctx : Context
            Memory and mode of the step.

        Returns
        -------
        ndarray or None
            Gradient of the input, in the workspace; None where the plan said that nothing needs it.
        """
        raise NotImplementedError

    def forward_plus(
        self, x: np.ndarray, ctx: Context, other: np.ndarray
    ) -> tuple[np.ndarray, Any]:
        """Compute ``forward(x) + other``, in one pass where the layer can.

        Parameters
        ----------
        x : ndarray, shape (tiles, features, lanes)
            The input.
        ctx : Context
            Memory and mode of the step.
        other : ndarray or Planes
            What is added; shaped like the output. Images where a layer has its own way only.

        Returns
        -------
        y : ndarray
            The sum, in the workspace.
        saved : object
            What ``backward`` needs.
        """
        y, saved = self.forward(x, ctx)
        return np.add(y, other, out=ctx.workspace.array(self, "sum", y.shape, y.dtype)), saved

    def backward_plus(
        self, dy: np.ndarray, saved: Any, ctx: Context, other: np.ndarray
    ) -> np.ndarray:
        """Compute ``backward(dy) + other``, in one pass where the layer can.

        Parameters
        ----------
        dy : ndarray
            Gradient of the output.
        saved : object
            What ``forward`` returned.
        ctx : Context
            Memory and mode of the step.
        other : ndarray or Planes
            What is added; shaped like the gradient of the input, which has to be needed. Images as
            in ``forward_plus``.

        Returns
        -------
        ndarray
            The sum, in the workspace.
        """
        dx = self.backward(dy, saved, ctx)
        assert dx is not None
        memory = ctx.workspace.array(self, "sum of gradients", dx.shape, dx.dtype)
        return np.add(dx, other, out=memory)

    def lend_output(self) -> None:
        """Lend the memory of outputs, if it can: they are only added to others, and then done with.

        Gradients of the layer do not depend on its outputs then.
        """

    def sum_moments(self) -> bool:
        """Sum the output and its squares while storing it, for the normalisation behind.

        Returns
        -------
        bool
            True if the layer can, and will.
        """
        return False

    def absorb_relu(self) -> bool:
        """Apply the ReLU behind this layer while storing the output.

        Returns
        -------
        bool
            True if the layer can, and will.
        """
        return False

    def gate_by_input(self) -> bool:
        """Do the backward pass of the ReLU before this layer: return dx with 0 where x <= 0.

        Returns
        -------
        bool
            True if the layer can, and will.
        """
        return False
