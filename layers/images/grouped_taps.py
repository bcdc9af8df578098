"""The taps of filters that stand in groups, and how the work on them is cut.

Taps are as in ``taps.py``, but there is one for each shared column, and those of a group go side of
the filter by side, there row by row: what sees nothing but padding, where planes begin and end, is
passed over. (Of the products of filters of 3 x 3, planes of 4 x 4 pixels lose three tenths.) Values
are read where they lie. dx is scattered, so its ring is like that of x.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparsecpu.kernels.conv.operands import SIDES, GroupIndex
from sparsecpu.kernels.conv.sizes import Sizes
from sparsecpu.kernels.conv.strip_cut import StripCut
from sparsecpu.kernels.machine.cached import cached_property
from sparsecpu.kernels.machine.cpu import level_two_cache
from sparsecpu.layers.images.geometry import Geometry
from sparsecpu.layers.images.strips import Tiles, choose_jobs, ring_bytes, ring_room
from sparsecpu.layers.images.taps import codes_of
from sparsecpu.sparse.pattern import Pattern

#: Part of the level-2 cache that a ring may take; see ``ring_bytes``.
_RING_PART = 0.6
#: Pixels that dW sums up at once where the cache has the room, and that a band has for it.
_PIXELS, _LEAST_PIXELS = 48, 16
#: The same for the two rings of dx and dW at once, and the pixels that a row of dy must have for
#: it: lanes of dW are summed row by row.
_RINGS_PART, _ROW_PIXELS = 0.66, 16
#: Bytes that the ring of dW may take on any CPU, and the two rings where rows have twice so many
#: pixels or more, else in proportion. Where level 2 is smaller level 3 is near: on one with 1 MiB,
#: 4.5 ms became 3.4 (512 channels, 4 x 4).
_ANY_RING, _ANY_RINGS = 1.5 * 1024**2, 1.7 * 1024**2
#: What a strip costs beside its arithmetic, as part of the arithmetic of the widest.
_STRIP_COST = 0.3


@dataclass(frozen=True)
class GroupedTaps:
    """What the kernels need to know: the index of taps, sizes, strips of so many pixels.

    ``rows`` of outputs are computed at a time, and a filter is ``high`` rows tall. If ``direct``,
    strips read planes where they lie instead of a ring.
    """

    index: GroupIndex
    group: int
    sizes: Sizes
    strip: int
    rows: int
    high: int
    direct: bool

    @property
    def cut(self) -> StripCut:
        """How strips cut a row of outputs."""
        column = self.sizes.tiles_per_job
        return StripCut.of(self.sizes.out_width * column, self.strip, column)

    @cached_property
    def sizes_array(self) -> np.ndarray:
        """The sizes as kernels take them."""
        found = np.array(self.sizes, dtype=np.int64)
        found.setflags(write=False)
        return found

    @property
    def ring_pixels(self) -> int:
        """Pixels of the ring, and a strip more, into which the last one may reach."""
        s = self.sizes
        return s.channels * s.step * s.room * s.depth * s.tiles_per_job + self.strip

    @property
    def bases(self) -> int:
        """Room to note where each strip finds each row of the ring, and which rows matter.

        Whole cache lines.
        """
        strips = self.sizes.span * self.sizes.tiles_per_job // self.strip
        return -(-((strips * self.rows + 2) * self.high) // 128) * 128

    @property
    def line_pixels(self) -> int:
        """Pixels of a group's lines in the rows that are computed at a time."""
        return self.rows * self.group * self.sizes.span * self.sizes.tiles_per_job


def suits_groups(pattern: Pattern, geometry: Geometry) -> bool:
    """Return True if filters stand in groups, each of which reads the same channels."""
    alike = geometry.groups == 1 or geometry.filters // geometry.groups % pattern.group == 0
    return pattern.group > 1 and alike


