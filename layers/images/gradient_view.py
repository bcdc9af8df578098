"""What topology may read of a convolution's dW."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sparsecpu.layers.images.passes import as_array, sum_channels
from sparsecpu.layers.images.planes import Planes, lane_mask
from sparsecpu.sparse.pattern import Pattern
from sparsecpu.step.context import Context
from sparsecpu.step.gradient_view import GradientView, check_places, whole_rows

if TYPE_CHECKING:
    from sparsecpu.layers.conv2d import SparseConv2d


class FilterView(GradientView):
    """dW of filters, whose samples are all output pixels; x and dy are planes."""

    whole_rows = True

    def __init__(self, layer: SparseConv2d, x: Planes, dy: Planes, ctx: Context) -> None:
        self.layer, self.x, self.dy, self.ctx = layer, x, dy, ctx

    def at(self, pattern: Pattern, out: np.ndarray | None = None) -> np.ndarray:
        check_places(pattern, self.layer.weight.shape, out, self.x.dtype)
        found = self.layer.sparse.gradient_at(pattern, self.x, self.dy, self.ctx)
        if out is None:
            return found
        np.copyto(out, found)
        return out

    def tile(self, rows: slice, columns: slice, out: np.ndarray) -> None:
        out[...] = self.at(whole_rows(self.layer.weight.shape, rows)).reshape(out.shape)

    def activity(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return activities as ``GradientView`` has them; a tap's are those of the pixels it reads.

        Norms are those of whole channels: that a tap's pixels are shifted is left out there. With
        groups, the activities of taps that share a column are added.
        """
        layer, g = self.layer, self.layer.geometry()
        taps = g.kernel[0] * g.kernel[1]
        if kind == "norm":
            rows, channels = (
                sum_channels(planes, layer, "squares", self.ctx)[1] for planes in (self.dy, self.x)
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
