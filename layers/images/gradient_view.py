"""What topology may ask about the gradient of filters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sparsecpu.layers.images.passes import as_array, sum_moments
from sparsecpu.layers.images.planes import Planes, lane_mask

from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d


class GradientView:
    """What topology may ask about the filters' gradient in one step; see ``topology.sources``.

    Parameters
    ----------
    layer : SparseConv2d
        Whose.
    x, dy : Planes
        Its input and the gradient of its output.
    ctx : Context
        Memory.
    """

    def __init__(self, layer: SparseConv2d, x: Planes, dy: Planes, ctx: Context) -> None:
        self.layer, self.x, self.dy, self.ctx = layer, x, dy, ctx

    def at(self, pattern: Pattern) -> np.ndarray:
        """Return the gradient at the positions of another pattern, by the kernel of dW.

        Parameters
        ----------
        pattern : Pattern
            Shaped like the layer's.

        Returns
        -------
        ndarray, shape (nnz of the pattern,)
            The gradient.
        """
        return self.layer.sparse.gradient_at(pattern, self.x, self.dy, self.ctx)

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return how active each output channel and each filter tap was; see ``topology.sampling``.

        Every output pixel is a sample: a tap's activity is summed over the pixels that it reads.
        Norms are those of whole channels; that a tap's pixels are shifted is left out there. With
        groups, the activities of taps that share a column are added.

        Parameters
        ----------
        kind : {"norm", "bound", "estimate"}
            Which.
        rng : numpy.random.Generator
            Draws signs.

        Returns
        -------
        rows, columns : ndarray
            Of shape (out_channels,) and (in_channels / groups * ky * kx,).
        """
        layer, g = self.layer, self.layer.geometry()
        taps = g.kernel[0] * g.kernel[1]
        if kind == "norm":
            rows, channels = (
                sum_moments(planes, layer, "squares", self.ctx)[1] for planes in (self.dy, self.x)
            )
            by_group = channels.reshape(g.groups, -1).sum(axis=0)
            return np.sqrt(rows), np.sqrt(np.repeat(by_group, taps))
        dy = as_array(self.dy, layer, self.ctx, "active dy")
        x = as_array(self.x, layer, self.ctx, "active x")
        mask = lane_mask(self.dy.values, self.ctx)[:, None, None, :]
        weights = np.broadcast_to(mask, (*dy.shape[:2], *dy.shape[3:])).copy()
        if kind == "estimate":
            weights *= rng.choice(np.array([-1, 1], dtype=dy.dtype), size=weights.shape)
        rows = _summed(dy, weights, kind)
        columns = np.zeros((x.shape[2], g.kernel[0], g.kernel[1]))
        for tap in np.ndindex(*g.kernel):
            (top, high, y), (left, wide, z) = (
                _reached(tap[axis] - g.padding[axis], g.stride[axis], x.shape[place], size)
                for axis, place, size in ((0, 1, dy.shape[1]), (1, 3, dy.shape[3]))
            )
            columns[:, *tap] = _summed(x[:, y, :, z], weights[:, top:high, left:wide], kind)
        return rows, columns.reshape(g.groups, -1).sum(axis=0)


def _reached(shift: int, stride: int, size: int, outputs: int) -> tuple[int, int, slice]:
    """Return the first output a tap serves, the one after the last, and where it reads."""
    first = max(0, -(shift // stride))
    last = min(outputs, (size - 1 - shift) // stride + 1)
    last = max(first, last)
    begin = first * stride + shift
    return first, last, slice(begin, begin + (last - first) * stride, stride)


def _summed(planes: np.ndarray, weights: np.ndarray, kind: str) -> np.ndarray:
    total = np.zeros(planes.shape[2])
    for tile, weight in zip(planes, weights, strict=True):  # the magnitudes of one tile at a time
        values = np.abs(tile) if kind == "bound" else tile
        total += np.einsum("hcwl,hwl->c", values, weight, dtype=np.float64)
    return np.abs(total)