def shared_by_all(pattern: Pattern, geometry: Geometry, group: int) -> Pattern:
    """Return a full pattern as one in groups, which it is for any group; others as they are."""
    n_out, n_in = pattern.shape
    if group == 1 or pattern.group > 1 or not pattern.is_full or n_out < group:
        return pattern
    grouped = Pattern.of_groups(n_out, group, Pattern.full((-(-n_out // group), n_in)))
    return grouped if suits_groups(grouped, geometry) else pattern


def suits_one_pass(geometry: Geometry, tiles: Tiles) -> bool:
    """Return True if dx and dW at once pay: rows are wide, and the cache has room for two rings."""
    g, (sy, sx) = geometry, geometry.stride
    columns = sx * (g.out_size[1] + (g.kernel[1] - 1) // sx)
    row = g.channels * columns * tiles.lanes * tiles.bytes
    room = _RINGS_PART * level_two_cache()
    room = max(room, _ANY_RINGS * min(1.0, g.out_size[1] / (2 * _ROW_PIXELS)))
    if g.out_size[1] >= 2 * _ROW_PIXELS:
        room = max(room, ring_bytes(_RINGS_PART))
    return g.out_size[1] >= _ROW_PIXELS and 2 * max(g.kernel[0], sy) * row <= room


def grouped_forward_taps(
    pattern: Pattern, geometry: Geometry, tiles: Tiles, *, direct: bool
) -> GroupedTaps:
    """Return the taps of ``y = W * x``; ``direct`` as in ``forward_taps``."""
    g, (kh, kw), sx = geometry, geometry.kernel, geometry.stride[1]
    strip, tiles_per_job = choose_grouped_strip(g.out_size[1], pattern.group, tiles)
    if direct and g.pointwise and g.size[1] % strip == 0:
        span, bands = choose_jobs(g.out_size, strip, 1, g.size[1] + strip, tiles.number, kh)
        sizes = g.forward_sizes(step=1, room=g.size[1], depth=1, span=span, tiles_per_job=1,
                                bands=bands)  # fmt: skip
        return _taps(pattern, g, sizes, strip, rows=1, direct=True)
    step, reach = min(sx, kw), (kw - 1) // sx  # columns that no tap reads are not kept
    column = kh * g.channels * step * tiles.lanes * tiles.ring_bytes * tiles_per_job
    most = ring_bytes(_RING_PART) / column - reach
    span, bands = choose_jobs(g.out_size, strip, tiles_per_job, most, tiles.number, kh)
    room = ring_room(span, reach, tiles_per_job * tiles.lanes, tiles.ring_bytes)
    sizes = g.forward_sizes(step=step, room=room, depth=kh, span=span, tiles_per_job=tiles_per_job,
                            bands=bands)  # fmt: skip
    return _taps(pattern, g, _without_padding(sizes, pattern, g, tiles), strip, rows=1)


def grouped_scatter_taps(
    pattern: Pattern, geometry: Geometry, tiles: Tiles, *, padded: bool
) -> GroupedTaps:
    """Return the taps of dx. Its ring has all of its columns, and jobs have whole rows.

    Those of padding are not among them unless it is ``padded``.
    """
    g, sy, sx = geometry, *geometry.stride
    strip, tiles_per_job = choose_grouped_strip(g.out_size[1], pattern.group, tiles)
    span, bands = choose_jobs(
        g.out_size, strip, tiles_per_job, g.out_size[1] + strip, tiles.number, g.kernel[0]
    )
    room = ring_room(span, (g.kernel[1] - 1) // sx, tiles_per_job * tiles.lanes, tiles.bytes)
    room = max(room, (g.size[1] + g.padding[1] - 1) // sx + 1)
    sizes = g.forward_sizes(step=sx, room=room, depth=max(g.kernel[0], sy), span=span,
                            tiles_per_job=tiles_per_job, bands=bands)  # fmt: skip
    if not padded:
        sizes = _without_padding(sizes, pattern, g, tiles)
    return _taps(pattern, g, sizes, strip, rows=1)


def grouped_gradient_taps(pattern: Pattern, geometry: Geometry, tiles: Tiles) -> GroupedTaps:
    """Return the taps of dW: of so many rows at a time that sums over lanes are seldom made."""
    g, (kh, kw), (sy, sx) = geometry, geometry.kernel, geometry.stride
    strip, tiles_per_job = choose_grouped_strip(g.out_size[1], pattern.group, tiles)
    step, reach = min(sx, kw), (kw - 1) // sx
    span, bands = choose_jobs(
        g.out_size, strip, tiles_per_job, g.out_size[1] + strip, tiles.number, kh
    )
    bands = min(bands, max(1, g.out_size[0] * g.out_size[1] * tiles_per_job // _LEAST_PIXELS))
    room = ring_room(span, reach, tiles_per_job * tiles.lanes, tiles.ring_bytes)
    sizes = g.forward_sizes(step=step, room=room, depth=kh, span=span,
                            tiles_per_job=tiles_per_job, bands=bands)  # fmt: skip
    if tiles_per_job > 1 or sx > 1:  # elsewhere it is little, and sides apart make more tiles
        sizes = _without_padding(sizes, pattern, g, tiles)
    row = g.channels * step * sizes.room * tiles_per_job * tiles.lanes * tiles.ring_bytes
    most = (max(_RING_PART * level_two_cache(), _ANY_RING) / row - kh) // sy + 1
    wanted = -(-_PIXELS // (g.out_size[1] * tiles_per_job))
    rows = int(max(1, min(wanted, most, -(-g.out_size[0] // bands))))
    sizes = sizes._replace(depth=(rows - 1) * sy + kh)
    return _taps(pattern, g, sizes, strip, rows=rows)


def _without_padding(sizes: Sizes, pattern: Pattern, g: Geometry, tiles: Tiles) -> Sizes:
    """Return sizes with a ring that has no padding at the left and right, where none is read.

    Taps at the sides pass over one pixel of a row; those of a last, smaller group over none, nor
    taps that read 16 bits.
    """
    sx, alike = g.stride[1], tiles.ring_bytes == tiles.bytes and g.filters % pattern.group == 0
    whole = sizes.span >= g.out_size[1] and sizes.step == sx
    if not alike or not whole or g.padding[1] > sx:
        return sizes
    numbers = sizes.tiles_per_job * tiles.lanes
    room = ring_room(-(-g.size[1] // sx), 0, numbers, tiles.ring_bytes)
    return sizes._replace(room=room, left=0, left_out=sizes.tiles_per_job)


def _taps(
    pattern: Pattern, g: Geometry, sizes: Sizes, strip: int, *, rows: int, direct: bool = False
) -> GroupedTaps:
    groups, per_filter, sx = pattern.groups, g.channels // g.groups, g.stride[1]
    channel, ky, kx = np.unravel_index(groups.indices, (per_filter, *g.kernel))
    if g.groups > 1:
        channel = channel + groups.rows() * pattern.group // (g.filters // g.groups) * per_filter
    high, column = g.kernel[0], kx - g.padding[1]  # of x, for the first output of a row
    there = column + sizes.left + sizes.left_out // sizes.tiles_per_job * sx  # in the ring
    pixel = ((channel * sizes.step + there % sx) * sizes.room + there // sx) * sizes.tiles_per_job
    sees_right = column + (g.out_size[1] - 1) * sx >= g.size[1]
    side = np.where(column < 0, 0, np.where(sees_right, 2, 1))
    part = (groups.rows() * np.int64(SIDES) + side) * high + ky
    each = SIDES * high  # parts of a group: rows of its filters, for each side
    starts = np.zeros((len(groups.indptr) - 1) * each + 1, dtype=np.int64)
    np.cumsum(np.bincount(part, minlength=len(starts) - 1), out=starts[1:])
    order = np.argsort(part.astype(np.min_scalar_type(len(starts))), kind="stable")
    starts = np.lib.stride_tricks.sliding_window_view(starts, each + 1)[::each].copy()
    arrays = codes_of(ky, pixel, sizes)[order], starts, order.astype(np.int32)
    for array in arrays:
        array.setflags(write=False)
    return GroupedTaps(GroupIndex(*arrays), pattern.group, sizes, strip, rows, high, direct)


def choose_grouped_strip(width: int, group: int, tiles: Tiles) -> tuple[int, int]:
    """Choose the pixels of a strip, and of how many tiles they are.

    Sums of all filters of a group stay in registers. Narrow planes of several tiles are
    interleaved to fill a strip.
    """
    from sparsecpu.kernels.linear.grouped import sums_bytes

    most = max(1, sums_bytes() // (group * tiles.bytes * tiles.lanes))
    pairs = [
        (n, per_job) for n in (16, 8, 4, 2, 1) if n <= most
        for per_job in (1, 2, 4, 8) if per_job == 1 or width * per_job <= n
    ]  # fmt: skip

    def cost(pair: tuple[int, int]) -> float:
        n, per_job = pair
        strips = -(-max(tiles.number, tiles.most) // per_job) * -(-width * per_job // n)
        return strips * (n + _STRIP_COST * most)

    return min(pairs, key=cost)
